//! The engine in process: regression tests, corpora, and the plan against the naive evaluation.

mod bounds;
mod corpora;
mod differential;
mod regression;
mod worst;
