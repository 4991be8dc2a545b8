//! What version 2 says besides addresses: registered TLVs, and those of three cloud vendors.

use super::ProxyError;
use super::crc32c::checksum;

/// Longest unique id (the specification's own limit).
const MAX_UNIQUE_ID_BYTES: usize = 128;

/// Longest ALPN and authority: those of TLS and of DNS.
const MAX_NAME_BYTES: usize = 255;

pub(super) const ALPN: u8 = 0x01;
pub(super) const AUTHORITY: u8 = 0x02;
pub(super) const CRC32C: u8 = 0x03;
pub(super) const UNIQUE_ID: u8 = 0x05;
pub(super) const SSL: u8 = 0x20;
pub(super) const SSL_VERSION: u8 = 0x21;
pub(super) const SSL_CN: u8 = 0x22;
pub(super) const SSL_CIPHER: u8 = 0x23;
pub(super) const SSL_SIG_ALG: u8 = 0x24;
pub(super) const SSL_KEY_ALG: u8 = 0x25;
pub(super) const GCP: u8 = 0xe0;
pub(super) const AWS: u8 = 0xea;
pub(super) const AZURE: u8 = 0xee;

/// The TLVs that are understood. Others (NOOP, NETNS, other vendors') are skipped; of two equal ones the
/// first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs {
    /// The protocol that ALPN chose.
    pub alpn: Option<Box<[u8]>>,
    /// The host name the client asked for (SNI).
    pub authority: Option<Box<str>>,
    /// True when a CRC-32C stood there; it matched, else the header would be invalid.
    pub checksum: bool,
    /// The load balancer's id of the connection, at most 128 opaque bytes.
    pub unique_id: Option<Box<[u8]>>,
    /// TLS as the load balancer ended it.
    pub ssl: Option<SslInfo>,
    /// AWS: the VPC endpoint id (`vpce-...`).
    pub aws_vpc_endpoint: Option<Box<str>>,
    /// Azure: the private link id.
    pub azure_link_id: Option<u32>,
    /// GCP: the Private Service Connect connection id.
    pub gcp_connection_id: Option<u64>,
}

/// TLS between the client and the load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SslInfo {
    /// The client connected over TLS.
    pub tls: bool,
    /// It showed a certificate on this connection.
    pub certificate_on_connection: bool,
    /// It showed one at least once in this TLS session.
    pub certificate_in_session: bool,
    /// The load balancer verified that certificate.
    pub verified: bool,
    /// The protocol version, as text.
    pub version: Option<Box<str>>,
    /// The common name of the client certificate.
    pub common_name: Option<Box<str>>,
    /// The cipher.
    pub cipher: Option<Box<str>>,
    /// The signature algorithm of the load balancer's certificate.
    pub signature_algorithm: Option<Box<str>>,
    /// The key algorithm of the load balancer's certificate.
    pub key_algorithm: Option<Box<str>>,
}

impl Tlvs {
    /// Reads the TLVs at the end of a header; `header` is all of it, for the checksum. None when there are none.
    pub(super) fn read(header: &[u8], tlvs: &[u8]) -> Result<Option<Box<Self>>, ProxyError> {
        if tlvs.is_empty() {
            return Ok(None);
        }
        let mut out = Box::<Self>::default();
        let mut rest = tlvs;
        while let Some((tlv, behind)) = Tlv::split(rest)? {
            // The value ends where what follows begins, and that ends where the header does.
            let end = header.len() - behind.len();
            rest = behind;
            out.take(tlv, header, end)?;
        }
        Ok(Some(out))
    }

    fn take(&mut self, tlv: Tlv<'_>, header: &[u8], end: usize) -> Result<(), ProxyError> {
        let value = tlv.value;
        match tlv.kind {
            ALPN => keep(&mut self.alpn, Some(read_bytes(value, MAX_NAME_BYTES)?)),
            AUTHORITY => keep(&mut self.authority, Some(read_text(value)?)),
            CRC32C => {
                verify(value, header, end)?;
                if self.checksum {
                    // Two of them cannot both have been computed with all others zero.
                    return Err(ProxyError::BadChecksum);
                }
                self.checksum = true;
            }
            UNIQUE_ID => keep(
                &mut self.unique_id,
                Some(read_bytes(value, MAX_UNIQUE_ID_BYTES)?),
            ),
            SSL => keep(&mut self.ssl, Some(SslInfo::read(value)?)),
            // Types from 0xE0 belong to whoever uses them: what does not look like the vendor's is another's.
            GCP => keep(
                &mut self.gcp_connection_id,
                value.try_into().ok().map(u64::from_be_bytes),
            ),
            AWS => {
                if let [0x01, id @ ..] = value {
                    keep(&mut self.aws_vpc_endpoint, read_text(id).ok());
                }
            }
            AZURE => {
                if let &[0x01, a, b, c, d] = value {
                    keep(
                        &mut self.azure_link_id,
                        Some(u32::from_le_bytes([a, b, c, d])),
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl SslInfo {
    fn read(value: &[u8]) -> Result<Self, ProxyError> {
        let (&client, rest) = value.split_first().ok_or(ProxyError::BadTlv)?;
        let (verify, mut rest) = rest.split_first_chunk::<4>().ok_or(ProxyError::BadTlv)?;
        let mut out = Self {
            tls: client & 0x01 != 0,
            certificate_on_connection: client & 0x02 != 0,
            certificate_in_session: client & 0x04 != 0,
            // Zero also stands where no certificate was asked for.
            verified: client & 0x06 != 0 && u32::from_be_bytes(*verify) == 0,
            ..Self::default()
        };
        while let Some((tlv, behind)) = Tlv::split(rest)? {
            rest = behind;
            let slot = match tlv.kind {
                SSL_VERSION => &mut out.version,
                SSL_CN => &mut out.common_name,
                SSL_CIPHER => &mut out.cipher,
                SSL_SIG_ALG => &mut out.signature_algorithm,
                SSL_KEY_ALG => &mut out.key_algorithm,
                _ => continue,
            };
            keep(slot, Some(read_text(tlv.value)?));
        }
        Ok(out)
    }
}

/// One TLV as it stands in the header.
#[derive(Clone, Copy)]
struct Tlv<'a> {
    kind: u8,
    value: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// The first TLV and what follows it; none at the end.
    fn split(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, ProxyError> {
        let (kind, len, rest) = match bytes {
            [] => return Ok(None),
            &[kind, high, low, ref rest @ ..] => (kind, u16::from_be_bytes([high, low]), rest),
            _ => return Err(ProxyError::BadTlv),
        };
        let (value, behind) = rest
            .split_at_checked(usize::from(len))
            .ok_or(ProxyError::BadTlv)?;
        Ok(Some((Self { kind, value }, behind)))
    }
}

/// Checks a CRC-32C over the whole header with the checksum's own four bytes, which end at `end`, as zero.
fn verify(value: &[u8], header: &[u8], end: usize) -> Result<(), ProxyError> {
    let stated = u32::from_be_bytes(value.try_into().map_err(|_| ProxyError::BadTlv)?);
    let (front, back) = header.split_at_checked(end).ok_or(ProxyError::BadTlv)?;
    let (front, _) = front.split_last_chunk::<4>().ok_or(ProxyError::BadTlv)?;
    if checksum(front.iter().chain(&[0; 4]).chain(back)) == stated {
        Ok(())
    } else {
        Err(ProxyError::BadChecksum)
    }
}

fn keep<T>(slot: &mut Option<T>, value: Option<T>) {
    if slot.is_none() {
        *slot = value;
    }
}

fn read_bytes(value: &[u8], max: usize) -> Result<Box<[u8]>, ProxyError> {
    if value.len() <= max {
        Ok(value.into())
    } else {
        Err(ProxyError::BadTlv)
    }
}

/// Text of at most 255 bytes, without control characters: it goes into logs and header fields.
fn read_text(value: &[u8]) -> Result<Box<str>, ProxyError> {
    match std::str::from_utf8(value) {
        Ok(text) if text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control) => {
            Ok(text.into())
        }
        _ => Err(ProxyError::BadTlv),
    }
}
