//! How tables of the configuration become typed words, with every mistake placed.
//!
//! A file is parsed once ([`Table::parse`]) into a tree that knows where each value stands. A table
//! is decoded into a serde type ([`decode`]): all its mistakes are collected, each at its own key or
//! value, with the nearest valid word. Own visitors ask [`current`] where they are.

pub mod current;
mod deserializer;
mod diagnostic;
mod engine;
mod error;
mod located;
mod nearest;
mod path;
mod secret;
mod source_file;
mod table;
#[cfg(test)]
mod tests;
mod value;

pub use diagnostic::{Diagnostic, Diagnostics, Place, Severity};
pub use engine::decode;
pub use error::codes;
pub use located::Located;
pub use nearest::{did_you_mean, nearest};
pub use path::RelPath;
pub use secret::Secret;
pub use source_file::SourceFile;
pub use table::Table;
pub use value::{Entry, Node, Span, Value};
