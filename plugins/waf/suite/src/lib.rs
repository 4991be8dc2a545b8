//! A runner of regression tests for rules of web application firewalls, in the format of the public
//! ftw-tests-schema (v2), which the OWASP Core Rule Set uses.
//!
//! ```text
//! schema -> load -> request -> (a subject: engine, peer, or a node over sockets) -> judge -> report
//!                                             origin answers                         overrides
//! ```
//!
//! - [`schema`]: the words of a test file. An unknown word is an error.
//! - [`load`]: folders to stages, templates written out.
//! - [`request`]: a stage's bytes, and bytes back to a request as an HTTP/1 server reads it.
//! - [`front`]: what a server in front refuses before any rule sees it.
//! - [`origin`]: the answers of the suite's origin.
//! - [`engine`]: the engine in this process. [`peer`]: nginx with libmodsecurity.
//! - [`differential`]: a plan beside the naive evaluation of the same rules.
//! - [`judge`], [`overrides`], [`report`]: pass or fail, and the count.
//! - [`corpus`]: requests in a short text format, for the benign and the attack corpus.
//!
//! Of tests only: nothing of it ships.

pub mod corpus;
pub mod differential;
pub mod engine;
pub mod front;
pub mod judge;
pub mod load;
pub mod origin;
pub mod overrides;
pub mod peer;
pub mod places;
pub mod report;
pub mod request;
pub mod schema;
pub mod template;
pub mod worst;

pub use judge::{Evidence, Found};
pub use load::Stage;
