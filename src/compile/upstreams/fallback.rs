//! `[[upstream.fallback]]`: what is done when there is no answer to give.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use farmgate_plugin_api::Reply;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, did_you_mean};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::compile::codes;
use crate::config::words::{Config, FallbackConfig, UpstreamConfig};
use crate::snapshot::UpstreamPlan;
use crate::snapshot::upstream::Fallback;

type Plans = BTreeMap<Arc<str>, UpstreamPlan>;

/// Gives every plan its fallbacks, those of its fallbacks behind them: a plan that another one falls back to is made first.
pub(super) fn join(
    config: &Config,
    mut plans: Plans,
    diagnostics: &mut Diagnostics,
) -> BTreeMap<Arc<str>, Arc<UpstreamPlan>> {
    let mut done: BTreeMap<Arc<str>, Arc<UpstreamPlan>> = BTreeMap::new();
    let mut order = Vec::new();
    for words in &config.upstreams {
        visit(config, words, &mut Vec::new(), &mut order, diagnostics);
    }
    for words in order {
        let Some(mut plan) = plans.remove(words.name.value.as_str()) else {
            continue;
        };
        let mut list = Vec::new();
        for fallback in &words.fallback {
            one(config, fallback, &done, &mut list, diagnostics);
        }
        plan.fallbacks = list.into();
        done.insert(Arc::clone(plan.name()), Arc::new(plan));
    }
    done
}

/// Puts an upstream behind those it falls back to.
fn visit<'c>(
    config: &'c Config,
    words: &'c UpstreamConfig,
    path: &mut Vec<&'c str>,
    order: &mut Vec<&'c UpstreamConfig>,
    diagnostics: &mut Diagnostics,
) {
    let name = words.name.value.as_str();
    if order.iter().any(|known| known.name.value == name) {
        return;
    }
    path.push(name);
    for to in words
        .fallback
        .iter()
        .filter_map(|one| one.value.upstream.as_ref())
    {
        let to_name = to.value.as_str();
        if path.contains(&to_name) {
            let message = format!(
                "fallbacks go in a circle: {} -> {to_name}",
                path.join(" -> ")
            );
            diagnostics.error(codes::UPSTREAM_FALLBACK, &to.place, message);
            continue;
        }
        let next = config
            .upstreams
            .iter()
            .find(|other| other.name.value == to_name);
        if let Some(next) = next {
            visit(config, next, path, order, diagnostics);
        }
    }
    path.pop();
    order.push(words);
}

fn one(
    config: &Config,
    fallback: &Located<FallbackConfig>,
    done: &BTreeMap<Arc<str>, Arc<UpstreamPlan>>,
    list: &mut Vec<Fallback>,
    diagnostics: &mut Diagnostics,
) {
    let words = &fallback.value;
    let mut wrong = |place, message: String| {
        diagnostics.error(codes::UPSTREAM_FALLBACK, place, message);
    };
    let stale = words.stale.as_ref().filter(|stale| stale.value);
    let written = [
        stale.is_some(),
        words.upstream.is_some(),
        words.status.is_some(),
    ];
    if written.into_iter().filter(|one| *one).count() != 1 {
        let message = "a fallback is one of stale = true, upstream = \"...\" and status = ...";
        wrong(&fallback.place, message.into());
        return;
    }
    let of_status = words.headers.values().chain(&words.body).next();
    if let (Some(word), None) = (of_status, &words.status) {
        wrong(
            &word.place,
            "`body` and `headers` belong to a fallback with `status`".into(),
        );
        return;
    }
    if stale.is_some() {
        list.push(Fallback::Stale);
        return;
    }
    if let Some(to) = &words.upstream {
        match done.get(to.value.as_str()) {
            Some(plan) => {
                list.push(Fallback::Upstream(Arc::clone(plan)));
                // Its own: should it have no answer either, these come before the rest of this list.
                list.extend(plan.fallbacks.iter().cloned());
            }
            None if config.declares("upstream", &to.value) => {}
            None => {
                let names: Vec<&str> = config
                    .upstreams
                    .iter()
                    .map(|u| u.name.value.as_str())
                    .collect();
                let message = format!("no upstream is named {:?}", to.value);
                let diagnostic = Diagnostic::error(codes::UPSTREAM_FALLBACK, &to.place, message);
                diagnostics.push(diagnostic.with_help(did_you_mean(&to.value, &names)));
            }
        }
        return;
    }
    if let Some(status) = &words.status {
        match reply(status.value, words) {
            Ok(reply) => list.push(Fallback::Reply(Arc::new(reply))),
            Err(message) => wrong(&status.place, message),
        }
    }
}

fn reply(status: u16, words: &FallbackConfig) -> Result<Reply, String> {
    let code = StatusCode::from_u16(status)
        .ok()
        .filter(|code| !code.is_informational() && *code != StatusCode::NOT_MODIFIED)
        .ok_or_else(|| format!("{status} is no status of an answer"))?;
    let mut reply = Reply::new(code, "fallback");
    for (name, value) in &words.headers {
        let field = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("{name:?} is no name of a header"))?;
        if matches!(
            field,
            header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION
        ) {
            return Err(format!("{name} is written by the engine"));
        }
        let value = HeaderValue::from_str(&value.value)
            .map_err(|_| format!("the value of {name} is no value of a header"))?;
        reply = reply.header(field, value);
    }
    if let Some(body) = &words.body {
        if !reply
            .headers
            .iter()
            .any(|(name, _)| *name == header::CONTENT_TYPE)
        {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            reply = reply.header(header::CONTENT_TYPE, text);
        }
        reply.body = Bytes::copy_from_slice(body.value.as_bytes());
    }
    Ok(reply)
}
