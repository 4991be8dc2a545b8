//! The operators against libmodsecurity.

mod cases;
#[path = "../driver/mod.rs"]
mod driver;
mod library;
