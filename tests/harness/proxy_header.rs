//! PROXY protocol headers as load balancers write them.

use std::net::SocketAddrV4;

/// The signature of version 2.
pub(crate) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// A version 1 line for a TCP connection over IPv4.
pub(crate) fn v1(source: &str, destination: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} {destination} 40000 443\r\n").into_bytes()
}

/// A version 2 header for a TCP connection over IPv4.
pub(crate) fn v2(source: SocketAddrV4, destination: SocketAddrV4) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([0x21, 0x11, 0, 12]);
    header.extend(source.ip().octets());
    header.extend(destination.ip().octets());
    header.extend(source.port().to_be_bytes());
    header.extend(destination.port().to_be_bytes());
    header
}

/// The version 2 header of a connection that the balancer makes for itself (health checks).
pub(crate) fn v2_local() -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([0x20, 0x00, 0, 0]);
    header
}
