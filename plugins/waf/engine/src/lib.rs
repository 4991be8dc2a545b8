//! The engine of the web application firewall: it reads SecLang rules, compiles them into a plan,
//! and judges transactions by it. It knows no proxy: bytes go in, matches and verdicts come out.
//!
//! Read in this order: [`seclang`] (the rules as written), [`transform`], [`operators`],
//! [`injection`] and [`body`] (what rules are made of), [`plan`] (what is decided when the rules are
//! compiled), [`transaction`] (one request and its response).

pub mod body;
pub mod injection;
pub mod operators;
pub mod plan;
pub mod seclang;
pub mod transaction;
pub mod transform;
pub mod work;
