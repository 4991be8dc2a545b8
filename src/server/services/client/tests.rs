mod tls;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use farmgate_plugin_api::services::ClientRequest;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::*;
use crate::snapshot::upstream::{Pool as PoolPlan, UpstreamTimeouts};
use crate::snapshot::{HostMode, UpstreamPlan, UpstreamProtocol};
use crate::telemetry::metrics::Metrics;
use crate::tls::upstream::UpstreamTls;
use crate::upstream::retry::RetryPolicy;
use crate::upstream::{
    EndpointSpec, NoAddresses, Policy, SetOptions, UnsharedStore, Upstream, UpstreamSpec,
};

/// A server that says what it got, and counts its connections.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let host = request.headers().get("host").cloned();
    let authority = request.uri().authority().map(|a| a.as_str().to_owned());
    let head = Response::builder()
        .header("x-method", request.method().as_str())
        .header("x-version", format!("{:?}", request.version()))
        .header(
            "x-host",
            host.map_or(authority.unwrap_or_default(), |h| {
                h.to_str().unwrap().into()
            }),
        );
    let target = request.uri().path_and_query().unwrap().as_str().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    match target.as_str() {
        "/large" => Ok(head.body(vec![b'x'; 100_000].into()).unwrap()),
        "/close" => Ok(head
            .header("connection", "close")
            .body(body.into())
            .unwrap()),
        "/hang" => std::future::pending().await,
        _ => Ok(head
            .body([target.as_bytes(), b" ", &body].concat().into())
            .unwrap()),
    }
}

impl Server {
    async fn start(http2: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let io = TokioIo::new(stream);
                tokio::spawn(async move {
                    if http2 {
                        let builder =
                            hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        let _ = builder.serve_connection(io, service_fn(answer)).await;
                    } else {
                        let builder = hyper::server::conn::http1::Builder::new();
                        let _ = builder.serve_connection(io, service_fn(answer)).await;
                    }
                });
            }
        });
        Self {
            address,
            connections,
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn request(target: &str) -> ClientRequest {
    ClientRequest {
        head: Request::get(target).body(()).unwrap(),
        body: Bytes::new(),
        timeout: Duration::from_secs(20),
        max_response_bytes: 1_000,
    }
}

fn text(answer: Answer) -> String {
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    String::from_utf8(answer.into_body().to_vec()).unwrap()
}

fn outgoing() -> Arc<Outgoing> {
    Outgoing::new(Handle::current())
}

/// A loopback address that refuses connections.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_url_is_asked_and_its_connection_used_again() {
    let server = Server::start(false).await;
    let outgoing = outgoing();
    let client = outgoing.url_client();
    let url = |path: &str| format!("http://{}{path}", server.address);
    assert_eq!(text(client.send(request(&url("/a?b=c"))).await), "/a?b=c ");
    let mut post = request(&url("/p"));
    *post.head.method_mut() = Method::POST;
    post.body = Bytes::from_static(b"hello");
    let posted = client.send(post).await.unwrap();
    assert_eq!(posted.headers()["x-method"], "POST");
    assert_eq!(posted.headers()["x-host"], server.address.to_string());
    assert_eq!(posted.body(), "/p hello");
    assert_eq!((server.connections(), outgoing.pool.idle()), (1, 1));
    text(client.send(request(&url("/close"))).await);
    assert_eq!(outgoing.pool.idle(), 0, "the server closes it");
    // A name is looked up.
    let named = format!("http://localhost:{}/n", server.address.port());
    assert_eq!(text(client.send(request(&named)).await), "/n ");
}

#[tokio::test]
async fn a_response_is_bounded_in_size_and_time() {
    let server = Server::start(false).await;
    let outgoing = outgoing();
    let client = outgoing.url_client();
    let url = |path: &str| format!("http://{}{path}", server.address);
    let error = client.send(request(&url("/large"))).await.unwrap_err();
    assert!(error.contains("larger than 1000 bytes"), "{error}");
    let mut slow = request(&url("/hang"));
    slow.timeout = Duration::from_millis(20);
    let error = client.send(slow).await.unwrap_err();
    assert!(error.contains("time"), "{error}");
    assert_eq!(outgoing.pool.idle(), 0);
    // Waits that are given up give their place back.
    for _ in 0..10 {
        let waiting = client.send(request(&url("/hang")));
        assert_eq!(outgoing.places.available_permits(), MAX_REQUESTS - 1);
        drop(waiting);
    }
    assert_eq!(outgoing.places.available_permits(), MAX_REQUESTS);
}

#[tokio::test]
async fn too_many_requests_at_once_are_refused() {
    let outgoing = outgoing();
    let client = outgoing.url_client();
    let url = format!("http://{}/", nobody().await);
    let waiting: Vec<_> = (0..MAX_REQUESTS)
        .map(|_| client.send(request(&url)))
        .collect();
    assert!(
        client
            .send(request(&url))
            .await
            .unwrap_err()
            .contains("too many")
    );
    drop(waiting);
    let error = client.send(request(&url)).await.unwrap_err();
    assert!(error.contains("refused"), "{error}");
}

/// A server that closes each connection after one answer without saying so: the pool holds a
/// connection that is dead when it is used.
#[tokio::test]
async fn a_pooled_connection_that_ended_is_no_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4_096]).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
        }
    });
    let client = outgoing().url_client();
    for _ in 0..3 {
        assert_eq!(
            text(client.send(request(&format!("http://{address}/"))).await),
            "ok"
        );
    }
    serving.await.unwrap();
}

/// The upstreams of one configuration.
#[derive(Default)]
struct Plans(Mutex<HashMap<Arc<str>, Arc<UpstreamPlan>>>);

impl UpstreamSource for Plans {
    fn upstream(&self, name: &str) -> Option<Arc<UpstreamPlan>> {
        self.0.lock().get(name).cloned()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0.lock().keys().cloned().collect()
    }
}

impl Plans {
    fn set(&self, endpoints: &[SocketAddr], protocol: UpstreamProtocol, host: HostMode) {
        self.put(endpoints, protocol, host, None);
    }

    fn put(
        &self,
        endpoints: &[SocketAddr],
        protocol: UpstreamProtocol,
        host: HostMode,
        tls: Option<Arc<UpstreamTls>>,
    ) {
        let one = |address: &SocketAddr| EndpointSpec {
            address: address.to_string().parse().unwrap(),
            weight: 1,
            priority: 0,
            zone: None,
        };
        let spec = UpstreamSpec {
            name: "app".into(),
            endpoints: endpoints.iter().map(one).collect(),
            policy: Policy::RoundRobin,
            options: SetOptions::default(),
        };
        let upstream = Upstream::build(spec, Arc::new(UnsharedStore), &NoAddresses).unwrap();
        let seconds = Duration::from_secs(20);
        let metrics = Metrics::new(1_000, "test").unwrap();
        let plan = UpstreamPlan {
            upstream: Arc::new(upstream),
            hash_key: None,
            protocol,
            proxy_protocol: None,
            tls,
            host,
            timeouts: UpstreamTimeouts {
                connect: seconds,
                first_byte: seconds,
                idle: seconds,
                tunnel_idle: None,
                write: seconds,
                per_try: None,
            },
            pool: PoolPlan {
                idle: 8,
                idle_timeout: seconds,
                max_age: None,
                max_requests: None,
            },
            retry: Arc::new(RetryPolicy::default()),
            breaker: None,
            gate: None,
            health: None,
            outlier: None,
            discovery: None,
            discovery_metrics: None,
            fallbacks: Arc::default(),
            group_key: 0,
            metrics: metrics.upstream("app"),
            metrics_of: Arc::clone(&metrics),
        };
        self.0.lock().insert("app".into(), Arc::new(plan));
    }
}

#[tokio::test]
async fn an_upstream_is_balanced_and_a_reload_followed() {
    let (one, two) = (Server::start(false).await, Server::start(false).await);
    let plans = Arc::new(Plans::default());
    let client = outgoing().upstream_client("app", Arc::clone(&plans) as Arc<dyn UpstreamSource>);
    assert!(
        client.send(request("/")).await.is_err(),
        "none is in force yet"
    );
    plans.set(
        &[one.address, two.address],
        UpstreamProtocol::Http1,
        HostMode::Keep,
    );
    for _ in 0..6 {
        assert_eq!(text(client.send(request("/x?y")).await), "/x?y ");
    }
    assert_eq!((one.connections(), two.connections()), (1, 1));
    let plan = plans.upstream("app").unwrap();
    let loads = |plan: &UpstreamPlan| -> Vec<_> {
        let set = plan.upstream.set();
        let states = set.endpoints().iter().map(|one| &one.state);
        states
            .map(|s| (s.requests_total(), s.in_flight(), s.open_connections()))
            .collect()
    };
    assert_eq!(loads(&plan), [(3, 0, 1), (3, 0, 1)]);
    let three = Server::start(false).await;
    plans.set(
        &[three.address],
        UpstreamProtocol::Http1,
        HostMode::Name("app.test".parse().unwrap()),
    );
    let answer = client.send(request("/")).await.unwrap();
    assert_eq!(answer.headers()["x-host"], "app.test");
    assert_eq!(three.connections(), 1);
}

#[tokio::test]
async fn another_endpoint_is_tried_and_the_failure_counted() {
    let (dead, server) = (nobody().await, Server::start(false).await);
    let plans = Arc::new(Plans::default());
    plans.set(
        &[dead, server.address],
        UpstreamProtocol::Http1,
        HostMode::Endpoint,
    );
    let client = outgoing().upstream_client("app", Arc::clone(&plans) as Arc<dyn UpstreamSource>);
    for _ in 0..4 {
        let answer = client.send(request("/")).await.unwrap();
        assert_eq!(answer.headers()["x-host"], server.address.to_string());
    }
    let plan = plans.upstream("app").unwrap();
    let set = plan.upstream.set();
    let failures: Vec<_> = set
        .endpoints()
        .iter()
        .map(|e| e.state.failures_total())
        .collect();
    assert!(failures[0] >= 1 && failures[1] == 0, "{failures:?}");
    drop(set);
    plans.set(&[dead], UpstreamProtocol::Http1, HostMode::Keep);
    let error = client.send(request("/")).await.unwrap_err();
    assert!(
        error.contains("upstream app: the connection was refused"),
        "{error}"
    );
}

#[tokio::test]
async fn a_connection_begins_with_a_header_of_our_own_and_is_kept() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use crate::protocol::proxy_protocol::{Version, own};
    for version in [Version::V1, Version::V2] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plans = Arc::new(Plans::default());
        plans.set(&[address], UpstreamProtocol::Http1, HostMode::Keep);
        Arc::get_mut(plans.0.lock().get_mut("app").unwrap())
            .unwrap()
            .proxy_protocol = Some(version);
        let origin = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut begins = vec![0; own(version).len()];
            stream.read_exact(&mut begins).await.unwrap();
            for _ in 0..2 {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
            begins
        });
        let client = outgoing().upstream_client("app", plans);
        for _ in 0..2 {
            assert_eq!(client.send(request("/")).await.unwrap().status(), 200);
        }
        assert_eq!(origin.await.unwrap(), own(version));
    }
}

#[tokio::test]
async fn an_http2_upstream_shares_one_connection() {
    let server = Server::start(true).await;
    let plans = Arc::new(Plans::default());
    plans.set(&[server.address], UpstreamProtocol::H2, HostMode::Keep);
    let outgoing = outgoing();
    let client = outgoing.upstream_client("app", plans);
    let first = client.send(request("/a")).await.unwrap();
    assert_eq!(first.headers()["x-version"], "HTTP/2.0");
    assert_eq!(first.headers()["x-host"], server.address.to_string());
    let more = (0..10).map(|_| client.send(request("/b")));
    for answer in futures_util::future::join_all(more).await {
        assert_eq!(text(answer), "/b ");
    }
    assert_eq!((server.connections(), outgoing.pool.idle()), (1, 1));
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let server = Server::start(false).await;
    let outgoing = outgoing();
    let client = outgoing.url_client();
    text(
        client
            .send(request(&format!("http://{}/", server.address)))
            .await,
    );
    assert_eq!(outgoing.pool.idle(), 1);
    // Only now: paused time would run past the request's timeout while the socket waits.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(outgoing.pool.idle(), 1);
    for _ in 0..60 {
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(outgoing.pool.idle(), 0);
}
