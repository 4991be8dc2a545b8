//! Responses that go past the cache: what they mean for what is stored.

use farmgate_plugin_api::Headers;
use http::{HeaderMap, StatusCode};

use super::CacheCx;
use crate::cache::asked::Verb;
use crate::cache::freshness::Received;
use crate::cache::invalidate::{self, Target};
use crate::cache::key::{Key, KeyParts};
use crate::cache::storable::{self, Response};
use crate::cache::{Now, SharedCache};
use crate::protocol::uri::{NormalisedUri, normalise};
use crate::proxy::ctx::Ctx;
use crate::proxy::exchange::scheme;
use crate::proxy::pipeline;
use crate::snapshot::{CachePlan, Route, Target as Upstreams};

/// The head of a response that was asked for past the cache. `request` are the client's fields.
pub fn head(
    cx: &mut Ctx,
    request: &mut (dyn Headers + '_),
    status: StatusCode,
    response: &HeaderMap,
) {
    let Some(shared) = cx.start.snapshot.cache.clone() else {
        return;
    };
    if Verb::of(&cx.method) == Verb::Unsafe {
        if status.is_success() || status.is_redirection() {
            changed(cx, &shared, request, response);
        }
        return;
    }
    let Some(route) = cx.route.clone() else {
        return;
    };
    let (Some(cache), Some(own)) = (&route.cache, &cx.cache) else {
        return;
    };
    let now = shared.now();
    recovered(&shared, &cache.plan, own, status, response, now);
}

fn received(now: Now) -> Received {
    Received {
        request_ms: now.cache_ms,
        response_ms: now.cache_ms,
        wall_s: now.wall_s,
    }
}

/// The answers of this key could not be stored. If this one could, the next request is to store it.
fn recovered(
    shared: &SharedCache,
    plan: &CachePlan,
    own: &CacheCx,
    status: StatusCode,
    response: &HeaderMap,
    now: Now,
) {
    let Some((key, view)) = own.key.as_ref().and_then(|key| Some((key, key.read()?))) else {
        return;
    };
    if storable::content_length(response)
        .is_some_and(|length| length > shared.store().most_body_bytes())
    {
        return;
    }
    let response = Response {
        status,
        fields: response,
        received: received(now),
    };
    if storable::judge(&own.asked, false, &response, &view, &plan.policy).is_ok() {
        shared.unstored().forget_key(&key.hash);
    }
}

/// An accepted unsafe request: its URL has changed, and those of Location and Content-Location on the same host.
///
/// What is stored is found as a GET of the same client would find it: on the route such a GET takes, on each side of its
/// upstream. Where a policy puts fields, cookies or the consumer into the key, other clients' copies have other keys;
/// a purge of the URL takes those.
fn changed(
    cx: &mut Ctx,
    shared: &SharedCache,
    request: &mut (dyn Headers + '_),
    response: &HeaderMap,
) {
    let host = super::key_host(cx).into_owned();
    let target = Target {
        scheme: scheme(cx),
        host: &host,
        path: cx.path(),
        query: cx.query(),
    };
    let mut urls = vec![cx.target.clone()];
    for reference in invalidate::named(&target, response) {
        let mut uri = NormalisedUri::default();
        let bytes = reference.as_bytes();
        if normalise(bytes, &cx.start.listener.uri, &mut uri).is_ok() {
            urls.push(uri.path_and_query(bytes).to_owned());
        }
    }
    for url in urls {
        let Some(route) = pipeline::route_of_get(cx, request, &url) else {
            continue;
        };
        let Some(cache) = &route.cache else { continue };
        let (path, query) = match url.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (url.as_str(), None),
        };
        let rules = &cache.plan.policy.key;
        if rules.consumer || !rules.headers.is_empty() || !rules.cookies.is_empty() {
            let scope = crate::cache::purge::url(scheme(cx), &host, path, query, &rules.query);
            shared.invalidate_url(scope);
        }
        for side in sides(&route) {
            let parts = KeyParts {
                scheme: scheme(cx),
                host: &host,
                path,
                query,
                route: &route.name,
                side,
                fields: request.map(),
                consumer: cx.consumer.as_ref().map(|consumer| &*consumer.name),
            };
            shared.invalidate(Key::build(&parts, rules).hash);
        }
    }
}

fn sides(route: &Route) -> Vec<&str> {
    match &route.target {
        Upstreams::None => vec![""],
        Upstreams::One(plan) => vec![plan.name()],
        Upstreams::Split(_, plans) => plans.iter().map(|plan| &**plan.name()).collect(),
    }
}
