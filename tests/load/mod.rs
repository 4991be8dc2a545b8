//! Tests under load. They measure, so nothing else runs beside them (.config/nextest.toml).

mod faults;
mod generator;
mod overload;
