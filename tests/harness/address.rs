//! Loopback addresses that nobody else uses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// The loopback address of this process: `127.64.0.0` plus its process id.
pub(crate) fn own_ip() -> IpAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    // 64..=127: apart from 127.0.0.1, where clients come from.
    IpAddr::V4(Ipv4Addr::new(127, 64 | (a & 0x3f), b, c))
}

/// An address of ours where nothing listens, and that was not given out before. Ports are counted, not drawn: only
/// the one that gets an address ever looks whether it is free, so looking disturbs nobody.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    loop {
        let address = SocketAddr::new(own_ip(), NEXT.fetch_add(1, Ordering::Relaxed));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// True if this machine has IPv6 on loopback.
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}
