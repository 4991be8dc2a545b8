//! Tests under load. They measure, so nothing else runs beside them (.config/nextest.toml).

mod generator;
mod overload;
