//! The PROXY protocol, versions 1 and 2, as HAProxy's `proxy-protocol.txt` describes it: what a load balancer
//! in front of us says of the connection, before its first byte.
//!
//! [`parse`] reads what a load balancer says, [`proxied`] and [`own`] write what we say to origins.
//!
//! Pure: bytes in, decision out. Whether the peer may say so (trusted_proxies) and how long it may take is
//! the caller's to decide. Both versions are bounded, so a caller never needs more than [`MAX_BYTES`].

mod crc32c;
mod tlv;
mod v1;
mod v2;
mod write;

use std::net::SocketAddr;

pub use tlv::{SslInfo, Tlvs};
pub use v1::MAX_V1_BYTES;
pub use v2::MAX_TLV_BYTES;
pub use write::{Version, own, proxied};

/// Longest header of either version.
pub const MAX_BYTES: usize = v2::MAX_BYTES;

/// The answer of [`parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The bytes begin with something else. Nothing of them is to be skipped.
    NotProxy,
    /// They may be, or are, the beginning of a header. More bytes are needed.
    Partial,
    /// A header stands in the first `len` bytes; the connection's own bytes follow.
    Complete {
        /// Length of the header in bytes.
        len: usize,
        /// What it says.
        header: Header,
    },
    /// A header that is malformed. The connection must be closed.
    Invalid(ProxyError),
}

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The client; none for LOCAL, UNKNOWN, UNSPEC and unix sockets.
    pub source: Option<SocketAddr>,
    /// The address that the client connected to; none likewise.
    pub destination: Option<SocketAddr>,
    /// True when the load balancer speaks for itself (a health check): its own address counts.
    pub local: bool,
    /// What version 2 says besides; boxed, as most connections have none.
    pub tlvs: Option<Box<Tlvs>>,
}

/// Why a header is malformed: a closed set, usable as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyError {
    /// Version 1: no CRLF within 107 bytes, or a lone CR or LF.
    BadLine,
    /// Version 1: not a known protocol, or not its number of words.
    BadProtocol,
    /// An address that is not of the family that was announced.
    BadAddress,
    /// A port that is not 0 to 65535 without leading zeros.
    BadPort,
    /// Version 2: not version 2, or an unknown command.
    BadCommand,
    /// Version 2: an unknown family or transport.
    BadFamily,
    /// Version 2: shorter than its addresses.
    TooShort,
    /// Version 2: more TLV bytes than are read.
    TooLong,
    /// Version 2: a TLV that does not fit into its place, or whose value is malformed.
    BadTlv,
    /// Version 2: the checksum does not match.
    BadChecksum,
}

impl ProxyError {
    /// All of them, in the order of their declaration.
    pub const ALL: &'static [ProxyError] = &[
        ProxyError::BadLine,
        ProxyError::BadProtocol,
        ProxyError::BadAddress,
        ProxyError::BadPort,
        ProxyError::BadCommand,
        ProxyError::BadFamily,
        ProxyError::TooShort,
        ProxyError::TooLong,
        ProxyError::BadTlv,
        ProxyError::BadChecksum,
    ];

    /// The snake_case token.
    pub const fn as_str(self) -> &'static str {
        match self {
            ProxyError::BadLine => "proxy_bad_line",
            ProxyError::BadProtocol => "proxy_bad_protocol",
            ProxyError::BadAddress => "proxy_bad_address",
            ProxyError::BadPort => "proxy_bad_port",
            ProxyError::BadCommand => "proxy_bad_command",
            ProxyError::BadFamily => "proxy_bad_family",
            ProxyError::TooShort => "proxy_too_short",
            ProxyError::TooLong => "proxy_too_long",
            ProxyError::BadTlv => "proxy_bad_tlv",
            ProxyError::BadChecksum => "proxy_bad_checksum",
        }
    }
}

impl std::fmt::Display for ProxyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for ProxyError {}

/// Reads a header of either version from the front of a connection's bytes.
///
/// Call it again with all bytes when more came. A first byte that no header begins with is answered at once;
/// methods that begin like `PROXY ` (`PUT`, `POST`) take one byte more.
pub fn parse(buf: &[u8]) -> Parsed {
    let result = match buf.first() {
        None => return Parsed::Partial,
        Some(b'P') => v1::read(buf),
        Some(b'\r') => v2::read(buf),
        Some(_) => return Parsed::NotProxy,
    };
    match result {
        Ok(parsed) => parsed,
        Err(reason) => Parsed::Invalid(reason),
    }
}

/// Compares the front of `buf` with a signature: `None` while it may still become it.
fn starts_with(buf: &[u8], signature: &[u8]) -> Option<bool> {
    let seen = buf.len().min(signature.len());
    if buf.get(..seen) != signature.get(..seen) {
        Some(false)
    } else if seen == signature.len() {
        Some(true)
    } else {
        None
    }
}

#[cfg(test)]
mod encode;
#[cfg(test)]
mod tests;
