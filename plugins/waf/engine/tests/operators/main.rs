//! The operators against libmodsecurity.

mod cases;
mod library;
