//! The health of one endpoint in the form that another process takes over at an upgrade.

use serde::{Deserialize, Serialize};

/// Ages, not instants: stamps of one process mean nothing in another. Every field has a default and unknown ones are
/// passed over, as in the rest of what moves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MovedHealth {
    /// It was held back; otherwise it was up.
    pub down: bool,
    /// How long, in milliseconds.
    pub since_ms: Option<u64>,
    /// Good probes in a row.
    pub good: u32,
    /// Failed probes in a row.
    pub bad: u32,
    /// Probes that ended.
    pub probes_total: u64,
    /// Of these, failed.
    pub failures_total: u64,
    /// When it left or returned, in milliseconds before now, oldest first.
    pub flaps_ms: Vec<u64>,
}
