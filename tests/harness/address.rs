//! Loopback addresses that nobody else uses.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use parking_lot::Mutex;

/// The loopback address of this process: `127.64.0.0` plus its process id.
pub(crate) fn own_ip() -> IpAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    // 64..=127: apart from 127.0.0.1, where clients come from.
    IpAddr::V4(Ipv4Addr::new(127, 64 | (a & 0x3f), b, c))
}

/// An address of ours where nothing listens, and that was not given out before.
pub(crate) fn free_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind((own_ip(), 0)).expect("bind a free port");
        let address = listener.local_addr().expect("address of a free port");
        if GIVEN.lock().insert(address) {
            return address;
        }
    }
}

/// True if this machine has IPv6 on loopback.
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}
