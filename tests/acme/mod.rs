//! Certificates ordered from a real authority: pebble, started by the tests with a DNS server of its own.

mod contract;
mod failures;
mod front;
mod hostile;
mod leases;
mod node;
mod orders;
mod pebble;
mod responder;
mod serving;
