//! The cache's part of `status` and `top`.

use std::fmt::Write as _;

use serde_json::Value;

/// Shows it; with an earlier look, and the seconds since then, rates too.
pub(super) fn cache(out: &mut String, now: &Value, before: Option<(&Value, f64)>) {
    if !now.is_object() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, "\ncache");
    for problem in now["problems"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "  PROBLEM {}", problem.as_str().unwrap_or_default());
    }
    let rate = |of: &dyn Fn(&Value) -> &Value, now: &Value, before: &Value, seconds: f64| {
        let (now, before) = (of(now).as_u64()?, of(before).as_u64()?);
        // Less than before: another process answers.
        let more = now.checked_sub(before)?;
        Some(more as f64 / seconds)
    };
    let _ = writeln!(out, "  {}", helps(now));
    if let Some((before, seconds)) = before {
        let of = |name: &'static str| rate(&|of| &of[name], now, before, seconds);
        let fills = rate(&|of| &of["store"]["fills"], now, before, seconds);
        if let (Some(requests), Some(hits), Some(saved), Some(fills)) =
            (of("requests"), of("hits"), of("saved_bytes"), fills)
        {
            let saved = bytes(saved as u64);
            let _ = writeln!(
                out,
                "  now: {requests:.1} requests/s, {hits:.1} hits/s, {fills:.1} fills/s, {saved}/s saved"
            );
        }
    }
    let store = &now["store"];
    if store.is_object() {
        let used = |what: &str| {
            let (used, limit) = (
                &store[format!("{what}_bytes")],
                &store[format!("{what}_limit_bytes")],
            );
            let (used, limit) = (used.as_u64().unwrap_or(0), limit.as_u64().unwrap_or(0));
            match limit {
                0 => "none".to_owned(),
                limit => format!(
                    "{} of {} ({:.0} %)",
                    bytes(used),
                    bytes(limit),
                    used as f64 * 100.0 / limit as f64
                ),
            }
        };
        let _ = writeln!(
            out,
            "  memory {}   disk {}   objects {} ({} on disk)",
            used("memory"),
            used("disk"),
            store["objects"],
            store["disk_objects"]
        );
        let _ = writeln!(
            out,
            "  waiting {}   fetches {}   fills {} now, {} so far   disk queue {}   unstorable keys {}   purges in force {}",
            store["waiting"],
            store["flights"],
            store["fills_now"],
            store["fills"],
            store["disk_queue"],
            store["unstored_keys"],
            store["purges_in_force"]
        );
    }
    for route in now["routes"].as_array().into_iter().flatten() {
        let earlier = before.and_then(|(before, seconds)| {
            let all = before["routes"].as_array()?;
            let own = all.iter().find(|one| one["name"] == route["name"])?;
            let of = |name: &'static str| rate(&|of| &of[name], route, own, seconds);
            Some((of("requests")?, of("hits")?))
        });
        let rates = earlier.map_or(String::new(), |(requests, hits)| {
            format!("   {requests:.1} requests/s, {hits:.1} hits/s")
        });
        let name = route["name"].as_str().unwrap_or_default();
        let _ = writeln!(out, "    {name:<20} {}{rates}", helps(route));
        let answers = route["answers"].as_object().into_iter().flatten();
        let answers: Vec<String> = answers
            .map(|(how, count)| format!("{how} {count}"))
            .collect();
        let refusals = route["not_stored"].as_array().into_iter().flatten();
        let refusals: Vec<String> = refusals
            .map(|one| {
                format!(
                    "{} {}",
                    one["why"].as_str().unwrap_or_default(),
                    one["count"]
                )
            })
            .collect();
        if !answers.is_empty() {
            let _ = writeln!(out, "      {}", answers.join(", "));
        }
        if !refusals.is_empty() {
            let _ = writeln!(out, "      not stored: {}", refusals.join(", "));
        }
    }
}

/// Whether it helps.
fn helps(of: &Value) -> String {
    let share = |name: &str| match of[name].as_f64() {
        Some(share) => format!("{:.1} %", share * 100.0),
        None => "-".to_owned(),
    };
    format!(
        "hits {} of {} requests, {} of {}",
        share("hit_ratio"),
        of["requests"],
        share("byte_hit_ratio"),
        bytes(of["body_bytes"].as_u64().unwrap_or(0))
    )
}

/// Bytes for people: three digits and a unit.
fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    match UNITS.iter().find(|(unit, _)| count >= *unit) {
        None => format!("{count} B"),
        Some((unit, name)) => format!("{:.1} {name}", count as f64 / *unit as f64),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn look(requests: u64, hits: u64, fills: u64) -> Value {
        json!({
            "problems": [],
            "requests": requests, "hits": hits, "hit_ratio": 0.5,
            "body_bytes": 3 << 20, "saved_bytes": hits * 1024, "byte_hit_ratio": null,
            "store": {
                "memory_bytes": 1 << 20, "memory_limit_bytes": 4 << 20,
                "disk_bytes": 0, "disk_limit_bytes": 0, "fills": fills,
            },
            "routes": [{ "name": "site", "requests": requests, "hits": hits }],
        })
    }

    fn shown(now: &Value, before: Option<(&Value, f64)>) -> String {
        let mut out = String::new();
        cache(&mut out, now, before);
        out
    }

    #[test]
    fn rates_are_told_between_two_looks_of_one_process() {
        let (one, two) = (look(100, 40, 7), look(120, 50, 9));
        let text = shown(&two, Some((&one, 2.0)));
        let now = "now: 10.0 requests/s, 5.0 hits/s, 1.0 fills/s, 5.0 KiB/s saved";
        assert!(text.contains(now), "{text}");
        assert!(text.contains("   10.0 requests/s, 5.0 hits/s\n"), "{text}");
        assert!(
            text.contains("hits 50.0 % of 120 requests, - of 3.0 MiB"),
            "{text}"
        );
        assert!(
            text.contains("memory 1.0 MiB of 4.0 MiB (25 %)   disk none"),
            "{text}"
        );
        for text in [shown(&two, None), shown(&one, Some((&two, 2.0)))] {
            assert!(!text.contains("requests/s"), "{text}");
        }
    }

    #[test]
    fn problems_come_first_and_nothing_is_nothing() {
        let mut sick = look(1, 1, 1);
        sick["problems"] = json!(["it is sick"]);
        assert!(shown(&sick, None).starts_with("\ncache\n  PROBLEM it is sick\n"));
        assert_eq!(shown(&Value::Null, None), "");
    }
}
