//! TLS: certificates and who gets which.
//!
//! [`edge`] is one `[[tls]]` in force and follows its files ([`files`]); the rest is what it is made of:
//! [`certificate`] reads a chain with its key and says what is wrong with it; [`store`] finds the one for a server
//! name; [`offer`] reads from the ClientHello which kinds of keys the client can verify; [`context`] is what a
//! `[[tls]]` offers: policy, protocols, and the certificate for each handshake; [`tickets`] (of [`secrets`]) lets nodes
//! resume each other's sessions; [`identity`] is who a client with a certificate is; [`clients`] is whom to believe
//! among them, with the revocation lists that [`crl`] reads; [`ocsp`] is the answer about our own certificates;
//! [`failure`] says why a handshake failed; [`upstream`] is TLS towards endpoints.

pub mod acme;
mod alert;
mod authorities;
pub mod certificate;
pub mod clients;
pub mod context;
pub mod crl;
pub mod edge;
pub mod failure;
pub mod files;
pub mod identity;
pub mod ocsp;
pub mod offer;
#[cfg(test)]
mod openssl;
mod parts;
mod read;
pub mod secrets;
mod signature;
pub mod store;
pub mod tickets;
pub mod upstream;

pub use certificate::{Certificate, CertificateError, KeyKind};
pub use clients::{Admission, ClientAuth, ClientAuthority, ClientMode, ClientRefusal, Standing};
pub use context::{Alpn, Policy};
pub use edge::{Edge, EdgeError, EdgeSpec, EdgeWarning, Material, MovedTickets};
pub use failure::failure_of;
pub use identity::{Identity, SanRule};
pub use ocsp::{OcspError, Staple};
pub use offer::Offer;
pub use store::{Store, StoreBuilder};
