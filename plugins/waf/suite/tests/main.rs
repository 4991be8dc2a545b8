//! The engine in process: regression tests, corpora, and the plan against the naive evaluation.

mod bounds;
mod corpora;
mod differential;
mod programs;
mod regression;
mod worst;
