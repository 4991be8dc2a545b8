//! HTTP/2 frames as they pass by (RFC 9113): what a connection does is counted from the nine bytes in front of every
//! frame, payloads are skipped. The engine speaks the protocol; this watches that nobody abuses it.

mod budget;
mod frame;
mod guard;
#[cfg(test)]
mod tests;

pub use budget::Budget;
pub use frame::{Frame, FrameReader, kind};
pub use guard::{Breach, FrameGuard, GoAway, GuardLimits};
