//! The admin address: read-only.

use std::sync::atomic::Ordering;

use hyper::body::Incoming;
use serde_json::json;

use super::super::Server;
use super::super::status::{status, unready};
use super::{Answer, answer as text, json};
use crate::telemetry::metrics::CONTENT_TYPE;

const INDEX: &str = "/livez\n/readyz\n/metrics\n/status\n/config\n";

pub(super) fn answer_to(server: &Server, method: &http::Method, path: &str) -> Answer {
    if method != http::Method::GET && method != http::Method::HEAD {
        return json(405, &json!({ "error": "this address is read-only" }));
    }
    match path {
        "/" => text(200, "text/plain", INDEX),
        "/livez" => json(200, &json!({ "live": true })),
        "/readyz" => {
            let reasons = unready(server);
            let ready = reasons.is_empty();
            json(
                if ready { 200 } else { 503 },
                &json!({ "ready": ready, "reasons": reasons }),
            )
        }
        "/metrics" => {
            refresh(server);
            text(200, CONTENT_TYPE, server.node.metrics.render())
        }
        "/status" => json(200, &status(server)),
        "/config" => json(200, &server.config.load()),
        _ => json(
            404,
            &json!({ "error": "not found", "paths": INDEX.lines().collect::<Vec<_>>() }),
        ),
    }
}

pub(super) fn answer(server: &Server, request: &http::Request<Incoming>) -> Answer {
    answer_to(server, request.method(), request.uri().path())
}

/// Gauges that are read off the node's state when somebody looks.
fn refresh(server: &Server) {
    let snapshot = server.node.current.load();
    for plan in snapshot.upstreams.values() {
        for endpoint in plan.upstream.set().endpoints() {
            let metrics = plan.endpoint_metrics(endpoint);
            metrics.in_flight.set(i64::from(endpoint.state.in_flight()));
            metrics.drained.set(i64::from(endpoint.state.is_drained()));
        }
    }
    for instance in snapshot.plugins.values() {
        let on = instance.on.load(Ordering::Relaxed);
        instance.series.off.set(i64::from(!on));
    }
}
