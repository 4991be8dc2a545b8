//! How the node stands towards its limits.

use serde_json::{Value, json};

use crate::server::overload::{Load, Reading, Resource, Usage};
use crate::upstream::limits::Class;

/// The readings of the overload guard, what it sheds, and why. A limit of null is off; a reading of null cannot be taken
/// on this machine.
pub(super) fn load(load: &Load) -> Value {
    let usage = |reading: &Option<Reading<Usage, f32>>| {
        reading.as_ref().map(|reading| {
            json!({ "used": reading.value.used, "of": reading.value.of, "limit": reading.limit })
        })
    };
    let shares = Class::ALL.iter().zip(load.shedding);
    let shed = shares.map(|(class, share)| {
        let share = f64::from(share) / f64::from(u8::MAX);
        (class.word().to_owned(), json!(share))
    });
    json!({
        "cpu": usage(&load.cpu),
        "memory": usage(&load.memory),
        "open_files": usage(&load.open_files),
        "loop_lag": load.loop_lag.as_ref().map(|lag| json!({
            "mean_ms": lag.value.mean.as_secs_f64() * 1000.0,
            "worst_ms": lag.value.worst.as_secs_f64() * 1000.0,
            "limit_ms": lag.limit.map(|limit| limit.as_secs_f64() * 1000.0),
        })),
        "shed": shed.collect::<serde_json::Map<_, _>>(),
        "by": load.hot.map(Resource::word),
    })
}
