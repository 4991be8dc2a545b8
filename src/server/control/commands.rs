//! The control socket's commands, under `/v1/`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::Method;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::explain::{again, cached, endpoints_served};
use super::super::reload::{Refused, Reloaded};
use super::super::status::status;
use super::super::upgrade::{refusal, upgrade};
use super::super::{Server, drain, signals};
use super::{Answer, admin, json as reply, purge};
use crate::telemetry::DrainCuts;
use crate::upstream::Control;
use crate::upstream::breaker::Manual;

/// Most bytes of a command.
const COMMAND_BYTES: usize = 64 * 1024;

pub(super) async fn answer(server: &Arc<Server>, request: http::Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let Some(command) = path.strip_prefix("/v1/") else {
        return admin::answer_to(server, &head.method, &path);
    };
    let body = match Limited::new(body, COMMAND_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return refused(413, "the command is too long"),
    };
    let (name, rest) = command.split_once('/').unwrap_or((command, ""));
    match (&head.method, name, rest) {
        (&Method::GET, "status", "") => reply(200, &status(server)),
        (&Method::GET, "history", "") => history(server),
        (&Method::GET, "explain", id) => explain(server, id),
        (&Method::GET, "purges", "") => purge::since(server, head.uri.query()),
        (&Method::POST, "reload", "") => changed(server.reload().await),
        (&Method::POST, "rollback", "") => rollback(server, &body).await,
        (&Method::POST, "upgrade", "") => upgraded(server, &body).await,
        (&Method::POST, "drain", "") => going_down(server, &body).await,
        (&Method::POST, "purge", "") => purge::order(server, &body).await,
        (&Method::POST, "purges", "") => purge::apply(server, &body).await,
        (&Method::POST, "reopen-logs", "") => match signals::reopen_logs(server) {
            Ok(()) => reply(200, &json!({ "reopened": true })),
            Err(why) => refused(409, &why),
        },
        (&Method::POST, "endpoint" | "plugin" | "breaker", "")
            if server.upgrades.is_handing_over() =>
        {
            refused(409, "another process takes over just now: ask again")
        }
        (&Method::POST, "endpoint", "") => endpoint(server, &body),
        (&Method::POST, "plugin", "") => plugin(server, &body),
        (&Method::POST, "breaker", "") => breaker(server, &body),
        _ => refused(404, "no such command"),
    }
}

pub(super) fn refused(status: u16, why: &str) -> Answer {
    reply(status, &json!({ "error": why }))
}

fn changed(result: Result<Reloaded, Refused>) -> Answer {
    match result {
        Ok(done) => reply(
            200,
            &json!({
                "generation": done.generation,
                "warnings": done.warnings.iter().collect::<Vec<_>>(),
            }),
        ),
        Err(Refused(diagnostics)) => reply(
            409,
            &json!({
                "error": "refused, nothing changed",
                "diagnostics": diagnostics.iter().collect::<Vec<_>>(),
                "text": diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }),
        ),
    }
}

fn history(server: &Server) -> Answer {
    let current = server.node.current.load().generation;
    let history = server.history.lock();
    let entries: Vec<Value> = history
        .entries()
        .rev()
        .map(|entry| {
            json!({
                "generation": entry.generation,
                "at": entry.at,
                "why": entry.why,
                "files": entry.files.iter().map(|file| &file.name).collect::<Vec<_>>(),
                "current": entry.generation == current,
            })
        })
        .collect();
    reply(200, &json!({ "history": entries }))
}

fn explain(server: &Server, id: &str) -> Answer {
    let ring = server.node.explain.load_full();
    match ring.and_then(|ring| ring.get(id)) {
        Some((line, behind)) => {
            let told = match serde_json::from_slice::<Value>(&line) {
                Ok(told) => told,
                Err(error) => return refused(500, &error.to_string()),
            };
            // What filters noted stands before what the cache keeps.
            let (notes, behind) = match behind.iter().position(|byte| *byte == b'\n') {
                Some(at) => (behind.get(..at), behind.get(at + 1..)),
                None => (None, Some(&*behind)),
            };
            let notes = String::from_utf8_lossy(notes.unwrap_or_default());
            let notes: Vec<&str> = notes.split_terminator('\r').collect();
            let behind = behind.unwrap_or_default();
            let snapshot = server.node.current.load();
            let same = told["generation"] == snapshot.generation;
            let cache = cached(&snapshot, &told, behind, same);
            let (decision, note) = if same {
                let mut decision = again(&snapshot, &told).unwrap_or_default();
                if decision.is_object() {
                    let sources = server.guards.sources();
                    decision["endpoints"] = endpoints_served(&snapshot, &decision, &sources);
                }
                (
                    decision,
                    "header fields, cookies and secrets of the query are not kept: why other routes lost is judged without them",
                )
            } else {
                (
                    Value::Null,
                    "the configuration has changed since: only the record is left",
                )
            };
            reply(
                200,
                &json!({ "request": told, "plugins": notes, "cache": cache, "decision": decision, "note": note }),
            )
        }
        None => refused(404, "no request with this id is kept"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    #[serde(default)]
    generation: Option<u64>,
}

async fn rollback(server: &Server, body: &[u8]) -> Answer {
    let wanted: Rollback = match parse(body) {
        Ok(wanted) => wanted,
        Err(answer) => return *answer,
    };
    let found = server.history.lock().texts(wanted.generation);
    match found {
        Some((_, texts)) => changed(server.apply(&texts, "rollback").await),
        None => refused(409, "no such generation is kept; see `farmgate history`"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    #[serde(default)]
    wait: bool,
}

async fn upgraded(server: &Arc<Server>, body: &[u8]) -> Answer {
    let wanted: Wait = match parse(body) {
        Ok(wanted) => wanted,
        Err(answer) => return *answer,
    };
    if !wanted.wait
        && let Some(why) = refusal(server)
    {
        return refused(409, &format!("the upgrade is refused: {why}"));
    }
    // In a task of its own: whoever asked may leave.
    let task = {
        let server = Arc::clone(server);
        tokio::spawn(async move { upgrade(&server).await })
    };
    if !wanted.wait {
        return reply(200, &json!({ "upgrading": true }));
    }
    match task.await {
        Ok(Ok(done)) => reply(
            200,
            &json!({ "pid": done.pid, "version": done.version, "generation": done.generation }),
        ),
        Ok(Err(why)) => refused(409, &format!("the upgrade failed, nothing changed: {why}")),
        Err(error) => refused(500, &error.to_string()),
    }
}

async fn going_down(server: &Arc<Server>, body: &[u8]) -> Answer {
    let wanted: Wait = match parse(body) {
        Ok(wanted) => wanted,
        Err(answer) => return *answer,
    };
    let occasion = server.upgrades.give_up().await;
    if occasion == drain::Occasion::Upgraded {
        return refused(409, "another process has just taken over: ask again");
    }
    let told = drain::start(server, occasion);
    // The process ends after its drain, whoever stays to hear of it.
    server.stop.notify_one();
    if !wanted.wait {
        return reply(200, &json!({ "draining": true }));
    }
    let drained = drain::ended(told).await;
    reply(200, &drained_json(&drained.cuts))
}

fn drained_json(cuts: &DrainCuts) -> Value {
    let kinds: serde_json::Map<_, _> = cuts
        .each()
        .map(|(kind, count)| (kind.as_str().to_owned(), count.into()))
        .collect();
    json!({ "drained": true, "cut": cuts.lost(), "idle": cuts.idle(), "kinds": kinds })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointChange {
    upstream: String,
    address: String,
    action: String,
    #[serde(default)]
    weight: Option<u32>,
}

fn endpoint(server: &Server, body: &[u8]) -> Answer {
    let wanted: EndpointChange = match parse(body) {
        Ok(wanted) => wanted,
        Err(answer) => return *answer,
    };
    let snapshot = server.node.current.load();
    let Some(plan) = snapshot.upstreams.get(wanted.upstream.as_str()) else {
        return refused(409, &format!("no upstream is named {:?}", wanted.upstream));
    };
    let control = match (wanted.action.as_str(), wanted.weight) {
        ("drain", None) => Control::Drain,
        ("enable", None) => Control::Enable,
        ("weight", Some(weight)) => Control::Weight(weight),
        _ => return refused(409, "the action is drain, enable or weight with a number"),
    };
    match plan.upstream.control(&wanted.address, control) {
        Ok(count) => reply(200, &json!({ "endpoints": count })),
        Err(error) => refused(409, &error.to_string()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakerChange {
    upstream: String,
    action: String,
}

fn breaker(server: &Server, body: &[u8]) -> Answer {
    let wanted: BreakerChange = match parse(body) {
        Ok(wanted) => wanted,
        Err(answer) => return *answer,
    };
    let snapshot = server.node.current.load();
    let Some(plan) = snapshot.upstreams.get(wanted.upstream.as_str()) else {
        return refused(409, &format!("no upstream is named {:?}", wanted.upstream));
    };
    let Some(options) = &plan.breaker else {
        let why = format!("upstream {:?} has no breaker", wanted.upstream);
        return refused(409, &format!("{why}: write [upstream.breaker]"));
    };
    let manual = match wanted.action.as_str() {
        "open" => Manual::Open,
        "close" => Manual::Close,
        "auto" => Manual::Auto,
        _ => return refused(409, "the action is open, close or auto"),
    };
    let breaker = &plan.upstream.shared().breaker;
    plan.breaker_changed(breaker.set(manual, Instant::now()));
    let (upstream, action) = (&wanted.upstream, &wanted.action);
    log::warn!("the breaker of upstream {upstream} was told {action} by an operator");
    let phase = breaker.status(options, Instant::now()).phase.word();
    reply(
        200,
        &json!({ "upstream": upstream, "manual": action, "phase": phase }),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginChange {
    name: String,
    on: bool,
}

fn plugin(server: &Server, body: &[u8]) -> Answer {
    let wanted: PluginChange = match parse(body) {
        Ok(wanted) => wanted,
        Err(answer) => return *answer,
    };
    let snapshot = server.node.current.load();
    match snapshot.plugins.get(wanted.name.as_str()) {
        Some(instance) => {
            instance.on.store(wanted.on, Ordering::Relaxed);
            log::warn!(
                "plugin {} was switched {} by an operator",
                wanted.name,
                if wanted.on { "on" } else { "off" }
            );
            reply(200, &json!({ "name": wanted.name, "on": wanted.on }))
        }
        None => refused(409, &format!("no plugin is named {:?}", wanted.name)),
    }
}

pub(super) fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Box<Answer>> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Box::new(refused(400, &error.to_string())))
}
