//! Chapter 1, words: what an operator writes, read and placed, with every mistake at once.
//!
//! `load` finds the files and unites them, `words` holds what may be written, `later` what will be
//! some day, `schema` and `dump` show both to people and editors, `codes` explains the diagnostics.
//! What the words mean together is decided in `compile`.

pub mod codes;
pub mod dump;
pub mod load;
pub mod schema;
pub mod words;

pub use dump::dump;
pub use load::{Loaded, Text, load, load_str, load_texts};
pub use words::Config;
