//! Farmgate: a proxy farm on Pingora.
//!
//! The modules in the order a configuration and a request flow through them:
//!
//! ```text
//! config (words) -> compile (decisions) -> snapshot (the picture) -> proxy (the request) -> telemetry (evidence)
//!                        ^                      |                        |
//!                        |                      v                        v
//!                     plugins        state, upstream, cache, tls     protocol
//! server wires them and owns the process; cli is the front.
//! ```

pub mod config;

pub mod compile;

pub mod snapshot;

pub mod state;

pub mod protocol;

pub mod upstream;

pub mod tls;

pub mod cache;

pub mod proxy;

pub mod telemetry;

pub mod server;

pub mod cli;
