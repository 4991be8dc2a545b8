//! Active health checks: endpoints are asked whether they are well, on connections of their own.
//!
//! | file | holds |
//! |---|---|
//! | [`options`] | what is asked, how often, what is a good answer |
//! | [`probe`] | one question over HTTP/1.1, HTTP/2, gRPC or a bare connection, bounded in time and bytes |
//! | [`state`] | what is known about one endpoint: unknown, up, down |
//! | [`schedule`] | when which endpoint is asked; places for probes, fair between upstreams |
//! | [`checker`] | the one task that owns all of it |
//!
//! The model is HAProxy's `check` with `rise` and `fall` (its configuration manual, 5.2) and Envoy's health checker;
//! gRPC is asked as in the gRPC Health Checking Protocol (grpc.health.v1). Connections are never taken from or given
//! to the pool: a check through a pooled connection says nothing about new ones, and a stuck one stays unseen.

pub mod checker;
pub mod dial;
pub mod failure;
pub mod moved;
pub mod options;
pub mod probe;
pub mod schedule;
pub mod state;

pub use checker::{Checker, CheckerStatus, MAX_TARGETS, Sink, Target};
pub use dial::{Connection, DialFuture, Dialed, Dialer, PlainDialer, Spoken};
pub use failure::{FailureKind, ProbeError};
pub use moved::MovedHealth;
pub use options::{HealthOptions, OptionsError, Probe};
pub use schedule::{MAX_PER_UPSTREAM, MAX_RUNNING};
pub use state::{Change, Health, Phase, Status, Why};
