//! The narrow waist between Farmgate and its plugins.
//!
//! A plugin **kind** implements [`Kind`]: it decodes its own table of the configuration and builds
//! a [`Filter`]. A filter stands in chains and is called at fixed [`Phases`] of a request's life.
//! It sees the request and the response only through the traits of [`exchange`], and it asks the
//! host for everything else through [`Services`]. It never sees the engine that carries the bytes,
//! so the same filter runs under any engine.
//!
//! Read in this order: [`facts`] (what is known of a request), [`verdict`] (what a filter may
//! answer), [`filter`] (the phases), [`exchange`] (what a filter may change), [`services`] (what the
//! host lends), [`kind`] (how a kind is configured), [`compliance`] (what every kind must pass).

pub mod compliance;
pub mod credential;
pub mod decode;
pub mod exchange;
pub mod facts;
pub mod field;
pub mod filter;
pub mod kind;
pub mod list;
pub mod services;
pub mod source;
pub mod template;
pub mod units;
pub mod verdict;
pub mod words;

pub use credential::Credential;
pub use exchange::{Headers, Request, Response, UpstreamRequest};
pub use facts::{ConnectionFacts, Consumer, Facts};
pub use filter::{BodyMode, Compression, Explained, Filter, Outcome, OverLimit, Phases};
pub use kind::{Built, Fail, Kind};
pub use services::Services;
pub use source::Source;
pub use template::Template;
pub use verdict::{Accept, Answer, FilterError, Reply, Verdict};
