//! What every scenario stands on: a node (the real binary in a folder of its own), origins that do as
//! they are told and remember what they saw, and clients that send bytes.
//!
//! Every test process has a loopback address of its own, so that ports of tests that run side by side
//! never meet. Nothing here waits for time to pass: every wait is for a condition, and bounded.

// Each test file uses a part of it.
#![allow(dead_code)]

pub(crate) mod address;
pub(crate) mod authority;
pub(crate) mod cli;
pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod etcd;
pub(crate) mod frames;
pub(crate) mod heir;
pub(crate) mod http2;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod node;
pub(crate) mod origin;
pub(crate) mod proxy_header;
pub(crate) mod tls;
pub(crate) mod tls_origin;

use std::future::Future;
use std::time::{Duration, Instant};

pub(crate) use address::free_address;
pub(crate) use client::Client;
pub(crate) use node::{Node, Setup};
pub(crate) use origin::{Demo, Origin, Peer};

/// The longest wait for anything that should happen at once. Generous, since machines of tests are busy.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// How often a condition is looked at.
const TICK: Duration = Duration::from_millis(5);

/// Waits until `look` gives something, for at most [`SOON`]; panics with `what` if it never does.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + SOON;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {SOON:?} for {what}");
        // tidy: waits for a condition
        tokio::time::sleep(TICK).await;
    }
}

/// The work's result, or a panic that names what took longer than [`SOON`].
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what} took longer than {SOON:?}"),
    }
}

/// Asserts that `took` is `expected`, give or take 150 ms early and `late` late.
pub(crate) fn about(took: Duration, expected: Duration, what: &str) {
    let early = Duration::from_millis(20);
    let late = Duration::from_millis(150);
    assert!(
        took + early >= expected && took <= expected + late,
        "{what} took {took:?}, not about {expected:?}"
    );
}
