//! What the configuration decides about the choice, besides the policy.

use std::sync::Arc;
use std::time::Duration;

/// Options of one upstream's sets.
#[derive(Clone, Debug, PartialEq)]
pub struct SetOptions {
    /// Where this node runs.
    pub zone: Option<Arc<str>>,
    /// Endpoints of `zone` come first, the others take what it is too short for.
    pub prefer_zone: bool,
    /// 0.0..=1.0: in a priority with a smaller share of available weight all endpoints are used,
    /// available or not. 0.0: only when nothing at all is available.
    pub panic_threshold: f32,
    /// How long the weight of an endpoint that came takes to grow from 10 % to 100 %.
    pub slow_start: Option<Duration>,
    /// Most attempts in flight to one endpoint, exact over all threads.
    pub per_endpoint: Option<u32>,
}

impl Default for SetOptions {
    fn default() -> Self {
        Self {
            zone: None,
            prefer_zone: false,
            panic_threshold: 0.5,
            slow_start: None,
            per_endpoint: None,
        }
    }
}
