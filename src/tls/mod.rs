//! TLS: certificates and who gets which.
//!
//! [`certificate`] reads a chain with its key and says what is wrong with it; [`store`] finds the one for a server
//! name; [`offer`] reads from the ClientHello which kinds of keys the client can verify.

pub mod certificate;
pub mod offer;
pub mod store;

pub use certificate::{Certificate, CertificateError, KeyKind};
pub use offer::Offer;
pub use store::{Store, StoreBuilder};
