//! Loopback addresses that nobody else uses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// The loopback address of this process: `127.64.0.0` plus its process id.
pub(crate) fn own_ip() -> IpAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    // 64..=127: apart from 127.0.0.1, where clients come from.
    IpAddr::V4(Ipv4Addr::new(127, 64 | (a & 0x3f), b, c))
}

/// An address of ours where nothing listens. The kernel hands out a port again only after all others.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((own_ip(), 0)).expect("bind a free port");
    listener.local_addr().expect("address of a free port")
}

/// True if this machine has IPv6 on loopback.
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}
