//! An HTTP/2 client: without TLS by prior knowledge, or over a TLS connection.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tls::TlsStream;

/// A connection that carries many requests.
pub(crate) struct Http2 {
    sender: SendRequest<Bytes>,
    scheme: &'static str,
    authority: String,
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Whole {
    /// Status and fields.
    pub(crate) head: Response<()>,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// Trailers, if any came.
    pub(crate) trailers: Option<HeaderMap>,
}

impl Http2 {
    /// Connects; the connection is driven by a task.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("connect")).await
    }

    /// On a connection that is there.
    pub(crate) async fn over(stream: TcpStream) -> Self {
        Self::on(stream, "http", "a.test").await
    }

    /// Over TLS, on a connection that is there, for `authority`.
    pub(crate) async fn secure(stream: TlsStream, authority: &str) -> Self {
        Self::on(stream, "https", authority).await
    }

    async fn on(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        scheme: &'static str,
        authority: &str,
    ) -> Self {
        let (sender, connection) = h2::client::handshake(stream).await.expect("handshake");
        tokio::spawn(async move {
            // Its end is seen by the requests.
            let _ = connection.await;
        });
        Self {
            sender,
            scheme,
            authority: authority.to_owned(),
        }
    }

    /// The same connection, for another task.
    pub(crate) fn again(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            scheme: self.scheme,
            authority: self.authority.clone(),
        }
    }

    /// A request for `target`, to be changed by the caller.
    pub(crate) fn request(&self, method: &str, target: &str) -> Request<()> {
        let uri = format!("{}://{}{target}", self.scheme, self.authority);
        let builder = Request::builder().method(method).uri(uri);
        builder
            .version(http::Version::HTTP_2)
            .body(())
            .expect("a request")
    }

    /// Sends the request with its body and reads the whole response.
    pub(crate) async fn ask(
        &mut self,
        request: Request<()>,
        body: &[Bytes],
        trailers: Option<HeaderMap>,
    ) -> Result<Whole, h2::Error> {
        super::soon("the HTTP/2 request", self.exchange(request, body, trailers)).await
    }

    async fn exchange(
        &mut self,
        request: Request<()>,
        body: &[Bytes],
        trailers: Option<HeaderMap>,
    ) -> Result<Whole, h2::Error> {
        let mut sender = self.sender.clone().ready().await?;
        let end = body.is_empty() && trailers.is_none();
        let (response, mut stream) = sender.send_request(request, end)?;
        let sending = async {
            for (at, chunk) in body.iter().enumerate() {
                let last = at + 1 == body.len() && trailers.is_none();
                send(&mut stream, chunk.clone(), last).await?;
            }
            match trailers {
                Some(trailers) => stream.send_trailers(trailers),
                None => Ok(()),
            }
        };
        let reading = async {
            let (head, mut body) = response.await?.into_parts();
            let mut whole = Vec::new();
            while let Some(chunk) = body.data().await {
                let chunk = chunk?;
                let _ = body.flow_control().release_capacity(chunk.len());
                whole.extend_from_slice(&chunk);
            }
            Ok::<_, h2::Error>(Whole {
                head: Response::from_parts(head, ()),
                body: whole,
                trailers: body.trailers().await?,
            })
        };
        // A response may end before the request does; what the sending says matters only without one.
        let (_, read) = tokio::join!(sending, reading);
        read
    }

    /// `GET` of a target.
    pub(crate) async fn get(&mut self, target: &str) -> Whole {
        let request = self.request("GET", target);
        let whole = self.ask(request, &[], None).await;
        whole.unwrap_or_else(|error| panic!("GET {target}: {error}"))
    }
}

async fn send(
    stream: &mut h2::SendStream<Bytes>,
    mut chunk: Bytes,
    last: bool,
) -> Result<(), h2::Error> {
    if chunk.is_empty() {
        return stream.send_data(chunk, last);
    }
    while !chunk.is_empty() {
        stream.reserve_capacity(chunk.len());
        let ready = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(capacity) = ready.transpose()? else {
            return Ok(());
        };
        let piece = chunk.split_to(capacity.min(chunk.len()));
        stream.send_data(piece, last && chunk.is_empty())?;
    }
    Ok(())
}
