//! Tests of the limits: each promise that is exact under threads, each order by hand, the adaptive limit by simulation.

mod bulkhead;
mod gate;
mod simulation;
mod states;
mod threads;
