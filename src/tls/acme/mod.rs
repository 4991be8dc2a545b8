//! Certificates ordered from an authority (RFC 8555).
//!
//! [`Orders`] keeps one certificate alive: it serves what is stored, orders when something is missing or due, and goes
//! on serving when an order fails. [`Storage`] is a folder that several nodes may share; one of them orders, the others
//! pick the result up. [`Challenges`] answers the authority's validations, on every node, from that folder. [`renewal`]
//! decides when, on a given clock. [`settings`] says what is wrong with the words before anything starts.
//!
//! ```text
//! Orders ──► renewal      due now, or when?
//!    ├─────► storage      what is there; the lease of who orders
//!    ├─────► authority    the order itself, through transport (BoringSSL)
//!    └─────► challenges   what the authority will ask the nodes
//! ```

mod account;
mod authority;
mod challenges;
mod error;
mod orders;
pub mod renewal;
mod request;
pub mod settings;
pub mod storage;
mod transport;
mod validation;

pub use challenges::Challenges;
pub use error::{AcmeError, Stage};
pub use orders::{AcmeEvent, Orders, Pace};
pub use settings::{Asked, Challenge, Fault, Settings};
pub use storage::Storage;
pub use validation::{PROTOCOL, is_validation};
