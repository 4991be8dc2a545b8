//! Version 2: a binary header of 16 bytes, addresses, and TLVs.

use std::net::{IpAddr, SocketAddr};

use super::tlv::Tlvs;
use super::{Header, Parsed, ProxyError, starts_with};

pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

const FIXED_BYTES: usize = 16;
const UNIX_BYTES: usize = 216;

/// Most bytes of TLVs. Those of a client certificate's names and the vendors' fit many times.
pub const MAX_TLV_BYTES: usize = 4096;

pub(super) const MAX_BYTES: usize = FIXED_BYTES + UNIX_BYTES + MAX_TLV_BYTES;

#[derive(Clone, Copy)]
enum Family {
    Unspecified,
    Inet4,
    Inet6,
    Unix,
}

impl Family {
    /// From the byte of family and transport. Datagrams are accepted: the addresses mean the same.
    fn read(byte: u8) -> Result<Self, ProxyError> {
        match byte {
            0x00 => Ok(Self::Unspecified),
            0x11 | 0x12 => Ok(Self::Inet4),
            0x21 | 0x22 => Ok(Self::Inet6),
            0x31 | 0x32 => Ok(Self::Unix),
            _ => Err(ProxyError::BadFamily),
        }
    }

    fn address_bytes(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::Inet4 => 12,
            Self::Inet6 => 36,
            Self::Unix => UNIX_BYTES,
        }
    }
}

pub(super) fn read(buf: &[u8]) -> Result<Parsed, ProxyError> {
    match starts_with(buf, SIGNATURE) {
        None => return Ok(Parsed::Partial),
        Some(false) => return Ok(Parsed::NotProxy),
        Some(true) => {}
    }
    let Some((fixed, _)) = buf.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(Parsed::Partial);
    };
    let &[.., command, family, len_high, len_low] = fixed;
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::BadCommand),
    };
    // LOCAL says to ignore the family, and all that follows.
    let family = if local {
        Family::Unix
    } else {
        Family::read(family)?
    };
    let rest = usize::from(u16::from_be_bytes([len_high, len_low]));
    if rest > family.address_bytes() + MAX_TLV_BYTES {
        return Err(ProxyError::TooLong);
    }
    if !local && rest < family.address_bytes() {
        return Err(ProxyError::TooShort);
    }
    let len = FIXED_BYTES + rest;
    let Some(bytes) = buf.get(..len) else {
        return Ok(Parsed::Partial);
    };
    let header = if local {
        Header {
            local,
            ..Header::default()
        }
    } else {
        read_proxied(bytes, family)?
    };
    Ok(Parsed::Complete { len, header })
}

/// `bytes` is the whole header.
fn read_proxied(bytes: &[u8], family: Family) -> Result<Header, ProxyError> {
    let (addresses, tlvs) = bytes
        .get(FIXED_BYTES..)
        .and_then(|rest| rest.split_at_checked(family.address_bytes()))
        .ok_or(ProxyError::TooShort)?;
    let pair = match family {
        Family::Inet4 => read_pair::<4>(addresses),
        Family::Inet6 => read_pair::<16>(addresses),
        Family::Unspecified | Family::Unix => None,
    };
    Ok(Header {
        source: pair.map(|(source, _)| source),
        destination: pair.map(|(_, destination)| destination),
        local: false,
        tlvs: Tlvs::read(bytes, tlvs)?,
    })
}

/// Source, destination and their ports, of addresses of `N` bytes.
fn read_pair<const N: usize>(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    let address = |ip: &[u8; N], port: &[u8; 2]| {
        SocketAddr::new(IpAddr::from(*ip), u16::from_be_bytes(*port))
    };
    Some((
        address(source, source_port),
        address(destination, destination_port),
    ))
}
