//! No clock runs here: times and random numbers are handed in.

mod backoff;
mod budget;
mod moved;
mod policy;
mod threads;
