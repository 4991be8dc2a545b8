//! Chapter 5, evidence: what a request leaves behind once it has ended.
//!
//! A leaf: it imports nothing else of ours. `reason` says why a request ended as it did (`handshake`: why TLS did
//! not begin; `h2_end`: why an HTTP/2 connection ended; `drain_cut`: what a drain cut; `cache`: what the cache did; all by
//! `closed_set`),
//! `metrics` counts, `access_log` writes one line per request from a thread of its own, `explain` keeps the last records
//! by request id, `events` tells the operator what the process itself did. `clock` and `stamp` say when, and what a file was then.

pub mod access_log;
pub mod cache;
pub mod clock;
mod closed_set;
pub mod credentials;
pub mod drain_cut;
pub mod events;
pub mod explain;
pub mod guard;
pub mod h2_end;
pub mod handshake;
pub mod metrics;
pub mod reason;
pub mod redact;
pub mod stamp;

pub use drain_cut::{DrainCut, DrainCuts};
pub use h2_end::H2End;
pub use handshake::HandshakeFailure;
pub use reason::{Phase, Reason, Retry, Source};
