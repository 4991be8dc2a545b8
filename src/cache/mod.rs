//! HTTP caching (RFC 9111), pure: what may be stored, how long it is fresh, whom it answers. Free of Pingora, of the
//! store and of any runtime: requests, responses and times come in as values, decisions go out.
//!
//! ```text
//! request  -> asked (what it asks of the cache)  -> key (what it is about)
//!                 |                                    |  lookup
//!                 v                                    v
//!              serve: the decision, one table  <- meta (kept with the object) <- purge (stamps)
//!                 |  hit                |  ask the origin
//!                 v                     v
//! conditional, range, status    conditional (our validators) -> response
//!                                       |                          |
//!                            update (304, HEAD)        storable: control, targeted, freshness, vary, guard -> meta
//!                                                                  |
//!                                                       invalidate (unsafe methods), unstored (hit-for-miss)
//! ```
//!
//! Each decision and the section behind it: docs/internals/cache-rules.md.

pub mod asked;
pub mod clock;
pub mod compressible;
pub mod conditional;
pub mod control;
pub mod date;
pub mod etag;
pub mod fields;
pub mod freshness;
pub mod guard;
pub mod invalidate;
pub mod key;
pub mod meta;
pub mod policy;
pub mod purge;
pub mod range;
pub mod serve;
pub mod shared;
pub mod status;
pub mod storable;
pub mod targeted;
pub mod unstored;
pub mod update;
pub mod vary;

pub use asked::{Asked, Identity, Request};
pub use clock::{Now, Timeline};
pub use key::{Key, KeyHash, KeyParts, KeyRules};
pub use meta::Meta;
pub use meta::head::StoredHead;
pub use policy::Policy;
pub use serve::{Serve, decide};
pub use shared::SharedCache;
pub use storable::{Plan, Refusal, Response, judge};

#[cfg(test)]
mod cases;
