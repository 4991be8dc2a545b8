//! One form of the target for router, plugins, cache key and upstream (RFC 3986 section 6.2.2).
//!
//! Two readers that spell a path differently let a client walk around a rule that was written for one of the
//! spellings. So the target is normalised once, here, and everybody after sees this form only.

mod classes;
mod host;
mod normalise;

pub use host::{normalise_host, port_of};
pub use normalise::{EscapedSlash, NormalisedUri, UriPolicy, normalise};

#[cfg(test)]
mod tests;
