//! Writes headers: what we say to an origin of the connection that a request came on.
//!
//! The specification has one family for both addresses, so where they differ both are written as IPv6, the IPv4 one
//! mapped (RFC 4291 section 2.5.5.2), as HAProxy does.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::v2::SIGNATURE;

/// The version that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, as the specification asks of new senders.
    V2,
}

/// TCP over IPv4, TCP over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// Version 2 and the command PROXY.
const PROXY: u8 = 0x21;
/// Version 2 and the command LOCAL.
const LOCAL: u8 = 0x20;
/// Neither family nor transport.
const UNSPECIFIED: u8 = 0x00;

/// The header for a client's connection: from where, and to which address of ours. Without both of them it says that
/// there is a client of whom nothing is known (one on a unix socket).
pub fn proxied(
    version: Version,
    source: Option<SocketAddr>,
    destination: Option<SocketAddr>,
) -> Vec<u8> {
    let Some((source, destination)) = source.zip(destination).map(one_family) else {
        return match version {
            Version::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
            Version::V2 => v2(PROXY, UNSPECIFIED, &[]),
        };
    };
    match version {
        Version::V1 => v1(source, destination),
        Version::V2 => {
            let family = if source.is_ipv4() { TCP4 } else { TCP6 };
            let mut addresses = Vec::with_capacity(36);
            push_ip(&mut addresses, source.ip());
            push_ip(&mut addresses, destination.ip());
            addresses.extend_from_slice(&source.port().to_be_bytes());
            addresses.extend_from_slice(&destination.port().to_be_bytes());
            v2(PROXY, family, &addresses)
        }
    }
}

/// The header for a connection of our own, as of a health check: whoever reads it takes our address for the client's.
pub fn own(version: Version) -> Vec<u8> {
    match version {
        // The only word that version 1 has for it.
        Version::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
        Version::V2 => v2(LOCAL, UNSPECIFIED, &[]),
    }
}

/// Both addresses in the family that holds them.
fn one_family((source, destination): (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
    let canonical =
        |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (source, destination) = (canonical(source), canonical(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        (source, destination)
    } else {
        (mapped(source), mapped(destination))
    }
}

fn mapped(address: SocketAddr) -> SocketAddr {
    let ip: Ipv6Addr = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddr::new(ip.into(), address.port())
}

pub(super) fn v1(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    format!(
        "PROXY {family} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    )
    .into_bytes()
}

/// `addresses` has at most 36 bytes.
fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let len = u16::try_from(addresses.len()).unwrap_or_default();
    let mut header = Vec::with_capacity(SIGNATURE.len() + 4 + addresses.len());
    header.extend_from_slice(SIGNATURE);
    header.extend_from_slice(&[command, family]);
    header.extend_from_slice(&len.to_be_bytes());
    header.extend_from_slice(addresses);
    header
}

fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Header, MAX_BYTES, Parsed, parse};
    use super::*;

    fn read(bytes: &[u8]) -> Header {
        match parse(bytes) {
            Parsed::Complete { len, header } => {
                assert_eq!(len, bytes.len(), "{}", bytes.escape_ascii());
                header
            }
            other => panic!("{}: {other:?}", bytes.escape_ascii()),
        }
    }

    fn at(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let (source, destination) = (at("192.0.2.1:1234"), at("198.51.100.2:443"));
        assert_eq!(
            proxied(Version::V1, source, destination),
            b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\n"
        );
        assert_eq!(
            proxied(Version::V2, source, destination),
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x04\xd2\x01\xbb"
        );
        let (source, destination) = (at("[2001:db8::1]:1234"), at("[2001:db8::2]:443"));
        assert_eq!(
            proxied(Version::V1, source, destination),
            b"PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n"
        );
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        for version in [Version::V1, Version::V2] {
            for (source, destination) in [
                (None, None),
                (at("1.2.3.4:5"), None),
                (None, at("1.2.3.4:5")),
            ] {
                let header = read(&proxied(version, source, destination));
                assert_eq!(header, Header::default());
            }
        }
        assert!(read(&own(Version::V2)).local);
        assert_eq!(read(&own(Version::V1)), Header::default());
    }

    #[test]
    fn two_families_become_one() {
        for version in [Version::V1, Version::V2] {
            let header = read(&proxied(version, at("192.0.2.1:1"), at("[2001:db8::2]:2")));
            assert_eq!(header.source, at("[::ffff:192.0.2.1]:1"));
            assert_eq!(header.destination, at("[2001:db8::2]:2"));
            // A mapped address of a socket that listens on both families is an IPv4 one.
            let header = read(&proxied(
                version,
                at("[::ffff:192.0.2.1]:1"),
                at("192.0.2.2:2"),
            ));
            assert_eq!(header.source, at("192.0.2.1:1"));
        }
    }

    fn address() -> impl Strategy<Value = SocketAddr> {
        let ip = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(IpAddr::from),
        ];
        (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
    }

    proptest! {
        #[test]
        fn our_reader_reads_what_is_written(source in address(), destination in address(), v2 in any::<bool>()) {
            let version = if v2 { Version::V2 } else { Version::V1 };
            let bytes = proxied(version, Some(source), Some(destination));
            prop_assert!(bytes.len() <= MAX_BYTES);
            let header = read(&bytes);
            let same = |read: Option<SocketAddr>, written: SocketAddr| {
                read.map(|read| (read.ip().to_canonical(), read.port()))
                    == Some((written.ip().to_canonical(), written.port()))
            };
            prop_assert!(same(header.source, source), "{:?}", header);
            prop_assert!(same(header.destination, destination), "{:?}", header);
            prop_assert!(!header.local && header.tlvs.is_none());
            // Cut anywhere it is no header yet, so what follows is never taken for a part of it.
            for cut in 1..bytes.len() {
                prop_assert_eq!(parse(&bytes[..cut]), Parsed::Partial);
            }
        }
    }
}
