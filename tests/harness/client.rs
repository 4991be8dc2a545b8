//! A client that sends bytes and reads HTTP/1 responses.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use super::SOON;

pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// One connection.
pub(crate) struct Client {
    wire: Box<dyn Wire>,
    inbox: Vec<u8>,
}

/// A response as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    /// The status.
    pub(crate) status: u16,
    /// Names in lower case, values as they came.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, chunks joined.
    pub(crate) body: Vec<u8>,
    /// Trailers of a chunked body.
    pub(crate) trailers: Vec<(String, String)>,
}

impl Response {
    /// The first value of a field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let of = self.headers.iter().filter(|(key, _)| key == name);
        of.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl Client {
    /// Connects from 127.0.0.1.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await;
        Self::over(stream.unwrap_or_else(|error| panic!("connect {address}: {error}")))
    }

    /// Connects from a loopback address of choice.
    pub(crate) async fn connect_from(address: SocketAddr, from: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let from = SocketAddr::new(from.parse().expect("an address"), 0);
        socket.bind(from).expect("bind the source");
        Self::over(socket.connect(address).await.expect("connect"))
    }

    /// Connects to a unix socket.
    pub(crate) async fn connect_unix(path: &Path) -> Self {
        let wire = UnixStream::connect(path).await.expect("connect");
        Self::on(Box::new(wire))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("nodelay");
        Self::on(Box::new(stream))
    }

    /// On any connection.
    pub(crate) fn on(wire: Box<dyn Wire>) -> Self {
        Self {
            wire,
            inbox: Vec::new(),
        }
    }

    /// Sends bytes; false if the other side has closed.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sending = async {
            self.wire.write_all(bytes.as_ref()).await?;
            self.wire.flush().await
        };
        super::soon("sending", sending).await.is_ok()
    }

    /// A client that reads, and one that sends.
    pub(crate) fn split(self) -> (Self, Sender) {
        let (read, write) = tokio::io::split(self.wire);
        let wire = tokio::io::join(read, tokio::io::sink());
        let reader = Self {
            wire: Box::new(wire),
            inbox: self.inbox,
        };
        (reader, Sender(Box::new(write)))
    }

    /// True if something has come, or the other side has closed. Does not wait.
    pub(crate) async fn has_input(&mut self) -> bool {
        let read = self.wire.read_buf(&mut self.inbox);
        tokio::time::timeout(Duration::ZERO, read).await.is_ok()
    }

    /// Says that nothing more is sent.
    pub(crate) async fn finish(&mut self) {
        let _ = self.wire.shutdown().await;
    }

    /// Reads more bytes; 0 at the end (a reset counts as one).
    async fn more(&mut self, limit: Duration) -> usize {
        let read = self.wire.read_buf(&mut self.inbox);
        match tokio::time::timeout(limit, read).await {
            Ok(read) => read.unwrap_or(0),
            Err(_) => panic!(
                "nothing came for {limit:?}; so far: {:?}",
                String::from_utf8_lossy(&self.inbox)
            ),
        }
    }

    /// Reads until `find` gives how many bytes make up what is looked for; none at the end.
    pub(crate) async fn take(&mut self, find: impl Fn(&[u8]) -> Option<usize>) -> Option<Vec<u8>> {
        loop {
            if let Some(length) = find(&self.inbox) {
                return Some(self.inbox.drain(..length).collect());
            }
            if self.more(SOON).await == 0 {
                return None;
            }
        }
    }

    /// Exactly `length` bytes.
    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let found = self.take(|have| (have.len() >= length).then_some(length));
        found.await.expect("more bytes")
    }

    /// The head of the next response; none if the connection ends first.
    pub(crate) async fn head(&mut self) -> Option<Response> {
        let head = self.take(|have| find(have, b"\r\n\r\n").map(|at| at + 4));
        Some(parse_head(&head.await?))
    }

    /// True if the next response begins with this status; its body follows.
    pub(crate) async fn head_is(&mut self, status: u16) -> bool {
        self.head().await.is_some_and(|head| head.status == status)
    }

    /// The next final response to a request by any method but HEAD; 100s are passed over.
    pub(crate) async fn response(&mut self) -> Option<Response> {
        self.response_to("GET").await
    }

    /// The next final response.
    pub(crate) async fn response_to(&mut self, method: &str) -> Option<Response> {
        let mut response = loop {
            let head = self.head().await?;
            if head.status == 101 || head.status >= 200 {
                break head;
            }
        };
        if method == "HEAD" || matches!(response.status, 101 | 204 | 304) {
            return Some(response);
        }
        let chunked = response
            .header("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        if chunked {
            while let Some(chunk) = self.chunk().await? {
                response.body.extend(chunk);
            }
            response.trailers = self.trailers().await?;
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().expect("a length");
            response.body = self
                .take(|have| (have.len() >= length).then_some(length))
                .await?;
        } else {
            while self.more(SOON).await > 0 {}
            response.body = std::mem::take(&mut self.inbox);
        }
        Some(response)
    }

    /// The next chunk of a chunked body; `Some(None)` is the last one, whose trailers follow.
    pub(crate) async fn chunk(&mut self) -> Option<Option<Vec<u8>>> {
        let line = self
            .take(|have| find(have, b"\r\n").map(|at| at + 2))
            .await?;
        let digits = String::from_utf8_lossy(&line);
        let size = digits.trim().split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            return Some(None);
        }
        let mut chunk = self
            .take(|have| (have.len() >= size + 2).then_some(size + 2))
            .await?;
        chunk.truncate(size);
        Some(Some(chunk))
    }

    async fn trailers(&mut self) -> Option<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self
                .take(|have| find(have, b"\r\n").map(|at| at + 2))
                .await?;
            let line = String::from_utf8_lossy(&line);
            match line.trim_end().split_once(':') {
                Some((name, value)) => fields.push((name.to_lowercase(), value.trim().to_owned())),
                None => return Some(fields),
            }
        }
    }

    /// Sends a request and reads its response.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: &str) -> impl Future<Output = Response> {
        let method = request.split(' ').next().unwrap_or("GET").to_owned();
        let request = request.to_owned();
        async move {
            self.send(&request).await;
            let response = self.response_to(&method).await;
            response.unwrap_or_else(|| panic!("no response to {request:?}"))
        }
    }

    /// `GET` of a target with `Host: a.test`.
    pub(crate) async fn get(&mut self, target: &str) -> Response {
        self.get_with(target, "").await
    }

    /// `GET` with more fields, each ended by CRLF.
    pub(crate) async fn get_with(&mut self, target: &str, fields: &str) -> Response {
        self.ask(&format!(
            "GET {target} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"
        ))
        .await
    }

    /// `POST` of a body with its length.
    pub(crate) async fn post(&mut self, target: &str, body: &str) -> Response {
        let length = body.len();
        self.ask(&format!(
            "POST {target} HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    /// Asserts that the other side closes within `limit` and sends nothing more; how long it took.
    pub(crate) async fn closes_within(&mut self, limit: Duration) -> Duration {
        let begun = Instant::now();
        let read = self.more(limit).await;
        assert_eq!(read, 0, "{:?}", String::from_utf8_lossy(&self.inbox));
        begun.elapsed()
    }

    /// Everything until the connection ends or is silent for `silence`. True: it ended.
    pub(crate) async fn rest(&mut self, silence: Duration) -> (Vec<u8>, bool) {
        loop {
            let read = self.wire.read_buf(&mut self.inbox);
            match tokio::time::timeout(silence, read).await {
                Ok(Ok(0) | Err(_)) => return (std::mem::take(&mut self.inbox), true),
                Ok(Ok(_)) => {}
                Err(_) => return (std::mem::take(&mut self.inbox), false),
            }
        }
    }
}

/// The sending half of a connection.
pub(crate) struct Sender(Box<dyn AsyncWrite + Send + Unpin>);

impl Sender {
    /// Sends bytes; false if the other side has closed.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Sends until the other side closes.
    pub(crate) async fn send_forever(mut self) {
        let block = vec![b'x'; 64 * 1024];
        while self.send(&block).await {}
    }
}

/// Where `needle` begins.
pub(crate) fn find(have: &[u8], needle: &[u8]) -> Option<usize> {
    have.windows(needle.len()).position(|part| part == needle)
}

/// Reads a status line and fields.
pub(crate) fn parse_head(bytes: &[u8]) -> Response {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    Response {
        status: status.unwrap_or_else(|| panic!("no status line: {line:?}")),
        headers: fields(lines),
        ..Response::default()
    }
}

/// `name: value` lines until the empty one.
pub(crate) fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect()
}
