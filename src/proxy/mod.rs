//! The request: from its head to its log record.
//!
//! Read [`pipeline`] first: it is the order of things. [`ctx`] is what a request knows, [`exchange`]
//! what filters see of it, [`chains`] how filters are called, [`fields`] and [`deadline`] the header fields we write,
//! [`respond`] the answers we make, [`caching`] what the cache does, [`finish`] the end. What clients send is read in `crate::protocol`.
//! [`pingora`] is the engine that carries the bytes; nothing else here knows it.

pub mod admission;
pub mod attempt;
pub mod body_memory;
pub mod caching;
pub mod chains;
pub mod connection;
pub mod control;
pub mod ctx;
pub mod deadline;
pub mod exchange;
pub mod fallback;
pub mod fields;
pub mod finish;
pub mod id;
pub mod outgoing;
pub mod pingora;
pub mod pipeline;
pub mod request;
pub mod respond;
pub mod start;
