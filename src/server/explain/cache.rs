//! What the cache would do with a request, and what it did with one.

use std::fmt::Write as _;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::Asked;
use crate::cache::asked::{self, Bypass, Identity, Request, Verb};
use crate::cache::key::{Key, KeyParts, KeyRules, key_host};
use crate::cache::policy::SetCookie;
use crate::proxy::caching::Kept;
use crate::snapshot::{CachePlan, Route, Snapshot, Target};
use crate::telemetry::cache::{CacheAnswer, Forward, Refusal};
use crate::telemetry::credentials::{self, Credentials};

/// The policy of a route, what of the request is in its key, whether it would be looked up, and what would keep an
/// answer out. Null where no answer is kept.
pub(super) fn asked(
    route: &Route,
    asked: &Asked<'_>,
    port: Option<u16>,
    hidden: &Credentials,
) -> Value {
    let Some(cache) = &route.cache else {
        return Value::Null;
    };
    let plan = &cache.plan;
    let question = asked.question;
    let fields = &question.headers;
    let request = Request {
        method: &question.method,
        fields,
        target_bytes: question.target.len(),
        has_body: has_body(fields),
        identity: match question.client_sans.is_empty() && question.consumer.is_none() {
            true => Identity::None,
            false => Identity::Known,
        },
    };
    let read = asked::Asked::read(&request, plan.policy.key.consumer);
    let bypass = read.may_look_up().err();
    let mut out = json!({
        "policy": *plan.name,
        "rules": rules(plan),
        "looked_up": bypass.is_none(),
    });
    if let Some(bypass) = bypass {
        out["bypass"] = match bypass {
            Bypass::Method if question.method.as_str() == "PURGE" && route.purge.is_some() => {
                json!("a purge: the cache's own, never forwarded")
            }
            Bypass::Method => json!("the method"),
            Bypass::Body => json!("it has a body"),
            Bypass::Condition => json!("If-Match or If-Unmodified-Since: the origin's to answer"),
        };
        return out;
    }
    let sides: Vec<&str> = match &route.target {
        Target::None => vec![""],
        Target::One(plan) => vec![plan.name()],
        Target::Split(_, plans) => plans.iter().map(|plan| &**plan.name()).collect(),
    };
    let key = Key::build(
        &KeyParts {
            scheme: if question.tls { "https" } else { "http" },
            host: &key_host(question.tls, &asked.host, port),
            path: &asked.path,
            query: asked.query.as_deref(),
            route: &route.name,
            side: &sides.join(" or "),
            fields,
            consumer: question.consumer.as_ref().map(|found| &*found.name),
        },
        &plan.policy.key,
    );
    put_key(&mut out, &key, Some(&plan.policy.key), Some(hidden));
    let mut keeps_out = Vec::new();
    let mut say = |why: Refusal, but: &str| keeps_out.push(format!("{why}: {}{but}", why.help()));
    if read.verb != Verb::Get {
        say(Refusal::Method, "");
    }
    if read.no_store {
        say(Refusal::RequestNoStore, "");
    }
    if read.authenticated {
        let but = " `public`, `s-maxage` or `must-revalidate` says that.";
        say(Refusal::Authenticated, but);
    }
    if request.is_odd() {
        let but = " Other answers to this request are stored.";
        say(Refusal::OddRequest, but);
    }
    out["keeps_out"] = json!(keeps_out);
    if read.only_if_cached {
        out["only_if_cached"] = json!(true);
    }
    out
}

fn has_body(fields: &HeaderMap) -> bool {
    let length = fields.get(CONTENT_LENGTH).map(HeaderValue::as_bytes);
    length.is_some_and(|length| length != b"0") || fields.contains_key(TRANSFER_ENCODING)
}

/// Without `hidden` nobody knows what of the query was a credential, and none of it is shown.
fn put_key(out: &mut Value, key: &Key, rules: Option<&KeyRules>, hidden: Option<&Credentials>) {
    if let Some(readable) = key.readable(rules, hidden.unwrap_or(&credentials::NONE)) {
        let url = match (hidden, readable.url.split_once('?')) {
            (None, Some((url, _))) => format!("{url}?(hidden)"),
            _ => readable.url,
        };
        out["key"] = json!(url);
        out["and"] = json!(readable.and);
    }
}

/// A policy's words as they are in force.
fn rules(plan: &CachePlan) -> Value {
    let policy = &plan.policy;
    let names = |list: &[http::HeaderName]| -> Vec<String> {
        list.iter().map(|name| name.as_str().to_owned()).collect()
    };
    let status: serde_json::Map<String, Value> = policy
        .ttl
        .status
        .iter()
        .map(|(status, seconds)| (status.as_str().to_owned(), json!(seconds)))
        .collect();
    json!({
        "ttl_default_seconds": policy.ttl.default_s,
        "ttl_floor_seconds": policy.ttl.floor_s,
        "ttl_max_seconds": policy.ttl.most_s,
        "ttl_status_seconds": status,
        "heuristic": policy.heuristic_millionths.map(|share| f64::from(share) / 1e6),
        "stale_while_revalidate_seconds": policy.stale_while_revalidate_s,
        "stale_if_error_seconds": policy.stale_if_error_s,
        "query_ignore": policy.key.query.ignore,
        "query_sort": policy.key.query.sort,
        "key_headers": names(&policy.key.headers),
        "key_cookies": policy.key.cookies,
        "key_consumer": policy.key.consumer,
        "vary_accept_encoding": if policy.vary.normalise_encoding { "normalise" } else { "list" },
        "vary_accept_language": policy.vary.languages,
        "max_variants": policy.vary.most_variants,
        "lock_wait_seconds": plan.wait.as_secs(),
        "tags": names(&policy.tags),
        "set_cookie": match policy.set_cookie {
            SetCookie::Bypass => "bypass",
            SetCookie::Strip => "strip",
            SetCookie::Keep => "keep",
        },
        "max_object_bytes": policy.max_object_bytes,
        "match_content_type": policy.match_content_type,
        "min_uses_disk": plan.min_uses_disk,
        "hit_for_miss_seconds": policy.unstored_s,
        "compress": plan.compress.is_some(),
        "status_header": plan.status_header,
    })
}

/// What the cache did with a request that was served, out of its line and what was kept behind it. Null where the route
/// had none. `same`: the configuration that served it is in force.
pub fn served(snapshot: &Snapshot, line: &Value, behind: &[u8], same: bool) -> Value {
    let Some(kept) = Kept::read(behind) else {
        return Value::Null;
    };
    let word = |field: &str| line[field].as_str().unwrap_or_default();
    let answer = word("cache");
    let told = CacheAnswer::ALL.iter().find(|one| one.as_str() == answer);
    let mut out = json!({
        "answer": answer,
        "answered": told.map_or("", |told| told.help()),
    });
    let forward = word("cache_forward");
    if let Some(forward) = Forward::ALL.iter().find(|one| one.as_str() == forward) {
        out["origin"] = json!(format!("{forward}: {}", forward.help()));
    }
    let detail = word("cache_detail");
    let refusal = Refusal::ALL.iter().find(|one| one.as_str() == detail);
    out["stored"] = match (kept.stored, refusal, told) {
        (true, ..) => json!("yes"),
        (_, Some(why), Some(CacheAnswer::Bypass)) => json!(format!(
            "no, and this is remembered of its key: {why}: {}",
            why.help()
        )),
        (_, Some(why), _) => json!(format!("no: {why}: {}", why.help())),
        _ => Value::Null,
    };
    if refusal.is_none() && !detail.is_empty() {
        out["detail"] = json!(detail);
    }
    let mut routes = snapshot.routes.iter();
    let route = routes.find(|route| same && *route.name == *word("route"));
    let cache = route.and_then(|route| route.cache.as_ref());
    let plan = cache.map(|cache| &cache.plan);
    if let Some(plan) = plan {
        out["policy"] = json!(*plan.name);
    }
    if !kept.key.is_empty() {
        let key = Key::from_text(bytes::Bytes::copy_from_slice(kept.key));
        let hidden = same.then_some(&*snapshot.credentials);
        put_key(&mut out, &key, plan.map(|plan| &plan.policy.key), hidden);
    }
    out
}

/// Words of a line, in their order.
const LINES: [&str; 10] = [
    "answer",
    "answered",
    "origin",
    "stored",
    "detail",
    "key",
    "and",
    "policy",
    "bypass",
    "only_if_cached",
];

/// Either of them for people.
pub fn render(cache: &Value, out: &mut String) {
    let Some(members) = cache.as_object() else {
        return;
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "cache");
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(out, "  {name:<10} {text}");
    };

    for name in LINES {
        if let Some(value) = members.get(name).filter(|value| !value.is_null()) {
            line(name, &text(value));
        }
    }
    if let Some(looked_up) = cache["looked_up"].as_bool() {
        line("looked up", if looked_up { "yes" } else { "no" });
    }
    for why in cache["keeps_out"].as_array().into_iter().flatten() {
        line("keeps out", &text(why));
    }
    let rules = cache["rules"].as_object().into_iter().flatten();
    let rules: Vec<String> = rules
        .filter(|(_, value)| !is_nothing(value))
        .map(|(name, value)| match value {
            Value::Array(_) => format!("{name}=[{}]", text(value)),
            value => format!("{name}={}", text(value)),
        })
        .collect();
    if !rules.is_empty() {
        line("rules", &rules.join(" "));
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let list = list.iter().map(|one| one.as_str().unwrap_or_default());
            list.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// True for what says nothing: a word that is off, an empty list.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) | Value::String(_) => false,
    }
}
