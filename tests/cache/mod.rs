//! The HTTP cache in the running node.

mod contract;
mod folders;
