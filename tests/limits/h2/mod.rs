//! HTTP/2 connections that are abused, without TLS and with it, and honest ones that look a little like it.
//!
//! After every abuse: the code on the wire, the metric, the memory, and that others are served meanwhile.

mod ages;
mod floods;
mod heads;
mod honest;
mod resets;
mod streams;

use std::future::Future;

use crate::harness::authority::Authority;
use crate::harness::client::Wire;
use crate::harness::frames::{Frames, Heard};
use crate::harness::http2::Http2;
use crate::harness::tls::TlsClient;
use crate::harness::{Node, Origin, Peer, Setup};

/// How much a node may grow under any abuse of one connection. A debug build idles at 60 MiB.
const GROWTH: u64 = 32 * 1024 * 1024;
const ENDED: &str = "farmgate_h2_connections_ended_total";

/// What a connection is made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Plain,
    Tls,
}

impl Over {
    const BOTH: [Self; 2] = [Self::Plain, Self::Tls];

    fn listener(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "secure",
        }
    }
}

/// A node with a listener of each kind, before an origin that never answers `/hold` and answers all else.
struct Stand {
    node: Node,
    origin: Origin,
    authority: Authority,
    resident: u64,
}

impl Stand {
    /// `words` stand in both listeners.
    async fn new(words: &str) -> Self {
        let origin = Origin::start(|mut peer: Peer| async move {
            while let Some(seen) = peer.request().await {
                if seen.target() == "/hold" {
                    peer.gone().await;
                    return;
                }
                peer.answer(200, "", "ok").await;
            }
        })
        .await;
        Self::before(origin, words).await
    }

    async fn before(origin: Origin, words: &str) -> Self {
        let setup = Setup::new().with("origin", origin.address());
        let setup = setup.with("grpc", origin.address());
        Self::prepared(setup, origin, words).await
    }

    async fn prepared(setup: Setup, origin: Origin, words: &str) -> Self {
        let authority = Authority::new("root");
        authority.simple(&["a.test"]).write(setup.folder(), "a");
        let config = format!(
            r#"
[[listener]]
name = "plain"
address = "@plain"
protocols = ["http1", "h2c"]
{words}

[[listener]]
name = "secure"
address = "@secure"
tls = "edge"
{words}

[[tls]]
name = "edge"
certificates = [{{ cert = "a.pem", key = "a.key" }}]

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[upstream]]
name = "grpc"
endpoints = ["@grpc"]
protocol = "h2"

[[route]]
name = "grpc"
paths = ["/echo.Echo/*"]
upstream = "grpc"

[[route]]
name = "any"
upstream = "app"

[[route]]
name = "here"
paths = ["/here"]
plugins = [{{ kind = "respond", status = 200, body = "hello" }}]
"#
        );
        let node = setup.start(&config).await;
        let stand = Self {
            resident: node.resident_bytes(),
            node,
            origin,
            authority,
        };
        for over in Over::BOTH {
            stand.serves(over).await;
        }
        stand
    }

    async fn wire(&self, over: Over) -> Box<dyn Wire> {
        let address = self.node.at(over.listener());
        let stream = tokio::net::TcpStream::connect(address).await;
        let stream = stream.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        match over {
            Over::Plain => Box::new(stream),
            Over::Tls => {
                let client = TlsClient::new(&self.authority, "a.test").alpn(b"\x02h2");
                Box::new(client.over(stream).await.expect("a handshake"))
            }
        }
    }

    /// A connection of frames.
    async fn frames(&self, over: Over) -> Frames {
        Frames::open(self.wire(over).await, &[]).await
    }

    /// A connection of a library.
    async fn client(&self, over: Over) -> Http2 {
        let address = self.node.at(over.listener());
        match over {
            Over::Plain => Http2::connect(address).await,
            Over::Tls => {
                let client = TlsClient::new(&self.authority, "a.test");
                client.http2(address).await
            }
        }
    }

    /// An honest client is served.
    async fn serves(&self, over: Over) {
        let mut client = self.client(over).await;
        for path in ["/here", "/there"] {
            assert_eq!(client.get(path).await.head.status(), 200, "{over:?} {path}");
        }
    }

    /// Does the abuse while an honest client is served on a connection of its own.
    async fn meanwhile<T>(&self, over: Over, abuse: impl Future<Output = T>) -> T {
        let mut client = self.client(over).await;
        let honest = async {
            loop {
                assert_eq!(client.get("/there").await.head.status(), 200);
            }
        };
        let done = tokio::select! {
            done = abuse => done,
            never = honest => never,
        };
        self.serves(over).await;
        done
    }

    /// Connections of the listener that ended for this reason.
    async fn ends(&self, over: Over, reason: &str) -> f64 {
        let labels = [("listener", over.listener()), ("reason", reason)];
        self.node.metric(ENDED, &labels).await
    }

    /// The connection was ended with this code and for this reason, was counted once, and left little behind.
    async fn was_ended(&self, over: Over, heard: &Heard, code: u32, reason: &str) {
        let goaways = &heard.goaways;
        assert_eq!(heard.code(), Some(code), "{over:?} {reason}: {goaways:?}");
        let labels = [("listener", over.listener()), ("reason", reason)];
        self.node.metric_is(ENDED, &labels, 1.0).await;
        let errors = self.node.errors();
        let line = format!("listener \"{}\": the HTTP/2 connection of", over.listener());
        let lines = errors
            .lines()
            .filter(|one| one.contains(&line) && one.contains(reason));
        assert_eq!(lines.count(), 1, "{over:?} {reason}: {errors}");
        self.stays_small(reason);
    }

    fn stays_small(&self, what: &str) {
        self.stays_within(GROWTH, what);
    }

    fn stays_within(&self, bytes: u64, what: &str) {
        let grown = self.node.resident_bytes().saturating_sub(self.resident);
        println!("{what}: grown by {} KiB", grown / 1024);
        assert!(grown < bytes, "{what}: {grown} bytes more");
    }
}
