//! The transformations against vectors, against libmodsecurity, and against what they promise.

mod escape;
mod library;
mod properties;
mod strings;
mod vectors;
