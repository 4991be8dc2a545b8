//! Running a chain: one filter after the other, each under its own guard.
//!
//! A filter that panics, fails or outlives the request's deadline follows its `fail`: closed ends
//! the request with 500, open goes on as if the filter were not there. Both are counted. So does one
//! whose condition has no answer.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use farmgate_plugin_api::exchange::BufferedBody;
use farmgate_plugin_api::filter::Outcome;
use farmgate_plugin_api::{
    Accept, Answer, ConnectionFacts, Fail, Filter, FilterError, Headers, Reply, Verdict,
};
use futures_util::FutureExt;
use http::StatusCode;

use super::ctx::Ctx;
use super::exchange::{RequestExchange, ResponseExchange, UpstreamExchange};
use crate::snapshot::chain::Link;
use crate::snapshot::when::Fault;
use crate::snapshot::{Chain, Listener, Route};
use crate::telemetry::Reason;

/// The filters of one phase: the listener's, then the route's. They are held here, so that the request can be
/// changed while they run; where there are none nothing is touched.
pub struct Links {
    listener: Option<Arc<Listener>>,
    route: Option<Arc<Route>>,
    of_phase: fn(&Chain) -> &[Link],
}

impl Links {
    /// The filters that `of_phase` picks out of the request's chains.
    pub fn of(cx: &Ctx, of_phase: fn(&Chain) -> &[Link]) -> Self {
        let listener = &cx.start.listener;
        let route = cx.route.as_ref();
        Self {
            listener: (!of_phase(&listener.chain).is_empty()).then(|| Arc::clone(listener)),
            route: route
                .filter(|route| !of_phase(&route.chain).is_empty())
                .cloned(),
            of_phase,
        }
    }

    /// Them in order, chain by chain.
    pub fn each(&self) -> impl Iterator<Item = &[Link]> {
        let listener = self.listener.as_deref().map(|listener| &listener.chain);
        let route = self.route.as_deref().map(|route| &route.chain);
        [listener, route]
            .into_iter()
            .flatten()
            .map(|chain| (self.of_phase)(chain))
    }
}

/// What a chain decided.
pub enum Decision {
    /// Nobody objected.
    Continue,
    /// A filter answers.
    Reply(Box<Reply>),
    /// Close or reset without an answer.
    Reset,
    /// A filter failed closed.
    Fail(Reason),
}

/// Places of the phases in `Phases::ALL`, for the time metric.
const REQUEST_HEAD: usize = 1;
const REQUEST_BODY: usize = 2;
const UPSTREAM_REQUEST: usize = 3;
const ORIGIN_HEAD: usize = 5;
const RESPONSE_HEAD: usize = 7;

/// `request_head` of every filter in order, until one decides.
pub async fn request_head(
    links: &[Link],
    cx: &mut Ctx,
    headers: &mut (dyn Headers + '_),
) -> Decision {
    for link in links {
        let filter = link.instance.id;
        let mut exchange = RequestExchange {
            cx: &mut *cx,
            headers: &mut *headers,
            filter,
        };
        match wanted(link, &exchange) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(reason) => return Decision::Fail(reason),
        }
        let deadline = exchange.cx.deadline();
        let view = &mut exchange;
        let call = guarded(move || link.instance.filter.request_head(view));
        let outcome = settle(call, deadline).await;
        if let Some(decision) = conclude(link, REQUEST_HEAD, outcome, cx) {
            return decision;
        }
    }
    Decision::Continue
}

/// `request_body` of every filter that buffers.
pub async fn request_body(
    links: &[Link],
    cx: &mut Ctx,
    headers: &mut (dyn Headers + '_),
    body: &mut BufferedBody,
) -> Decision {
    for link in links {
        let filter = link.instance.id;
        let mut exchange = RequestExchange {
            cx: &mut *cx,
            headers: &mut *headers,
            filter,
        };
        match wanted(link, &exchange) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(reason) => return Decision::Fail(reason),
        }
        let deadline = exchange.cx.deadline();
        let (view, whole) = (&mut exchange, &mut *body);
        let call = guarded(move || link.instance.filter.request_body(view, whole));
        let outcome = settle(call, deadline).await;
        if let Some(decision) = conclude(link, REQUEST_BODY, outcome, cx) {
            return decision;
        }
    }
    Decision::Continue
}

/// `upstream_request` of every filter, on the head of one attempt.
pub async fn upstream_request(
    links: &[Link],
    cx: &mut Ctx,
    request: &mut (dyn Headers + '_),
    upstream: &mut (dyn Headers + '_),
) -> Decision {
    for link in links {
        let filter = link.instance.id;
        let mut exchange = UpstreamExchange {
            request: RequestExchange {
                cx: &mut *cx,
                headers: &mut *request,
                filter,
            },
            headers: &mut *upstream,
        };
        match wanted(link, &exchange.request) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(reason) => return Decision::Fail(reason),
        }
        let deadline = exchange.request.cx.deadline();
        let view = &mut exchange;
        let call = guarded(move || link.instance.filter.upstream_request(view));
        let outcome = settle(call, deadline).await;
        if let Some(decision) = conclude(link, UPSTREAM_REQUEST, outcome, cx) {
            return decision;
        }
    }
    Decision::Continue
}

/// Which response phase runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ResponsePhase {
    /// `origin_head`.
    Origin,
    /// `response_head`; true when the response was made here.
    Delivery {
        /// Made here.
        local: bool,
    },
}

/// `origin_head` or `response_head` of every filter.
pub async fn response_head(
    links: &[Link],
    phase: ResponsePhase,
    cx: &mut Ctx,
    request: &mut (dyn Headers + '_),
    response: &mut (dyn Headers + '_),
    status: &mut StatusCode,
) -> Decision {
    let place = match phase {
        ResponsePhase::Origin => ORIGIN_HEAD,
        ResponsePhase::Delivery { .. } => RESPONSE_HEAD,
    };
    for link in links {
        let filter = link.instance.id;
        let mut exchange = ResponseExchange {
            request: RequestExchange {
                cx: &mut *cx,
                headers: &mut *request,
                filter,
            },
            headers: &mut *response,
            status: &mut *status,
            local: phase == ResponsePhase::Delivery { local: true },
        };
        match wanted(link, &exchange.request) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(reason) => return Decision::Fail(reason),
        }
        let deadline = exchange.request.cx.deadline();
        let view = &mut exchange;
        let call = guarded(move || match phase {
            ResponsePhase::Origin => link.instance.filter.origin_head(view),
            ResponsePhase::Delivery { .. } => link.instance.filter.response_head(view),
        });
        let outcome = settle(call, deadline).await;
        if let Some(decision) = conclude(link, place, outcome, cx) {
            return decision;
        }
    }
    Decision::Continue
}

/// Which body a piece belongs to.
#[derive(Clone, Copy)]
pub enum BodyPhase {
    /// The request's, streamed.
    Request,
    /// The origin's.
    Origin,
    /// The one to the client.
    Delivery,
}

/// A piece of a body through every filter.
///
/// # Errors
/// A filter failed closed; the body ends here.
pub fn body_chunk(
    links: &[Link],
    phase: BodyPhase,
    cx: &mut Ctx,
    headers: &mut (dyn Headers + '_),
    chunk: &mut Option<Bytes>,
    end: bool,
) -> Result<(), Reason> {
    for link in links {
        let filter = link.instance.id;
        let mut exchange = RequestExchange {
            cx: &mut *cx,
            headers: &mut *headers,
            filter,
        };
        match wanted(link, &exchange) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(reason) => return Err(reason),
        }
        let plugin: &dyn Filter = &*link.instance.filter;
        let call = catch_unwind(AssertUnwindSafe(|| match phase {
            BodyPhase::Request => plugin.request_chunk(&mut exchange, chunk, end),
            BodyPhase::Origin => plugin.origin_body(&mut exchange, chunk, end),
            BodyPhase::Delivery => plugin.response_body(&mut exchange, chunk, end),
        }));
        if let Some(reply) = &cx.refusal {
            link.instance.series.replies.inc();
            cx.detail = reply.detail;
            return Err(Reason::PluginReply);
        }
        let reason = match call {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => failed(link, &error),
            Err(_) => panicked(link),
        };
        if link.instance.fail == Fail::Closed {
            return Err(reason);
        }
    }
    Ok(())
}

/// `log` of every filter.
pub fn log(links: &[Link], cx: &mut Ctx, headers: &mut (dyn Headers + '_), outcome: &Outcome) {
    for link in links {
        let mut exchange = RequestExchange {
            cx: &mut *cx,
            headers: &mut *headers,
            filter: link.instance.id,
        };
        if !wanted(link, &exchange).unwrap_or(false) {
            continue;
        }
        let call = catch_unwind(AssertUnwindSafe(|| {
            link.instance.filter.log(&mut exchange, outcome);
        }));
        if call.is_err() {
            panicked(link);
        }
    }
}

/// Whether the filter is on and its condition holds.
///
/// # Errors
/// The condition has no answer for this request, and the plugin fails closed. When it fails open it is left out.
fn wanted(link: &Link, exchange: &RequestExchange<'_>) -> Result<bool, Reason> {
    if !link.is_on() {
        return Ok(false);
    }
    let Some(when) = link.when.as_deref() else {
        return Ok(true);
    };
    when.holds(exchange)
        .or_else(|fault| undecided(link, fault).map_or(Ok(false), Err))
}

#[cold]
fn undecided(link: &Link, fault: Fault) -> Option<Reason> {
    link.instance.series.error();
    log::warn!(
        "the condition of plugin {} has no answer: {fault}",
        link.instance.name
    );
    (link.instance.fail == Fail::Closed).then_some(Reason::PluginError)
}

/// Calls a filter so that its panic stays its own.
fn guarded<'a>(call: impl FnOnce() -> Answer<'a>) -> std::thread::Result<Answer<'a>> {
    catch_unwind(AssertUnwindSafe(call))
}

/// What calling a filter came to.
enum Settled {
    Verdict(Verdict),
    Panic,
    TooLate,
}

async fn settle(call: std::thread::Result<Answer<'_>>, deadline: Instant) -> Settled {
    match call {
        Ok(Answer::Now(verdict)) => Settled::Verdict(verdict),
        // Boxed: a request whose filters answer at once carries no timer with it.
        Ok(Answer::Wait(future)) => Box::pin(wait(future, deadline)).await,
        Err(_) => Settled::Panic,
    }
}

async fn wait(future: impl Future<Output = Verdict> + Send, deadline: Instant) -> Settled {
    let guarded = AssertUnwindSafe(future).catch_unwind();
    match tokio::time::timeout_at(deadline.into(), guarded).await {
        Ok(Ok(verdict)) => Settled::Verdict(verdict),
        Ok(Err(_)) => Settled::Panic,
        Err(_) => Settled::TooLate,
    }
}

/// Counts what a filter did and says whether the request is decided.
fn conclude(link: &Link, phase: usize, settled: Settled, cx: &mut Ctx) -> Option<Decision> {
    let now = Instant::now();
    if let Some(seconds) = link.instance.seconds.get(phase) {
        let spent = now.saturating_duration_since(cx.clock).as_nanos();
        seconds.observe_ns(u64::try_from(spent).unwrap_or(u64::MAX));
    }
    cx.clock = now;
    let reason = match settled {
        Settled::Verdict(Verdict::Continue) => return None,
        Settled::Verdict(Verdict::Reply(reply)) => {
            link.instance.series.replies.inc();
            cx.detail = reply.detail;
            return Some(Decision::Reply(reply));
        }
        Settled::Verdict(Verdict::Reset) => return Some(Decision::Reset),
        Settled::Verdict(Verdict::Error(error)) => failed(link, &error),
        Settled::Panic => panicked(link),
        Settled::TooLate => failed(
            link,
            &FilterError::new("no verdict within the request's deadline"),
        ),
    };
    match link.instance.fail {
        Fail::Closed => Some(Decision::Fail(reason)),
        Fail::Open => None,
    }
}

fn failed(link: &Link, error: &FilterError) -> Reason {
    link.instance.series.error();
    log::warn!("plugin {} failed: {}", link.instance.name, error.message());
    Reason::PluginError
}

fn panicked(link: &Link) -> Reason {
    link.instance.series.panic();
    log::error!("plugin {} panicked", link.instance.name);
    Reason::PluginPanic
}

/// `accept` of every filter of a listener: the first refusal decides.
pub fn accept(links: &[Link], facts: &ConnectionFacts) -> Accept {
    for link in links.iter().filter(|link| link.is_on()) {
        let call = catch_unwind(AssertUnwindSafe(|| link.instance.filter.accept(facts)));
        let verdict = match call {
            Ok(verdict) => verdict,
            Err(_) => {
                panicked(link);
                match link.instance.fail {
                    Fail::Closed => Accept::Refuse,
                    Fail::Open => Accept::Continue,
                }
            }
        };
        if verdict == Accept::Refuse {
            return Accept::Refuse;
        }
    }
    Accept::Continue
}
