//! The port against what it is a port of, and by itself.

mod answer;
mod corpus;
mod kept;
