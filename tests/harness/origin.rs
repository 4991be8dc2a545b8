//! Origins: one that does what a test tells it and remembers all it saw, and the demo origin.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farmgate::cli::origin::{OriginOptions, bind};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::client::{fields, find};

/// A request as the origin saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The first line.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, chunks joined.
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// The first value of a field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The target.
    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// What all connections of an origin write to.
#[derive(Default)]
struct Record {
    seen: Mutex<Vec<Seen>>,
    bytes: Mutex<Vec<u8>>,
    connections: AtomicUsize,
}

/// An origin whose connections run a test's own script.
pub(crate) struct Origin {
    address: SocketAddr,
    record: Arc<Record>,
    task: JoinHandle<()>,
}

/// One connection of an origin.
pub(crate) struct Peer {
    /// The socket, for scripts that misbehave.
    pub(crate) stream: TcpStream,
    /// Which connection of the origin it is, from 0.
    pub(crate) number: usize,
    inbox: Vec<u8>,
    record: Arc<Record>,
}

impl Origin {
    /// Runs `script` on every connection.
    pub(crate) async fn start<F, S>(script: F) -> Self
    where
        F: Fn(Peer) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::start_at(super::free_address(), script).await
    }

    /// As [`Origin::start`], at an address.
    pub(crate) async fn start_at<F, S>(address: SocketAddr, script: F) -> Self
    where
        F: Fn(Peer) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("bind the origin");
        let address = listener.local_addr().expect("the origin's address");
        let record = Arc::new(Record::default());
        let shared = Arc::clone(&record);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("nodelay");
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                let record = Arc::clone(&shared);
                tokio::spawn(script(Peer {
                    stream,
                    number,
                    inbox: Vec::new(),
                    record,
                }));
            }
        });
        Self {
            address,
            record,
            task,
        }
    }

    /// Answers every request with 200 and this body.
    pub(crate) async fn answering(body: &'static str) -> Self {
        Self::start(move |mut peer| async move {
            while peer.request().await.is_some() {
                peer.answer(200, "", body).await;
            }
        })
        .await
    }

    /// Answers every request with these bytes.
    pub(crate) async fn raw(response: &'static [u8]) -> Self {
        Self::start(move |mut peer| async move {
            while peer.request().await.is_some() {
                peer.send(response).await;
            }
        })
        .await
    }

    /// Answers the first request of every connection with these bytes and closes.
    pub(crate) async fn closing(response: &'static str) -> Self {
        Self::start(move |mut peer| async move {
            if peer.request().await.is_some() {
                peer.send(response).await;
            }
        })
        .await
    }

    /// Takes a request on every connection and answers it with this body once the sender says true.
    pub(crate) async fn held(body: &'static str) -> (Self, watch::Sender<bool>) {
        let (go, gone) = watch::channel(false);
        let origin = Self::start(move |mut peer| {
            let mut gone = gone.clone();
            async move {
                peer.request().await;
                // A test that ended has no answer to wait for.
                let _ = gone.wait_for(|go| *go).await;
                peer.answer(200, "", body).await;
            }
        });
        (origin.await, go)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The whole requests seen so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.record.seen.lock().clone()
    }

    /// The only request seen.
    #[track_caller]
    pub(crate) fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    /// The last request seen.
    #[track_caller]
    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request")
    }

    /// Every byte received.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.record.bytes.lock().clone()
    }

    /// Connections accepted.
    pub(crate) fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }

    /// Stops accepting; connections go on.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    async fn more(&mut self) -> bool {
        let before = self.inbox.len();
        let read = self.stream.read_buf(&mut self.inbox).await;
        self.record.bytes.lock().extend(&self.inbox[before..]);
        matches!(read, Ok(n) if n > 0)
    }

    async fn until(&mut self, find: impl Fn(&[u8]) -> Option<usize>) -> Option<Vec<u8>> {
        loop {
            if let Some(length) = find(&self.inbox) {
                return Some(self.inbox.drain(..length).collect());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        let line = self
            .until(|have| find(have, b"\r\n").map(|at| at + 2))
            .await?;
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// The head of the next request, without its body and without remembering it.
    pub(crate) async fn head(&mut self) -> Option<Seen> {
        let head = self.until(|have| find(have, b"\r\n\r\n").map(|at| at + 4));
        let head = head.await?;
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.split("\r\n");
        Some(Seen {
            line: lines.next().unwrap_or_default().to_owned(),
            headers: fields(lines),
            body: Vec::new(),
        })
    }

    /// The next request, whole, and remembers it; none when the connection ends.
    pub(crate) async fn request(&mut self) -> Option<Seen> {
        let mut seen = self.head().await?;
        if seen.header("expect").is_some() {
            self.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        self.body(&mut seen).await?;
        self.record.seen.lock().push(seen.clone());
        Some(seen)
    }

    /// Reads the body that belongs to a head.
    pub(crate) async fn body(&mut self, seen: &mut Seen) -> Option<()> {
        if let Some(length) = seen.header("content-length") {
            let length: usize = length.parse().ok()?;
            seen.body = self
                .until(|have| (have.len() >= length).then_some(length))
                .await?;
        } else if seen.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await? {
                seen.body.extend(chunk);
            }
        }
        Some(())
    }

    /// The next chunk; `Some(None)` is the last one, trailers read.
    pub(crate) async fn chunk(&mut self) -> Option<Option<Vec<u8>>> {
        let line = self.line().await?;
        let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
        if size == 0 {
            while !self.line().await?.is_empty() {}
            return Some(None);
        }
        let chunk = self.until(|have| (have.len() >= size + 2).then_some(size + 2));
        let mut chunk = chunk.await?;
        chunk.truncate(size);
        Some(Some(chunk))
    }

    /// Sends bytes; a client that is gone is no fault of the origin.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// A response with its length; `fields` are lines ended by CRLF.
    pub(crate) async fn answer(&mut self, status: u16, fields: &str, body: &str) {
        let length = body.len();
        self.send(format!(
            "HTTP/1.1 {status} Told\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
        ))
        .await;
    }

    /// Fills `out` with what comes next; false when the connection ends first.
    pub(crate) async fn bytes(&mut self, out: &mut [u8]) -> bool {
        let length = out.len();
        let found = self.until(|have| (have.len() >= length).then_some(length));
        match found.await {
            Some(found) => {
                out.copy_from_slice(&found);
                true
            }
            None => false,
        }
    }

    /// Ends the connection by a reset.
    pub(crate) fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }

    /// Waits until the other side closes; what came meanwhile is recorded.
    pub(crate) async fn gone(&mut self) {
        while self.more().await {}
    }
}

/// `farmgate origin`, in this process.
pub(crate) struct Demo {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Demo {
    /// Starts it on a free port.
    pub(crate) async fn start() -> Self {
        let options = OriginOptions {
            address: super::free_address(),
            public: false,
            workers: None,
        };
        let bound = bind(options).await.expect("bind the demo origin");
        let address = bound.local_addr();
        let task = tokio::spawn(bound.run(std::future::pending::<()>()));
        Self { address, task }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.task.abort();
    }
}
