//! The state that moves, in the form of a message.

use std::sync::Arc;

use serde_json::Value;

use crate::server::Server;
use crate::telemetry::metrics::Metrics;

/// What was counted before, so that only what came after is told.
pub struct Tally;

impl Tally {
    /// What was counted since the last time, in pieces.
    pub fn since(&mut self, _server: &Server) -> Vec<Value> {
        vec![Value::Null]
    }
}

/// The state of this process, at this moment.
pub fn take(_server: &Arc<Server>) -> (Value, Tally) {
    (Value::Null, Tally)
}

/// Takes over the state of an old process. Returns what came of it, for the log.
pub fn give(_server: &Arc<Server>, _moved: Value) -> String {
    String::new()
}

/// Adds what an old process has counted.
pub fn add_counted(_metrics: &Arc<Metrics>, _counted: Value) {}
