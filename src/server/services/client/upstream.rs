//! The client to a configured upstream: balanced and tried again like a route's requests.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use farmgate_plugin_api::services::{ClientRequest, HostFuture, HttpClient};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Uri, Version, header};
use http_body_util::Full;
use tokio::time::timeout;

use super::connection::{Connection, Counted, Speak};
use super::pool::{Key, Target};
use super::{Answer, Outgoing, Sendable, Wanted, begin, finish, refuse, strip};
use crate::protocol::proxy_protocol::own;
use crate::server::services::UpstreamSource;
use crate::snapshot::{HostMode, UpstreamPlan, UpstreamProtocol};
use crate::tls::Alpn;
use crate::upstream::retry::{Attempts, Retry};
use crate::upstream::{Endpoint, EndpointAddress, TriedSet};

pub(super) struct UpstreamClient {
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) name: Arc<str>,
    pub(super) source: Arc<dyn UpstreamSource>,
}

impl HttpClient for UpstreamClient {
    fn send(&self, request: ClientRequest) -> HostFuture<Answer> {
        let wanted = Wanted::Body(request.max_response_bytes);
        self.run(request, wanted)
    }

    fn send_and_discard(&self, request: ClientRequest) -> HostFuture<Answer<()>> {
        let answer = self.run(request, Wanted::Head);
        Box::pin(async move { answer.await.map(|answer| answer.map(drop)) })
    }
}

impl UpstreamClient {
    fn run(&self, request: ClientRequest, wanted: Wanted) -> HostFuture<Answer<Bytes>> {
        let Some(plan) = self.source.upstream(&self.name) else {
            return refuse(format!("there is no upstream {} any more", self.name));
        };
        if request.head.method() == Method::CONNECT {
            return refuse("CONNECT is not sent");
        }
        let outgoing = Arc::clone(&self.outgoing);
        let limit = request.timeout;
        let work = ask(outgoing, plan, request, wanted);
        self.outgoing.run(wanted, limit, work)
    }
}

/// Tries endpoints as the upstream's retry rules allow.
async fn ask(
    outgoing: Arc<Outgoing>,
    plan: Arc<UpstreamPlan>,
    request: ClientRequest,
    wanted: Wanted,
) -> Answer {
    let pool = &outgoing.pool;
    // Loaded once: a connection is made with what its key says.
    let tls = plan.tls.as_ref().map(|tls| tls.connector());
    let alpn = match plan.protocol {
        UpstreamProtocol::Http1 => Alpn::Http1,
        UpstreamProtocol::H2 => Alpn::H2,
        UpstreamProtocol::Auto => Alpn::Both,
    };
    let mut attempts = Attempts::default();
    let mut tried = TriedSet::new();
    loop {
        let picked = plan
            .upstream
            .pick(None, &tried, Instant::now())
            .map_err(|why| format!("upstream {}: {why}", plan.name()))?;
        let endpoint = Arc::clone(picked.endpoint());
        let key = Key {
            target: target(&endpoint),
            protocol: plan.protocol,
            tls: tls.as_ref().map_or(0, |tls| tls.key(alpn)),
            proxy_protocol: plan.proxy_protocol,
        };
        let speak = match &tls {
            Some(tls) => Speak::Tls(Arc::clone(tls), alpn),
            None if plan.protocol == UpstreamProtocol::H2 => Speak::Http2,
            None => Speak::Http1,
        };
        let sendable = |http2| address(&plan, &endpoint, &request, http2);
        let began_at = Instant::now();
        let connect = connect(&plan, &endpoint, &key, speak);
        let began = begin(pool, &key, connect, sendable, plan.timeouts.first_byte).await;
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(began_at);
        match began {
            Ok(begun) => {
                picked.guard.answered(now, elapsed);
                return finish(pool, &key, begun, wanted).await;
            }
            Err(failed) => {
                let method = request.head.method();
                let next = attempts.failed(&plan.retry, method, failed.class, failed.sent);
                if next != Retry::AgainFree {
                    picked.guard.failed(now, elapsed);
                    tried.insert(endpoint.state.id());
                }
                if next == Retry::No {
                    return Err(format!("upstream {}: {}", plan.name(), failed.text));
                }
            }
        }
    }
}

/// Opens a connection within the upstream's connect time, counted as the proxy's own are.
async fn connect(
    plan: &UpstreamPlan,
    endpoint: &Endpoint,
    key: &Key,
    speak: Speak,
) -> Result<Connection, String> {
    let count = || {
        plan.metrics.connections_opened.inc();
        let open = plan.metrics.connections_open.enter();
        Some(Counted::new(&endpoint.state, open))
    };
    // These requests are ours, whoever caused them: the connection names no client, so that all may use it.
    let greeting = plan.proxy_protocol.map(own).unwrap_or_default();
    let open = Connection::open(&key.target, speak, &greeting, count);
    let opened = in_time(plan.timeouts.connect, open).await;
    if let (Err(error), true) = (&opened, plan.tls.is_some()) {
        let endpoint = &endpoint.configured;
        log::warn!("upstream {}: endpoint {endpoint}: {error}", plan.name());
    }
    opened
}

async fn in_time(
    limit: std::time::Duration,
    open: impl Future<Output = Result<Connection, String>>,
) -> Result<Connection, String> {
    match timeout(limit, open).await {
        Ok(opened) => opened,
        Err(_) => Err("no connection in time".to_owned()),
    }
}

fn target(endpoint: &Endpoint) -> Target {
    match &endpoint.address {
        EndpointAddress::Socket(address) => Target::Socket(*address),
        EndpointAddress::Unix(path) => Target::Unix(path.clone()),
        // Names are resolved in the background before they are picked; this is only complete.
        EndpointAddress::Name { host, port } => Target::Name {
            host: (**host).into(),
            port: *port,
        },
    }
}

/// The request as this endpoint shall see it.
fn address(
    plan: &UpstreamPlan,
    endpoint: &Endpoint,
    request: &ClientRequest,
    http2: bool,
) -> Result<Sendable, String> {
    let mut head = request.head.clone();
    let own = match &endpoint.address {
        EndpointAddress::Unix(_) => HeaderValue::from_static("localhost"),
        _ => HeaderValue::from_str(&endpoint.configured)
            .unwrap_or_else(|_| HeaderValue::from_static("localhost")),
    };
    let named = |head: &http::Request<()>| {
        let authority = head.uri().authority()?;
        HeaderValue::from_str(authority.as_str()).ok()
    };
    let host = match &plan.host {
        HostMode::Name(host) => host.clone(),
        HostMode::Endpoint => own,
        // No client's Host is known here: the plugin's own, else the endpoint's.
        HostMode::Keep => match head.headers().get(header::HOST) {
            Some(host) => host.clone(),
            None => named(&head).unwrap_or(own),
        },
    };
    let path = head.uri().path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    strip(head.headers_mut());
    if http2 {
        head.headers_mut().remove(header::HOST);
        *head.uri_mut() = Uri::builder()
            .scheme(if plan.tls.is_some() { "https" } else { "http" })
            .authority(host.as_bytes())
            .path_and_query(path)
            .build()
            .map_err(|_| "the host of the request cannot be sent".to_owned())?;
        *head.version_mut() = Version::HTTP_2;
    } else {
        head.headers_mut().insert(header::HOST, host);
        *head.uri_mut() = path.into();
        *head.version_mut() = Version::HTTP_11;
    }
    Ok(head.map(|()| Full::new(request.body.clone())))
}
