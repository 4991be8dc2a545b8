//! Upstreams: named groups of endpoints, and the choice of one endpoint for one attempt.
//!
//! Nothing here knows the proxy engine. A request calls [`Upstream::pick`], which reads one
//! immutable [`EndpointSet`] and touches only atomics. What must outlive a reload
//! ([`EndpointState`], [`UpstreamState`]) is owned by whoever implements [`EndpointStore`].

pub mod address;
pub mod balance;
pub mod breaker;
pub mod control;
pub mod discovery;
pub mod endpoint;
pub mod ewma;
pub mod group;
pub mod hash;
pub mod health;
pub mod in_flight;
pub mod limits;
pub mod lines;
pub mod moved;
pub mod outlier;
mod ramp;
pub mod retry;
pub mod set;
pub mod shared;
pub mod spec;
pub mod tried;
pub mod turns;

pub use address::{AddressError, EndpointAddress};
pub use balance::{Pick, Policy};
pub use control::{Control, ControlError};
pub use endpoint::{Endpoint, EndpointId, EndpointState, Unavailable};
pub use group::{Picked, Upstream};
pub use in_flight::InFlight;
pub use lines::Line;
pub use moved::{MovedChange, MovedEndpoint, MovedLatency, MovedName};
pub use set::{EndpointSet, NoPick, SetOptions, TierStatus};
pub use shared::{AddressBook, EndpointStore, NoAddresses, UnsharedStore, UpstreamState};
pub use spec::{EndpointSpec, UpstreamError, UpstreamSpec};
pub use tried::TriedSet;
pub use turns::Turn;
