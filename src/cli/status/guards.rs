//! What protects an upstream, in lines for people: only what is out of the ordinary.

use std::fmt::Write as _;

use serde_json::Value;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Of one upstream: its breaker, its queue, its source.
pub(super) fn upstream(out: &mut String, upstream: &Value) {
    // Writing to a String cannot fail.
    let breaker = &upstream["breaker"];
    if breaker.is_object() && (breaker["phase"] != "closed" || breaker["manual"] != "auto") {
        let _ = writeln!(
            out,
            "    BREAKER {} ({}), for {} s",
            text(&breaker["phase"]),
            text(&breaker["manual"]),
            breaker["since_seconds"]
        );
    }
    let limits = &upstream["limits"];
    if limits.is_object() {
        let waiting: u64 = ["critical", "default", "bulk"]
            .iter()
            .filter_map(|class| limits["waiting"][class].as_u64())
            .sum();
        let _ = writeln!(
            out,
            "    in flight {} of {}, {waiting} waiting",
            limits["in_flight"],
            limits["limit"]
                .as_u64()
                .map_or("any".to_owned(), |limit| limit.to_string())
        );
    }
    for tier in upstream["priorities"].as_array().into_iter().flatten() {
        if tier["panic"] == true {
            let _ = writeln!(
                out,
                "    PANIC priority {}: too few endpoints are healthy, health is ignored",
                tier["priority"]
            );
        }
    }
    let source = &upstream["discovery"];
    if !source.is_object() {
        return;
    }
    let name = text(&source["source"]);
    let _ = match source["age_seconds"].as_f64() {
        Some(age) => {
            let from = text(&source["from"]);
            writeln!(out, "    from {name} ({from}, {age:.1} s ago)")
        }
        None => writeln!(out, "    from {name} (no good answer yet)"),
    };
    if source["stale"] == true {
        let _ = writeln!(out, "    STALE: the last good set is in use");
    }
    if let Some(error) = source["error"].as_str() {
        let _ = writeln!(out, "    PROBLEM {error}");
    }
}

/// Why an endpoint gets nothing.
pub(super) fn endpoint(out: &mut String, endpoint: &Value) {
    if let Some(cause) = endpoint["ejection"]["cause"].as_str() {
        let left = &endpoint["ejection"]["seconds_left"];
        let _ = writeln!(out, "      ejected for {left} s more: {cause}");
    }
    let health = &endpoint["health"];
    if health["phase"] == "down" {
        let _ = writeln!(out, "      down: {}", text(&health["error"]["text"]));
    }
}
