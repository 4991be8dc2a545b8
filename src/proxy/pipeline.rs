//! The hot path: what happens to a request, in order. It sequences and branches; the leaves decide.
//!
//! An engine calls, for every request: [`head`]; if that says so it reads the body and calls
//! [`body`]; then, per attempt, [`super::attempt::begin`] and [`forward`]; then [`origin_head`] and
//! [`response_head`] for the answer, or [`local_head`] for one made here; and [`super::finish`] at
//! the end. No engine type is named in this file, so a second engine can call the same functions.
//!
//! | step of a request's life | function |
//! |---|---|
//! | 3 head: identity headers, client address, deadline | [`head`] |
//! | 4-6 listener's plugins, route, its plugins | [`head`] |
//! | 7 buffered body | [`body`] |
//! | 9 endpoint, upstream request | [`super::attempt::begin`], [`forward`] |
//! | 11 origin's head | [`origin_head`] |
//! | 12 response head | [`response_head`], [`local_head`] |

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use farmgate_plugin_api::exchange::BufferedBody;
use farmgate_plugin_api::{Headers, Reply};
use http::{HeaderValue, Method, StatusCode, header};

use super::chains::{self, Decision, Links, ResponsePhase};
use super::ctx::Ctx;
use super::exchange::RequestExchange;
use super::{admission, caching, deadline, fallback, fields, id, outgoing, respond};
use crate::snapshot::chain::{Body, Link, body_of};
use crate::snapshot::{Chain, Route, Target};
use crate::telemetry::Reason;

/// What is to be done after a step.
pub enum Next {
    /// Go on to the origin.
    Forward,
    /// Read the body up to this many bytes first, then call [`body`].
    ReadBody {
        /// Most bytes to hold.
        limit: u64,
        /// A longer body is refused, not streamed on.
        refuse: bool,
    },
    /// Answer with this.
    Reply(Box<Reply>),
    /// Close or reset without an answer.
    Reset,
    /// Answer with the error of this reason.
    Fail(Reason),
}

impl From<Decision> for Next {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Continue => Self::Forward,
            Decision::Reply(reply) => Self::Reply(reply),
            Decision::Reset => Self::Reset,
            Decision::Fail(reason) => Self::Fail(reason),
        }
    }
}

/// Steps 3 to 6. `content_length` is the declared length of the body, if any.
pub async fn head(
    cx: &mut Ctx,
    headers: &mut (dyn Headers + '_),
    content_length: Option<u64>,
) -> Next {
    if cx.start.listener.health_path.as_deref() == Some(cx.path()) {
        return Next::Reply(respond::health(&cx.start.node));
    }
    if respond::may_validate(cx)
        && let Some(reply) = Box::pin(respond::validation(cx)).await
    {
        return Next::Reply(reply);
    }
    if let Some(tls) = &cx.start.connection.tls
        && !tls.covers(&cx.host)
    {
        return Next::Fail(Reason::Misdirected);
    }
    if !cx.start.connection.is_admitted(&cx.start.listener) {
        cx.start.connection.close.store(true, Ordering::Relaxed);
        return Next::Fail(Reason::ClientCertificate);
    }
    fields::drop_identities(&cx.start.snapshot.identity_headers, headers);
    fields::read_client(cx, headers.map());
    fields::read_trace(cx, headers.map());
    deadline::read(cx, headers.map());

    for links in Links::of(cx, |chain| &chain.request_head).each() {
        let decision = chains::request_head(links, cx, headers).await;
        if !matches!(decision, Decision::Continue) {
            return decision.into();
        }
    }
    let Some(route) = find_route(cx, headers) else {
        return Next::Fail(Reason::NoRoute);
    };
    cx.route = Some(Arc::clone(&route));
    if let Err(reason) = admission::admit(cx, headers) {
        return Next::Fail(reason);
    }
    cx.set_limits();
    if content_length.is_some_and(|length| length > cx.body_limit()) {
        return Next::Fail(Reason::BodyTooLarge);
    }
    let decision = chains::request_head(&route.chain.request_head, cx, headers).await;
    if !matches!(decision, Decision::Continue) {
        return decision.into();
    }
    if caching::purge::is_purge(cx) {
        return Next::Reply(Box::pin(caching::purge::answer(cx, headers.map())).await);
    }
    match wanted_body(cx, &route.chain) {
        Body::Buffer { limit, refuse } if content_length != Some(0) => {
            // What the declared length rules out need not be read.
            if refuse && content_length.is_some_and(|length| length > limit) {
                return Next::Fail(Reason::BodyTooLarge);
            }
            Next::ReadBody { limit, refuse }
        }
        Body::Buffer { .. } => {
            let next = Box::pin(body(cx, headers, BufferedBody::default())).await;
            // There is none, and no filter made one: nothing is to be sent.
            cx.replay = cx.replay.take().filter(|made| !made.is_empty());
            next
        }
        Body::Stream => target(cx, headers, &route),
    }
}

/// Step 7: the body is here.
pub async fn body(
    cx: &mut Ctx,
    headers: &mut (dyn Headers + '_),
    mut buffered: BufferedBody,
) -> Next {
    let Some(route) = cx.route.clone() else {
        return Next::Fail(Reason::Internal);
    };
    let read = buffered.len();
    for links in Links::of(cx, |chain| &chain.request_body).each() {
        let decision = chains::request_body(links, cx, headers, &mut buffered).await;
        if !matches!(decision, Decision::Continue) {
            return decision.into();
        }
    }
    // What a filter made of it counts as what was read: one that decodes makes much of little.
    let grown = buffered.len().saturating_sub(read);
    if grown > 0
        && let Err(reason) = cx.hold_bytes(grown as u64)
    {
        return Next::Fail(reason);
    }
    cx.replay_complete = !buffered.partial;
    cx.replay = Some(buffered.into_bytes());
    target(cx, headers, &route)
}

/// The route that a GET for `target` would take, which the same client sends with the same fields.
pub fn route_of_get(
    cx: &mut Ctx,
    headers: &mut (dyn Headers + '_),
    target: &str,
) -> Option<Arc<Route>> {
    let path_len = target.find('?').unwrap_or(target.len());
    let method = std::mem::replace(&mut cx.method, Method::GET);
    let own = std::mem::replace(&mut cx.target, target.to_owned());
    let path_len = std::mem::replace(&mut cx.path_len, path_len);
    let captures = std::mem::take(&mut cx.captures);
    let found = find_route(cx, headers);
    cx.method = method;
    cx.target = own;
    cx.path_len = path_len;
    cx.captures = captures;
    found
}

fn find_route(cx: &mut Ctx, headers: &mut (dyn Headers + '_)) -> Option<Arc<Route>> {
    let snapshot = Arc::clone(&cx.start.snapshot);
    let mut captures = std::mem::take(&mut cx.captures);
    let facts = RequestExchange {
        cx: &mut *cx,
        headers,
        filter: u16::MAX,
    };
    let found = snapshot.router.find(&facts, &mut captures);
    cx.captures = captures;
    snapshot.routes.get(found? as usize).cloned()
}

/// What two chains together want of the body.
pub fn body_plan(listener: &Chain, route: &Chain) -> Body {
    match (listener.body, route.body) {
        (Body::Stream, other) | (other, Body::Stream) => other,
        (
            Body::Buffer {
                limit: a,
                refuse: refuse_a,
            },
            Body::Buffer {
                limit: b,
                refuse: refuse_b,
            },
        ) => match (refuse_a, refuse_b) {
            (true, false) => listener.body,
            (false, true) => route.body,
            (true, true) => Body::Buffer {
                limit: a.min(b),
                refuse: true,
            },
            (false, false) => Body::Buffer {
                limit: a.max(b),
                refuse: false,
            },
        },
    }
}

/// The same for one request: filters may have said how they want its body.
fn wanted_body(cx: &Ctx, route: &Chain) -> Body {
    let listener = &cx.start.listener.chain;
    if cx.body_modes.is_empty() {
        return body_plan(listener, route);
    }
    let mode = |link: &Link| {
        let said = cx.body_modes.iter();
        let said = said.rev().find(|(filter, _)| *filter == link.instance.id);
        said.map_or_else(|| link.instance.filter.body_mode(), |(_, mode)| *mode)
    };
    body_of(listener.links.iter().chain(&route.links).map(mode))
}

/// Chooses the upstream of the route.
fn target(cx: &mut Ctx, headers: &mut (dyn Headers + '_), route: &Route) -> Next {
    let plan = match &route.target {
        Target::None => return Next::Fail(Reason::NoRoute),
        Target::One(plan) => plan,
        Target::Split(split, plans) => {
            let cookie = route
                .sticky
                .as_ref()
                .and_then(|sticky| fields::cookie(headers.map(), &sticky.cookie));
            let choice = split.choose(cookie, id::random());
            if let (true, Some(sticky)) = (choice.set_cookie, &route.sticky) {
                cx.sticky_cookie = split.id(choice.index).and_then(|side| {
                    fields::sticky_cookie(&sticky.cookie, side.as_str(), cx.https)
                });
            }
            match plans.get(choice.index) {
                Some(plan) => plan,
                None => return Next::Fail(Reason::Internal),
            }
        }
    };
    fallback::take_charge(cx, plan);
    Next::Forward
}

/// Step 9: the head that goes to the endpoint: our fields, then the plugins'.
pub async fn forward(
    cx: &mut Ctx,
    request: &mut (dyn Headers + '_),
    upstream: &mut (dyn Headers + '_),
) -> Next {
    caching::drop_unkeyed(cx, upstream);
    fields::forward(cx, request.map(), upstream);
    deadline::write(cx, upstream);
    for links in Links::of(cx, |chain| &chain.upstream_request).each() {
        let decision = chains::upstream_request(links, cx, request, upstream).await;
        if !matches!(decision, Decision::Continue) {
            return decision.into();
        }
    }
    cx.clock = Instant::now();
    cx.times.sent = Some(cx.clock);
    cx.sent = true;
    Next::Forward
}

/// Step 11: the origin's head, once per fetch, before a cache stores it.
pub async fn origin_head(
    cx: &mut Ctx,
    request: &mut (dyn Headers + '_),
    response: &mut (dyn Headers + '_),
    status: &mut StatusCode,
) -> Next {
    each_chain(cx, request, response, status, ResponsePhase::Origin).await
}

/// Step 12: the head of the origin's response on its way to the client.
pub async fn response_head(
    cx: &mut Ctx,
    request: &mut (dyn Headers + '_),
    response: &mut (dyn Headers + '_),
    status: &mut StatusCode,
) -> Next {
    fields::respond(cx, response);
    cx.outgoing.body = outgoing::Body::AsIs;
    let phase = ResponsePhase::Delivery { local: false };
    each_chain(cx, request, response, status, phase).await
}

/// Step 12 for a response made here: replies of plugins and our own errors. A filter that answers
/// again is not listened to, so that an error cannot go in circles.
pub async fn local_head(
    cx: &mut Ctx,
    request: &mut (dyn Headers + '_),
    response: &mut (dyn Headers + '_),
    status: &mut StatusCode,
) {
    fields::respond(cx, response);
    cx.outgoing.body = outgoing::Body::AsIs;
    let phase = ResponsePhase::Delivery { local: true };
    each_chain(cx, request, response, status, phase).await;
}

async fn each_chain(
    cx: &mut Ctx,
    request: &mut (dyn Headers + '_),
    response: &mut (dyn Headers + '_),
    status: &mut StatusCode,
    phase: ResponsePhase,
) -> Next {
    let links = Links::of(
        cx,
        match phase {
            ResponsePhase::Origin => |chain| &chain.origin_head,
            ResponsePhase::Delivery { .. } => |chain| &chain.response_head,
        },
    );
    for links in links.each() {
        let decision = chains::response_head(links, phase, cx, request, response, status).await;
        if !matches!(decision, Decision::Continue) {
            return decision.into();
        }
    }
    Next::Forward
}

/// `Connection: close` towards the client, when the connection must not be kept.
pub fn closes(cx: &Ctx) -> Option<(header::HeaderName, HeaderValue)> {
    let close = cx.start.connection.must_close() || cx.start.node.is_leaving();
    (close && !cx.start.connection.h2)
        .then(|| (header::CONNECTION, HeaderValue::from_static("close")))
}
