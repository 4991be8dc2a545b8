//! Tests of the whole: the real binary, real sockets. One binary, so that the project links once.

mod acme;
mod admin;
mod cache;
mod compile;
mod conformance;
mod contract;
mod drain;
mod explain_agrees;
mod harness;
mod limits;
mod load;
mod reload;
mod scenarios;
mod tls;
mod upgrade;
mod waf;
