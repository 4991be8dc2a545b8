//! How the node stands, for people.

use std::fmt::Write as _;

use serde_json::Value;

/// One line of readings, and one of what is shed.
pub(super) fn load(out: &mut String, load: &Value) {
    let parts = [
        share("cpu", &load["cpu"]),
        share("memory", &load["memory"]),
        share("open files", &load["open_files"]),
        lag(&load["loop_lag"]),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if !parts.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "load: {}", parts.join(", "));
    }
    let shed = load["shed"].as_object().into_iter().flatten();
    let shed = shed.filter_map(|(class, share)| Some((class, share.as_f64()?)));
    let shed = shed.filter(|(_, share)| *share > 0.0);
    let shed: Vec<String> = shed
        .map(|(class, share)| format!("{class} {:.0} %", share * 100.0))
        .collect();
    if !shed.is_empty() {
        let by = load["by"].as_str().unwrap_or("load");
        let _ = writeln!(out, "OVERLOAD by {by}: turned away: {}", shed.join(", "));
    }
}

fn share(name: &str, reading: &Value) -> Option<String> {
    let (used, of) = (reading["used"].as_f64()?, reading["of"].as_f64()?);
    let share = if of > 0.0 { used / of * 100.0 } else { 0.0 };
    Some(match reading["limit"].as_f64() {
        Some(limit) => format!("{name} {share:.0} % of {:.0}", limit * 100.0),
        None => format!("{name} {share:.0} %"),
    })
}

fn lag(reading: &Value) -> Option<String> {
    let mean = reading["mean_ms"].as_f64()?;
    Some(match reading["limit_ms"].as_f64() {
        Some(limit) => format!("lag {mean:.1} ms of {limit:.0}"),
        None => format!("lag {mean:.1} ms"),
    })
}
