//! Writes headers, for the tests: the other side of the parser, from the same specification.

use std::net::{IpAddr, SocketAddr};

use super::crc32c::checksum;
use super::tlv;
use super::v2::SIGNATURE;

/// A TLV.
pub(super) fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind][..], &len, value].concat()
}

/// A version 2 header from its parts.
pub(super) fn v2(command: u8, family: u8, addresses: &[u8], tlvs: &[u8]) -> Vec<u8> {
    let len = u16::try_from(addresses.len() + tlvs.len())
        .unwrap()
        .to_be_bytes();
    [SIGNATURE, &[command, family][..], &len, addresses, tlvs].concat()
}

/// A version 2 header of two addresses of one family.
pub(super) fn v2_inet(source: SocketAddr, destination: SocketAddr, tlvs: &[u8]) -> Vec<u8> {
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let addresses = [
        octets(source),
        octets(destination),
        source.port().to_be_bytes().to_vec(),
        destination.port().to_be_bytes().to_vec(),
    ];
    v2(
        0x21,
        if source.is_ipv4() { 0x11 } else { 0x21 },
        &addresses.concat(),
        tlvs,
    )
}

/// Puts the right checksum where a CRC-32C of four zero bytes stands last.
pub(super) fn seal(mut header: Vec<u8>) -> Vec<u8> {
    let at = header.len() - 4;
    assert_eq!(header[at - 3..], [tlv::CRC32C, 0, 4, 0, 0, 0, 0]);
    let sum = checksum(&header).to_be_bytes();
    header[at..].copy_from_slice(&sum);
    header
}
