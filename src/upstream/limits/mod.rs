//! What holds load back: places for requests, a short queue for them, bulkheads and a limit that finds itself.
//!
//! - [`Gate`], one per upstream: at most so many requests at once, exactly. What finds no place waits in a bounded
//!   queue until a deadline, by class, and is refused early when the queue is full. The queue serves first come, first
//!   served within a class, as the queues of HAProxy (`maxconn`, `timeout queue`) and the priorities of Envoy do.
//! - [`Bulkhead`], one per process: at most so many requests at once per route, or per route and tenant.
//! - [`Adaptive`], in the gate: the limit that follows the origin's latency (Netflix concurrency-limits, Gradient2;
//!   Envoy, adaptive_concurrency).
//!
//! All three are state that outlives a reload. The options come with every call, so they may change in between.

pub mod adaptive;
pub mod bulkhead;
pub mod gate;
mod queue;
#[cfg(test)]
mod tests;
mod ticket;

use std::time::Duration;

pub use adaptive::{Adaptive, AdaptiveOptions, MovedLimit};
pub use bulkhead::{Bulkhead, Occupied};
pub use gate::{Gate, GateStatus, Place, Waiting};

/// How much a request matters when not all can be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Served first, shed last.
    Critical,
    /// What says nothing else.
    #[default]
    Default,
    /// Served last, shed first.
    Bulk,
}

impl Class {
    /// All, what matters most first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Default, Self::Bulk];

    /// The word of the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Default => "default",
            Self::Bulk => "bulk",
        }
    }
}

/// Why a request got no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// The queue was full, or its place in the queue went to a request of a higher class.
    Full,
    /// It waited as long as it may.
    TimedOut,
}

impl Shed {
    /// The word for logs and labels.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "queue_full",
            Self::TimedOut => "queue_timeout",
        }
    }
}

/// What is configured for a [`Gate`].
#[derive(Clone, Debug, PartialEq)]
pub struct GateOptions {
    /// Most requests at once, up to [`gate::MOST_IN_FLIGHT`]; `None` is that number. With 0 nobody enters.
    pub in_flight: Option<u32>,
    /// Most requests that wait, up to [`gate::MOST_WAITING`]. With 0 nobody waits.
    pub queue: u32,
    /// Longest wait; the request's own deadline may be earlier.
    pub queue_timeout: Duration,
    /// A limit below `in_flight` that follows the origin's latency.
    pub adaptive: Option<AdaptiveOptions>,
}

impl Default for GateOptions {
    /// No limit, no queue.
    fn default() -> Self {
        Self {
            in_flight: None,
            queue: 0,
            queue_timeout: Duration::from_secs(1),
            adaptive: None,
        }
    }
}
