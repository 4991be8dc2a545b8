//! Tests of the whole: the real binary, real sockets. One binary, so that the project links once.

mod harness;
mod scenarios;
