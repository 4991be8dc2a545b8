//! `status` and `top`.

mod cache;
mod guards;
mod load;

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

use super::client::{conclude, send};
use super::{NodeArgs, exit};

pub(super) fn status(node: &NodeArgs) -> u8 {
    match send(node, Method::GET, "status", &Value::Null) {
        Ok(answer) => conclude(node, &answer, |status| render(status, None)),
        Err(code) => code,
    }
}

/// Looks again and again; a node that goes away ends it with its exit code.
pub(super) fn top(node: &NodeArgs, interval: u64, count: u64) -> u8 {
    let mut looks = 0;
    let mut before: Option<(Value, Instant)> = None;
    loop {
        let answer = match send(node, Method::GET, "status", &Value::Null) {
            Ok(answer) => answer,
            Err(code) => return code,
        };
        if std::io::stdout().is_terminal() {
            // Home, and clear what is below: steadier than clearing first.
            print!("\x1b[H\x1b[J");
        }
        let at = Instant::now();
        let code = conclude(node, &answer, |status| {
            let earlier = before.as_ref().map(|(before, then)| {
                let seconds = at.saturating_duration_since(*then).as_secs_f64();
                (before, seconds.max(0.001))
            });
            render(status, earlier)
        });
        before = Some((answer.body, at));
        looks += 1;
        if code != exit::OK || looks == count {
            return code;
        }
        std::thread::park_timeout(Duration::from_secs(interval));
    }
}

/// The upgrade under way, how the last one failed, and the old processes.
fn upgrades(out: &mut String, upgrade: &Value) {
    if let Some(phase) = upgrade["phase"].as_str() {
        let _ = writeln!(out, "upgrade: {phase}, for {} s", upgrade["phase_seconds"]);
    }
    if let Some(reason) = upgrade["last"]["reason"].as_str() {
        let _ = writeln!(out, "last upgrade failed: {reason}");
    }
    for old in upgrade["draining"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "old process {} drains: {}", old["pid"], left(old));
    }
}

/// What a drain still waits for.
fn left(drain: &Value) -> String {
    format!(
        "{} connections, {} requests, {} tunnels, {} s left",
        drain["connections"], drain["requests"], drain["tunnels"], drain["seconds_left"]
    )
}

/// The node for people. With an earlier look, and the seconds since then, rates too.
fn render(status: &Value, before: Option<(&Value, f64)>) -> String {
    let mut out = String::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "farmgate {}  pid {}  up {} s  generation {}{}",
        text(&status["version"]),
        status["pid"],
        status["uptime_seconds"],
        status["generation"],
        if status["draining"] == true {
            "  DRAINING"
        } else {
            ""
        }
    );
    let drain = &status["drain"];
    if drain.is_object() {
        let _ = writeln!(
            out,
            "drain ({}): {}: {}",
            text(&drain["occasion"]),
            text(&drain["stage"]),
            left(drain)
        );
    }
    if status["last_reload"]["result"] == "refused" {
        let _ = writeln!(
            out,
            "last reload refused: {}",
            text(&status["last_reload"]["reason"])
        );
    }
    upgrades(&mut out, &status["upgrade"]);
    load::load(&mut out, &status["load"]);
    let before = before.map(|(before, seconds)| (&before["cache"], seconds));
    cache::cache(&mut out, &status["cache"], before);
    let _ = writeln!(out, "\nlisteners");
    for listener in status["listeners"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "  {:<20} {:<28} {:>6} connections",
            text(&listener["name"]),
            text(&listener["address"]),
            listener["connections"]
        );
    }
    for tls in status["tls"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "\ntls {:<16} {} certificates",
            text(&tls["name"]),
            tls["count"]
        );
        for certificate in tls["certificates"].as_array().into_iter().flatten() {
            let names = certificate["names"].as_array().into_iter().flatten();
            let names: Vec<String> = names.take(3).map(text).collect();
            let _ = writeln!(
                out,
                "  {:<49} {:<5} {:>5} days left",
                names.join(", "),
                text(&certificate["key"]),
                certificate["days_left"]
            );
        }
        for problem in tls["problems"].as_array().into_iter().flatten() {
            let _ = writeln!(out, "  PROBLEM {}", text(&problem["problem"]));
        }
    }
    let _ = writeln!(out, "\nupstreams");
    for upstream in status["upstreams"].as_array().into_iter().flatten() {
        let reuse = match upstream["reuse_ratio"].as_f64() {
            Some(ratio) => format!("reuse {:.0} %", ratio * 100.0),
            None => "unused".to_owned(),
        };
        let _ = writeln!(
            out,
            "  {:<20} {} connections, {reuse}",
            text(&upstream["name"]),
            upstream["connections"]
        );
        for problem in upstream["tls"]["problems"].as_array().into_iter().flatten() {
            let _ = writeln!(out, "    PROBLEM {}", text(problem));
        }
        guards::upstream(&mut out, upstream);
        for endpoint in upstream["endpoints"].as_array().into_iter().flatten() {
            let _ = writeln!(
                out,
                "    {:<26} {:<12} weight {:<6} in flight {:<5} requests {:<9} failures {}",
                text(&endpoint["address"]),
                text(&endpoint["state"]),
                endpoint["weight"],
                endpoint["in_flight"],
                endpoint["requests"],
                endpoint["failures"]
            );
            guards::endpoint(&mut out, endpoint);
        }
    }
    for name in status["names"].as_array().into_iter().flatten() {
        if name["age_seconds"].is_null() {
            let host = text(&name["host"]);
            let _ = writeln!(
                out,
                "\nPROBLEM {host} does not resolve: it stands for no endpoint"
            );
        }
    }
    for plugin in status["plugins"].as_array().into_iter().flatten() {
        if plugin["on"] == false {
            let _ = writeln!(out, "\nplugin {} is switched OFF", text(&plugin["name"]));
        }
        let report = plugin["report"].as_array();
        for (at, line) in report.into_iter().flatten().enumerate() {
            if at == 0 {
                let _ = writeln!(out, "\nplugin {}", text(&plugin["name"]));
            }
            let _ = writeln!(out, "  {}", text(line));
        }
    }
    out.trim_end().to_owned()
}
