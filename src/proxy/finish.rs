//! The end of a request: counters, the access log record, the `log` phase. Once per request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use farmgate_plugin_api::Headers;
use farmgate_plugin_api::filter::Outcome;
use http::{HeaderName, StatusCode, header};

use super::attempt;
use super::caching;
use super::chains::{self, Links};
use super::connection::Node;
use super::ctx::Ctx;
use super::id::RequestId;
use crate::snapshot::Listener;
use crate::telemetry::Reason;
use crate::telemetry::access_log::{AccessRecord, CacheRecord, Text, Timings, with_line};
use crate::telemetry::clock;

/// Counts and logs the request. Later calls do nothing.
pub fn finish(cx: &mut Ctx, headers: &mut (dyn Headers + '_)) {
    if std::mem::replace(&mut cx.logged, true) {
        return;
    }
    let now = Instant::now();
    cx.clock = now;
    if cx.fetch.is_some() {
        // Counted and logged with the request it is made for.
        attempt_ended(cx, now);
        attempt::over(cx);
        cx.in_flight = None;
        return;
    }
    let total = now.saturating_duration_since(cx.start.head_at);
    let total_ns = u64::try_from(total.as_nanos()).unwrap_or(u64::MAX);
    attempt_ended(cx, now);
    attempt::over(cx);
    if cx.status == 0 && matches!(cx.reason, Reason::ClientClosed | Reason::ClientReset) {
        cx.status = 499;
    }
    count(cx, total_ns);
    run_log_phase(cx, headers, total_ns);

    let node = &cx.start.node;
    let log = node.access_log.load();
    let ring = node.explain.load();
    if log.is_none() && ring.is_none() {
        return;
    }
    let extra = node.log_headers.load();
    with_line(&record(cx, headers, &extra, total_ns), |line| {
        if let Some(ring) = &*ring {
            let [stored, key] = caching::kept_for_explain(cx);
            ring.push(line, &[cx.notes.as_bytes(), b"\n", stored, key]);
        }
        if let Some(log) = &*log {
            log.submit(line);
        }
    });
}

/// The attempt under way ended at `now`: its times, and what the balancer learns of it.
pub fn attempt_ended(cx: &mut Ctx, now: Instant) {
    if let Some(line) = cx.line.take() {
        line.end();
    }
    if cx.picked.is_some() {
        attempt::ended(cx, now);
    }
    let Some(picked) = cx.picked.take() else {
        return;
    };
    let elapsed = cx
        .times
        .attempt
        .map(|at| now.saturating_duration_since(at))
        .unwrap_or_default();
    if let Some(plan) = &cx.upstream {
        plan.metrics
            .total
            .observe_ns(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
    }
    match cx.times.first_byte {
        Some(first_byte) => picked.guard.answered(now, first_byte),
        None if cx.reason.is_ok()
            || cx.reason.source() == crate::telemetry::reason::Source::Downstream => {}
        None => picked.guard.failed(now, elapsed),
    }
    cx.last_endpoint = Some(Arc::clone(picked.endpoint()));
}

fn count(cx: &mut Ctx, total_ns: u64) {
    let upstream = cx.upstream.as_deref().map(|plan| plan.name());
    let listener = &cx.start.listener;
    match cx.route.as_deref() {
        Some(route) => {
            route
                .metrics
                .ended(cx.reason, total_ns, cx.bytes_in, cx.bytes_out);
            if let Some(metrics) = route.requests(listener.slot, upstream) {
                metrics.ended(cx.status);
            }
        }
        None => {
            let metrics = &cx.start.snapshot.unrouted;
            metrics.ended(cx.reason, total_ns, cx.bytes_in, cx.bytes_out);
            if !cx.reason.is_ok() {
                listener.metrics.request_rejected(cx.reason);
            }
        }
    }
    let cache = cx.route.as_deref().and_then(|route| route.cache.as_ref());
    if let (Some(cache), Some(own)) = (cache, &cx.cache) {
        cache.metrics.answered(own.answer, cx.bytes_out);
    }
    cx.tunnel = None;
    cx.places = None;
    cx.in_flight = None;
}

fn run_log_phase(cx: &mut Ctx, headers: &mut (dyn Headers + '_), total_ns: u64) {
    let links = Links::of(cx, |chain| &chain.log);
    let outcome = Outcome {
        status: StatusCode::from_u16(cx.status).ok(),
        reason: cx.reason.as_str(),
        bytes_in: cx.bytes_in,
        bytes_out: cx.bytes_out,
        total_us: total_ns / 1000,
    };
    for links in links.each() {
        chains::log(links, cx, headers, &outcome);
    }
}

/// Logs a request that ended before it was one: a malformed head, a limit, a timeout. `bytes` is what
/// came of it; its first line is all that can be told.
pub fn early(
    node: &Node,
    listener: &Listener,
    client: IpAddr,
    id: &RequestId,
    reason: Reason,
    bytes: &[u8],
) {
    let Some(log) = &*node.access_log.load() else {
        return;
    };
    let status = reason.status().unwrap_or_default();
    let mut record = AccessRecord::new(clock::unix_ms(), reason, status);
    record.generation = node.current.load().generation;
    record.client = Some(client);
    record.set(Text::RequestId, id.as_str());
    record.set(Text::Listener, &*listener.name);
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next();
    let mut words = line.unwrap_or_default().split(|byte| *byte == b' ');
    record.set(Text::Method, words.next().unwrap_or_default());
    record.set(Text::Path, words.next().unwrap_or_default());
    with_line(&record, |line| log.submit(line));
}

fn record<'a>(
    cx: &'a Ctx,
    headers: &'a dyn Headers,
    extra: &'a [(HeaderName, Arc<str>)],
    total_ns: u64,
) -> AccessRecord<'a> {
    let mut record = AccessRecord::new(clock::unix_ms(), cx.reason, cx.status);
    let nanos = |d: std::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    record.generation = cx.start.snapshot.generation;
    let credentials = &*cx.start.snapshot.credentials;
    record.credentials = credentials;
    record.bytes_in = cx.bytes_in;
    record.bytes_out = cx.bytes_out;
    record.client = Some(cx.client);
    record.attempt = if cx.asked { cx.attempts.number() } else { 0 };
    record.timings = Timings {
        queue_ns: match cx.granted.queued {
            Some(queued) => Some(nanos(queued)),
            None => cx.asked.then_some(0),
        },
        connect_ns: cx.times.connect.map(nanos),
        first_byte_ns: cx.times.first_byte.map(nanos),
        total_ns,
    };
    record.set(Text::RequestId, cx.id.as_str());
    record.set(Text::Listener, &*cx.start.listener.name);
    if let Some(route) = cx.route.as_deref() {
        record.set(Text::Route, &*route.name);
    }
    if let Some(plan) = cx.upstream.as_deref() {
        record.set(Text::Upstream, &**plan.name());
    }
    if let Some(endpoint) = &cx.last_endpoint {
        record.set(Text::Endpoint, &*endpoint.configured);
    }
    record.set(Text::Method, cx.method.as_str());
    record.set(Text::Host, &*cx.host);
    record.set(Text::Path, cx.raw());
    record.set(
        Text::Protocol,
        if cx.start.connection.h2 {
            "HTTP/2.0"
        } else {
            "HTTP/1.1"
        },
    );
    let map = headers.map();
    for (text, name) in [
        (Text::UserAgent, header::USER_AGENT),
        (Text::Referer, header::REFERER),
    ] {
        if let Some(value) = map
            .get(&name)
            .filter(|_| !credentials.is_header(name.as_str()))
        {
            record.set(text, value);
        }
    }
    if let Some(trace) = &cx.trace {
        record.set(Text::TraceId, trace);
    }
    if let Some(consumer) = &cx.consumer {
        record.set(Text::Consumer, &*consumer.name);
        record.tags = &consumer.tags;
        if let Some(plan) = &consumer.plan {
            record.set(Text::Plan, &**plan);
        }
    }
    if let Some(tls) = &cx.start.connection.tls {
        record.set(Text::Tls, tls.version);
        if let Some(san) = cx.start.connection.client_sans().first() {
            record.set(Text::ClientSan, san);
        }
    }
    record.cache = cx.cache.as_ref().map(|cache| CacheRecord {
        answer: cache.answer,
        forward: cache.said.forward,
        detail: cache.said.detail,
        ttl_s: cache.said.ttl_s,
    });
    for (name, text) in extra {
        if let Some(value) = map.get(name) {
            record.header(text, value.as_bytes());
        }
    }
    record
}
