//! Commands that change a running node.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::client::{conclude, send};
use super::{NodeArgs, exit};

/// Commands that may take their time.
#[derive(Args, Clone)]
pub(super) struct WaitArgs {
    #[command(flatten)]
    pub(super) node: NodeArgs,
    /// Return at once.
    #[arg(long)]
    no_wait: bool,
}

pub(super) fn reload(args: &WaitArgs) -> u8 {
    change(&args.node, "reload", &Value::Null)
}

pub(super) fn rollback(node: &NodeArgs, generation: Option<u64>) -> u8 {
    change(node, "rollback", &json!({ "generation": generation }))
}

fn change(node: &NodeArgs, command: &str, body: &Value) -> u8 {
    let answer = match send(node, Method::POST, command, body) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    conclude(node, &answer, |body| {
        let mut text = format!("generation {} is in force", body["generation"]);
        for warning in body["warnings"].as_array().into_iter().flatten() {
            let message = warning["message"].as_str().unwrap_or_default();
            text.push_str(&format!("\nwarning: {message}"));
        }
        text
    })
}

pub(super) fn upgrade(args: &WaitArgs) -> u8 {
    let body = json!({ "wait": !args.no_wait });
    let answer = match send(&args.node, Method::POST, "upgrade", &body) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    conclude(&args.node, &answer, |body| match body["pid"].as_u64() {
        Some(pid) => format!(
            "process {pid} ({}) serves now, generation {}",
            body["version"].as_str().unwrap_or_default(),
            body["generation"]
        ),
        None => "upgrading; see `farmgate status`".to_owned(),
    })
}

pub(super) fn drain(args: &WaitArgs) -> u8 {
    let body = json!({ "wait": !args.no_wait });
    let answer = match send(&args.node, Method::POST, "drain", &body) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    conclude(&args.node, &answer, drained)
}

/// What a drain came to, with what its deadline cut.
fn drained(body: &Value) -> String {
    let (Some(cut), Some(idle)) = (body["cut"].as_u64(), body["idle"].as_u64()) else {
        return "draining".to_owned();
    };
    let kinds = body["kinds"].as_object().into_iter().flatten();
    let kinds: Vec<_> = kinds.map(|(kind, n)| format!("{n} {kind}")).collect();
    let kinds = kinds.join(", ");
    match (cut, idle) {
        (0, 0) => "drained".to_owned(),
        (0, _) => format!("drained, and closed what was idle at the deadline: {kinds}"),
        _ => format!("drained, but the deadline cut {cut}: {kinds}"),
    }
}

pub(super) fn history(node: &NodeArgs) -> u8 {
    let answer = match send(node, Method::GET, "history", &Value::Null) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    conclude(node, &answer, |body| {
        let mut lines = Vec::new();
        for entry in body["history"].as_array().into_iter().flatten() {
            let at = entry["at"].as_u64().unwrap_or_default();
            lines.push(format!(
                "{:>6}  {}  {}{}",
                entry["generation"].as_u64().unwrap_or_default(),
                crate::telemetry::clock::rfc3339(at * 1000),
                entry["why"].as_str().unwrap_or_default(),
                if entry["current"] == true {
                    "  (in force)"
                } else {
                    ""
                }
            ));
        }
        lines.join("\n")
    })
}

pub(super) fn reopen_logs(node: &NodeArgs) -> u8 {
    match send(node, Method::POST, "reopen-logs", &Value::Null) {
        Ok(answer) => conclude(node, &answer, |_| "logs are open again".to_owned()),
        Err(code) => code,
    }
}

pub(super) fn endpoint(
    node: &NodeArgs,
    upstream: &str,
    address: &str,
    action: &str,
    weight: Option<u32>,
) -> u8 {
    if (action == "weight") != weight.is_some() {
        err!("farmgate: write `endpoint UPSTREAM ADDRESS drain|enable|weight N`");
        return exit::USAGE;
    }
    let body = json!({
        "upstream": upstream, "address": address, "action": action, "weight": weight,
    });
    match send(node, Method::POST, "endpoint", &body) {
        Ok(answer) => conclude(node, &answer, |body| {
            format!("{action}: {} endpoints", body["endpoints"])
        }),
        Err(code) => code,
    }
}

pub(super) fn breaker(node: &NodeArgs, upstream: &str, action: &str) -> u8 {
    let body = json!({ "upstream": upstream, "action": action });
    match send(node, Method::POST, "breaker", &body) {
        Ok(answer) => conclude(node, &answer, |body| {
            let phase = body["phase"].as_str().unwrap_or_default();
            format!("breaker of {upstream}: {action}, now {phase}")
        }),
        Err(code) => code,
    }
}

pub(super) fn plugin(node: &NodeArgs, name: &str, on: bool) -> u8 {
    match send(
        node,
        Method::POST,
        "plugin",
        &json!({ "name": name, "on": on }),
    ) {
        Ok(answer) => conclude(node, &answer, |_| {
            format!("plugin {name} is {}", if on { "on" } else { "off" })
        }),
        Err(code) => code,
    }
}
