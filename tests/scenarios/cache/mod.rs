//! The shared cache in the request path: a real node, origins that count, clients that time.

mod collapse;
mod failing;
mod http2;
mod interim;
mod key;
mod large;
mod order;
mod purge;
mod ranges;
mod restart;
mod stale;
mod targeted;
mod who;

use tokio::sync::mpsc;

use crate::harness::client::Response;
use crate::harness::origin::Seen;
use crate::harness::{Client, Node, Origin, Peer, Setup, eventually, soon};

/// What a connection of an origin waits for, at most.
const CONNECTIONS: usize = 256;

/// One listener, one upstream, one route that caches by `policy`; further words stand behind.
pub(crate) fn config(policy: &str, more: &str) -> String {
    format!(
        r#"
[cache]
memory = "64MiB"

[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]

[[upstream]]
name = "app"
endpoints = ["@origin"]
# One attempt: requests are counted.
retry = {{ attempts = 1, on = ["connect"] }}

[[cache_policy]]
name = "all"
{policy}

[[route]]
name = "any"
upstream = "app"
cache = "all"
purge = {{ from = ["127.0.0.1/32"], scopes = ["url", "prefix", "host", "tag", "all"] }}
{more}
"#
    )
}

/// A node with that configuration.
pub(crate) async fn node(origin: &Origin, policy: &str) -> Node {
    let setup = Setup::new().with("origin", origin.address());
    setup.start(&config(policy, "")).await
}

/// An origin that is played by the test itself: each request waits until the test answers it.
pub(crate) struct Hand {
    pub(crate) origin: Origin,
    asked: mpsc::Receiver<Asked>,
}

/// A request that waits for the test.
pub(crate) struct Asked {
    pub(crate) seen: Seen,
    pub(crate) peer: Peer,
}

impl Hand {
    pub(crate) async fn start() -> Self {
        let (sender, asked) = mpsc::channel(CONNECTIONS);
        let origin = Origin::start(move |mut peer: Peer| {
            let sender = sender.clone();
            async move {
                if let Some(seen) = peer.request().await {
                    // A test that ended takes no more.
                    let _ = sender.send(Asked { seen, peer }).await;
                }
            }
        });
        let origin = origin.await;
        Self { origin, asked }
    }

    /// The next request, whole.
    pub(crate) async fn next(&mut self) -> Asked {
        let next = soon("a request at the origin", self.asked.recv()).await;
        next.expect("an origin")
    }

    /// Asserts that no request waits.
    #[track_caller]
    pub(crate) fn idle(&mut self) {
        if let Ok(asked) = self.asked.try_recv() {
            panic!("the origin was asked: {:?}", asked.seen);
        }
    }

    /// How often the origin was asked.
    pub(crate) fn times(&self) -> usize {
        self.origin.seen().len()
    }
}

impl Asked {
    /// A whole answer; the connection ends with it.
    pub(crate) async fn answer(mut self, status: u16, fields: &str, body: &str) {
        let fields = format!("Connection: close\r\n{fields}");
        self.peer.answer(status, &fields, body).await;
    }
}

/// An origin that answers by itself. `answer` gets the request and how many came before, and gives status, fields (each
/// ended by CRLF) and body.
pub(crate) async fn telling<A>(answer: A) -> Origin
where
    A: Fn(&Seen, usize) -> (u16, String, String) + Clone + Send + Sync + 'static,
{
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    Origin::start(move |mut peer: Peer| {
        let (answer, count) = (answer.clone(), count.clone());
        async move {
            while let Some(seen) = peer.request().await {
                let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let (status, fields, body) = answer(&seen, number);
                if seen.line.starts_with("HEAD ") || status == 304 {
                    peer.send(format!("HTTP/1.1 {status} Told\r\n{fields}\r\n"))
                        .await;
                } else {
                    peer.answer(status, &fields, &body).await;
                }
            }
        }
    })
    .await
}

/// One that answers each request with its number, from 0, and these fields.
pub(crate) async fn numbering(fields: &'static str) -> Origin {
    telling(move |_, number| (200, fields.to_owned(), format!("n{number}"))).await
}

/// Sends a `GET` on a connection of its own and does not wait for the answer.
pub(crate) async fn asking(node: &Node, target: &str, fields: &str) -> Client {
    let mut client = node.client().await;
    let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
    assert!(client.send(request).await);
    client
}

/// `GET` with fields, on a connection of its own.
pub(crate) async fn get(node: &Node, target: &str, fields: &str) -> Response {
    node.client().await.get_with(target, fields).await
}

/// Any request with `Host: a.test`, on a connection of its own.
pub(crate) async fn ask(node: &Node, method: &str, target: &str, fields: &str) -> Response {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
    node.client().await.ask(&request).await
}

/// Waits until the node has read the heads of this many requests that are not answered.
pub(crate) async fn waiting(node: &Node, requests: usize) {
    let what = format!("{requests} requests under way");
    let labels = [("listener", "web")];
    eventually(&what, || async {
        let under_way = node.metric("farmgate_requests_in_flight", &labels).await;
        (under_way >= requests as f64).then_some(())
    })
    .await;
    idle(node).await;
}

/// Waits until no thread of the node runs or wants to: whatever has come to it has got as far as it can by itself. A
/// request that was counted has joined what it waits for.
async fn idle(node: &Node) {
    let threads = format!("/proc/{}/task", node.process());
    eventually("a node at rest", || async {
        let sleeps = |thread: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
            // The state stands behind the name, which may hold anything.
            let (_, rest) = stat.rsplit_once(") ")?;
            Some(rest.starts_with('S'))
        };
        let mut all = std::fs::read_dir(&threads).ok()?;
        all.all(|thread| sleeps(thread) == Some(true)).then_some(())
    })
    .await;
}

/// What Cache-Status says.
#[track_caller]
pub(crate) fn status(response: &Response) -> &str {
    let status = response.header("cache-status");
    status.unwrap_or_else(|| panic!("no Cache-Status: {response:?}"))
}

/// True if it came from what was stored.
#[track_caller]
pub(crate) fn is_hit(response: &Response) -> bool {
    status(response).starts_with("farmgate; hit")
}

/// Gets a target until it is a hit: what was just fetched is stored once its end was seen.
pub(crate) async fn stored(node: &Node, target: &str) -> Response {
    eventually(&format!("a hit of {target}"), || async {
        let response = get(node, target, "").await;
        is_hit(&response).then_some(response)
    })
    .await
}
