//! The transformations against vectors, against libmodsecurity, and against what they promise.

#[path = "../driver/mod.rs"]
mod driver;
mod escape;
mod library;
mod properties;
mod strings;
mod vectors;
