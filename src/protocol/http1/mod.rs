//! Strict HTTP/1 request reading: heads, framing and bodies, as pure decisions over bytes.
//!
//! Request smuggling needs two readers that disagree on where a request ends. This reader therefore
//! accepts only what every reader of RFC 9112 understands the same way, and refuses the rest with a
//! status and a closed-set [`Reason`]. It repairs nothing, and it forwards nothing it did not understand.
//!
//! - [`parse_head`] looks at the bytes read so far and says where the head ends and how the body is framed.
//! - [`BodyGuard`] follows the bytes after the head and says where the request ends.
//!
//! Neither copies, allocates or does I/O. After a [`Reject`] the connection must be closed.

pub mod authority;
mod body;
mod classes;
mod error;
mod fields;
mod head;
mod request_line;
mod trailers;

pub use body::{BodyGuard, MAX_EXTENSION_BYTES};
pub use error::{Reason, Reject};
pub use head::{Framing, Head, HeadLimits, HeadStatus, Span, TargetForm, Version, parse_head};
pub(crate) use request_line::split_absolute;
pub use trailers::MAX_TRAILER_BYTES;

#[cfg(test)]
mod body_tests;
#[cfg(test)]
mod corpus_tests;
#[cfg(test)]
mod head_tests;
