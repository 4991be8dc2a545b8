//! TLS: certificates and who gets which.
//!
//! [`certificate`] reads a chain with its key and says what is wrong with it; [`store`] finds the one for a server
//! name; [`offer`] reads from the ClientHello which kinds of keys the client can verify; [`context`] is what a
//! `[[tls]]` offers: policy, protocols, and the certificate for each handshake; [`tickets`] lets nodes
//! resume each other's sessions; [`identity`] is who a client with a certificate is.

pub mod certificate;
pub mod context;
pub mod identity;
pub mod offer;
pub mod store;
pub mod tickets;

pub use certificate::{Certificate, CertificateError, KeyKind};
pub use context::{Alpn, Policy};
pub use identity::{Identity, SanRule};
pub use offer::Offer;
pub use store::{Store, StoreBuilder};
