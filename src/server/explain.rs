//! The decision for a request, without sending anything: the same tables, the same readers and the
//! same order as for a request that is served.

mod cache;
mod endpoints;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use farmgate_plugin_api::{Consumer, Explained, Facts, Phases};
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};

use crate::protocol::client::client_address;
use crate::protocol::uri::{NormalisedUri, normalise, normalise_host, port_of};
use crate::proxy::{fields, pipeline};
use crate::snapshot::chain::Link;
use crate::snapshot::router::{Captures, Outcome};
use crate::snapshot::{Body, Chain, Listener, Route, Snapshot, Target};
use crate::telemetry::Reason;

/// A request to be explained.
#[derive(Clone, Debug)]
pub struct Question {
    /// Asked over TLS.
    pub tls: bool,
    /// On this listener; none: the first whose scheme fits.
    pub listener: Option<String>,
    /// Method.
    pub method: Method,
    /// Target as a client would send it.
    pub target: String,
    /// Fields, Host among them.
    pub headers: HeaderMap,
    /// The peer of the connection.
    pub client: IpAddr,
    /// Names of the client's verified certificate.
    pub client_sans: Vec<String>,
    /// Whom a plugin of the listener found.
    pub consumer: Option<Consumer>,
    /// The body.
    pub body: Vec<u8>,
}

/// The facts of a question.
struct Asked<'a> {
    listener: &'a Listener,
    question: &'a Question,
    host: String,
    path: String,
    query: Option<String>,
    client: IpAddr,
    captures: Captures,
}

impl Facts for Asked<'_> {
    fn listener(&self) -> u16 {
        self.listener.slot
    }
    fn listener_name(&self) -> &str {
        &self.listener.name
    }
    fn method(&self) -> &Method {
        &self.question.method
    }
    fn scheme(&self) -> &'static str {
        if self.question.tls { "https" } else { "http" }
    }
    fn host(&self) -> &str {
        &self.host
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    fn headers(&self) -> &HeaderMap {
        &self.question.headers
    }
    fn client_ip(&self) -> IpAddr {
        self.client
    }
    fn capture(&self, name: &str) -> Option<&str> {
        self.captures.get(name, &self.path)
    }
    fn client_sans(&self) -> &[String] {
        &self.question.client_sans
    }
    /// Of a question that is asked offline: what a client of today agrees on.
    fn tls_version(&self) -> Option<&str> {
        self.question.tls.then_some("TLSv1.3")
    }
    /// As every client does: the host it asks for.
    fn tls_sni(&self) -> Option<&str> {
        (self.question.tls && !self.host.is_empty()).then_some(&self.host)
    }
    fn consumer(&self) -> Option<&Consumer> {
        self.question.consumer.as_ref()
    }
}

pub use cache::{render as render_cache, served as cached};
pub use endpoints::{offline as endpoints_offline, served as endpoints_served};

/// Explains a request.
///
/// # Errors
/// No listener takes it, or its target is refused.
pub fn explain(snapshot: &Snapshot, question: &Question) -> Result<Value, String> {
    let listener = listener(snapshot, question)?;
    let mut uri = NormalisedUri::default();
    let raw = question.target.as_bytes();
    if let Err(reject) = normalise(raw, &listener.uri, &mut uri) {
        return Ok(json!({
            "listener": *listener.name,
            "route": null,
            "reply": { "status": reject.status, "reason": reject.reason.as_str() },
        }));
    }
    let host = question
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let lines = |name| {
        question
            .headers
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
    };
    let client = client_address(
        question.client.to_canonical(),
        &listener.trusted,
        lines(header::HeaderName::from_static("x-forwarded-for")),
        lines(header::FORWARDED),
    );
    let mut asked = Asked {
        listener: &listener,
        question,
        host: normalise_host(host).into_owned(),
        path: uri.path(raw).to_owned(),
        query: uri.query(raw).map(str::to_owned),
        client: client.ip,
        captures: Captures::default(),
    };
    let mut decision = json!({
        "listener": *listener.name,
        "generation": snapshot.generation,
        "method": question.method.as_str(),
        "host": asked.host,
        "path": asked.path,
        "query": asked.query,
        "client": asked.client.to_string(),
        "route": null,
    });
    if listener.health_path.as_deref() == Some(asked.path.as_str()) {
        decision["reply"] = json!({ "status": 200, "reason": "health_path" });
        return Ok(decision);
    }
    if let Some(tls) = &listener.tls
        && !tls.edge.covers(&asked.host)
    {
        decision["reply"] = json!({ "status": 421, "reason": Reason::Misdirected.as_str() });
        return Ok(decision);
    }
    let mut captures = Captures::default();
    let found = snapshot.router.find(&asked, &mut captures);
    asked.captures = captures;
    decision["candidates"] = candidates(snapshot, &asked);
    let route = found.and_then(|index| snapshot.routes.get(index as usize));
    if let Some(route) = route {
        decision["route"] = json!(*route.name);
        decision["captures"] = asked
            .captures
            .names()
            .map(|name| (name.to_owned(), json!(asked.capture(name))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        decision["upstream"] = target(route, &asked);
        decision["cache"] = cache::asked(route, &asked, port_of(host), &snapshot.credentials);
        decision["body"] = body(&listener.chain, &route.chain);
        decision["inspections"] = inspections(&listener.chain, route, &asked);
    }
    decision["plugins"] = phases(&listener, route, Some(&asked));
    Ok(decision)
}

fn listener(snapshot: &Snapshot, question: &Question) -> Result<Arc<Listener>, String> {
    let mut all = snapshot.listeners.iter().flatten();
    let found = match &question.listener {
        Some(name) => all.find(|listener| *listener.name == **name),
        None => {
            let fits = |one: &&Arc<Listener>| one.tls.is_some() == question.tls;
            let host = question
                .headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok());
            let host = normalise_host(host.unwrap_or_default());
            // A client of this host would have asked for its certificate.
            let covers = |one: &&Arc<Listener>| {
                fits(one) && one.tls.as_ref().is_none_or(|tls| tls.edge.covers(&host))
            };
            let first = all.clone().find(covers);
            first.or_else(|| all.find(fits))
        }
    };
    found.cloned().ok_or_else(|| match &question.listener {
        Some(name) => format!("no listener is named {name:?}"),
        None if question.tls => {
            "no listener serves https; name one with --listener if a proxy before it ends TLS"
                .to_owned()
        }
        None => "no listener serves http; ask for an https URL".to_owned(),
    })
}

fn candidates(snapshot: &Snapshot, asked: &Asked<'_>) -> Value {
    let name = |index: u32| {
        snapshot
            .routes
            .get(index as usize)
            .map_or_else(String::new, |route| route.name.to_string())
    };
    snapshot
        .router
        .explain(asked)
        .into_iter()
        .map(|candidate| {
            let outcome = match candidate.outcome {
                Outcome::Won => "won".to_owned(),
                Outcome::Lost(crate::snapshot::router::Why::Outranked { by, level }) => {
                    format!("lost to {} by {level}", name(by))
                }
                Outcome::Lost(why) => format!("does not fit: {why}"),
            };
            json!({ "route": name(candidate.route), "outcome": outcome })
        })
        .collect()
}

fn target(route: &Route, asked: &Asked<'_>) -> Value {
    match &route.target {
        Target::None => Value::Null,
        Target::One(plan) => json!({ "name": **plan.name(), "share": 1.0 }),
        Target::Split(split, plans) => {
            let cookie = route
                .sticky
                .as_ref()
                .and_then(|sticky| fields::cookie(&asked.question.headers, &sticky.cookie));
            let kept = cookie.and_then(|value| {
                (0..plans.len()).find(|side| split.id(*side).is_some_and(|id| id.as_str() == value))
            });
            plans
                .iter()
                .enumerate()
                .map(|(side, plan)| {
                    let share = match kept {
                        Some(kept) => f64::from(u8::from(kept == side)),
                        None => split.share(side).unwrap_or_default(),
                    };
                    json!({ "name": **plan.name(), "share": share, "sticky": kept == Some(side) })
                })
                .collect()
        }
    }
}

fn body(listener: &Chain, route: &Chain) -> Value {
    match pipeline::body_plan(listener, route) {
        Body::Stream => json!("streamed"),
        Body::Buffer { limit, refuse } => {
            json!({ "buffered_bytes": limit, "over": if refuse { "413" } else { "streamed" } })
        }
    }
}

/// What filters would make of the request, each asked once.
fn inspections(listener: &Chain, route: &Route, asked: &Asked<'_>) -> Value {
    let request = Explained {
        facts: asked,
        raw_target: asked.question.target.as_bytes(),
        route: &route.name,
        body: &asked.question.body,
    };
    let links = listener.links.iter().chain(&route.chain.links);
    let runs = |link: &&Link| {
        link.when
            .as_ref()
            .is_none_or(|when| when.holds(asked) == Ok(true))
    };
    let lines = links.filter(runs).filter_map(|link| {
        let instance = &link.instance;
        let told = catch_unwind(AssertUnwindSafe(|| instance.filter.explain(&request)));
        let lines = told.unwrap_or_else(|_| vec!["the plugin panicked".to_owned()]);
        (!lines.is_empty()).then(|| json!({ "plugin": *instance.name, "lines": lines }))
    });
    lines.collect()
}

/// The filters of each phase, in order; with the request, their conditions and whether these hold.
fn phases(listener: &Listener, route: Option<&Arc<Route>>, asked: Option<&Asked<'_>>) -> Value {
    let mut out = serde_json::Map::new();
    for (phase, name) in Phases::ALL {
        let chains = [Some(&listener.chain), route.map(|route| &route.chain)];
        let filters: Vec<Value> = chains
            .into_iter()
            .flatten()
            .flat_map(|chain| chain.phase(phase))
            .map(|link| {
                let mut entry =
                    json!({ "plugin": *link.instance.name, "kind": link.instance.kind });
                if let (Some(when), Some(asked)) = (&link.when, asked) {
                    entry["when"] = json!(when.to_string());
                    match when.holds(asked) {
                        Ok(runs) => entry["runs"] = json!(runs),
                        Err(fault) => entry["fault"] = json!(fault.message()),
                    }
                }
                entry
            })
            .collect();
        if !filters.is_empty() {
            out.insert(name.to_owned(), filters.into());
        }
    }
    out.into()
}

/// A decision for people.
pub fn render(decision: &Value) -> String {
    let mut out = String::new();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    // Writing to a String cannot fail.
    for key in [
        "listener", "method", "host", "path", "query", "client", "route", "captures", "upstream",
        "body", "reply",
    ] {
        let value = decision.get(key).unwrap_or(&Value::Null);
        let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
        if key == "route" || !(value.is_null() || empty) {
            let _ = writeln!(out, "{key:<10} {}", text(value));
        }
    }
    cache::render(&decision["cache"], &mut out);
    for (phase, filters) in decision["plugins"].as_object().into_iter().flatten() {
        let names: Vec<String> = filters
            .as_array()
            .into_iter()
            .flatten()
            .map(|filter| {
                let note = match (&filter["fault"], &filter["runs"]) {
                    (Value::String(fault), _) => format!(" (when has no answer: {fault})"),
                    (_, Value::Bool(false)) => " (skipped by when)".to_owned(),
                    _ => String::new(),
                };
                format!("{}{note}", text(&filter["plugin"]))
            })
            .collect();
        let _ = writeln!(out, "{phase:<17} {}", names.join(", "));
    }
    for told in decision["inspections"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "{}", text(&told["plugin"]));
        for line in told["lines"].as_array().into_iter().flatten() {
            let _ = writeln!(out, "  {}", text(line));
        }
    }
    endpoints::render(&decision["endpoints"], &mut out);
    let _ = writeln!(out, "candidates");
    for candidate in decision["candidates"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "  {:<20} {}",
            text(&candidate["route"]),
            text(&candidate["outcome"])
        );
    }
    out.trim_end().to_owned()
}

/// The decision for a request that was served, out of its line in the access log. The snapshot must be the one
/// that served it.
pub fn again(snapshot: &Snapshot, line: &Value) -> Result<Value, String> {
    let text = |field: &str| line[field].as_str().unwrap_or_default();
    let mut headers = HeaderMap::new();
    if let Ok(host) = HeaderValue::from_str(text("host")) {
        headers.insert(header::HOST, host);
    }
    let method =
        Method::from_bytes(text("method").as_bytes()).map_err(|error| error.to_string())?;
    let mut listeners = snapshot.listeners.iter().flatten();
    let question = Question {
        tls: listeners.any(|one| *one.name == *text("listener") && one.tls.is_some()),
        listener: Some(text("listener").to_owned()),
        method,
        target: text("path").to_owned(),
        headers,
        client: text("client")
            .parse()
            .unwrap_or(IpAddr::from([127, 0, 0, 1])),
        client_sans: line["client_san"]
            .as_str()
            .map(str::to_owned)
            .into_iter()
            .collect(),
        consumer: line["consumer"].as_str().map(|name| Consumer {
            name: name.into(),
            plan: line["plan"].as_str().map(Into::into),
            tags: line["tags"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|tag| tag.as_str().map(Into::into))
                .collect(),
            ..Consumer::default()
        }),
        body: Vec::new(),
    };
    let mut decision = explain(snapshot, &question)?;
    // What the line knows for certain stands above what is found without the header fields.
    let route = text("route");
    let found = decision["route"].as_str().unwrap_or_default() == route;
    if !found {
        let served = snapshot.routes.iter().find(|one| *one.name == *route);
        let listener = snapshot.listeners.iter().flatten();
        let listener = listener.clone().find(|one| *one.name == *text("listener"));
        if let Some(listener) = listener {
            decision["plugins"] = phases(listener, served, None);
        }
        decision["route"] = json!(route);
    }
    // The key was made of fields that are not kept: the record has the one it was served by.
    if let Some(cache) = decision["cache"].as_object_mut() {
        cache.retain(|name, _| matches!(name.as_str(), "policy" | "rules"));
    }
    if !text("upstream").is_empty() {
        decision["upstream"] = json!(text("upstream"));
    }
    Ok(decision)
}
