//! Requests and answers on one connection.

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::dial::Bytestream;
use crate::case::{Load, Protocol};

/// The case's request, ready to be sent again and again.
pub(crate) struct Order {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    version: Version,
    body: Bytes,
}

impl Order {
    /// The request of `load` in the form its protocol wants. Fails when it is no request.
    pub(crate) fn new(load: &Load) -> Result<Self, String> {
        let wrong = |what: &str| format!("load.toml: `{what}` is not part of a request");
        let target: Uri = load.target.parse().map_err(|_| wrong(&load.target))?;
        let host = HeaderValue::from_str(&load.host).map_err(|_| wrong(&load.host))?;
        let mut headers = HeaderMap::new();
        let is_h2 = protocol(load) == Protocol::H2;
        let uri = if is_h2 {
            let mut parts = target.into_parts();
            parts.scheme = Some(Scheme::HTTPS);
            parts.authority = Some(load.host.parse().map_err(|_| wrong(&load.host))?);
            Uri::from_parts(parts).map_err(|_| wrong(&load.target))?
        } else {
            headers.insert(header::HOST, host);
            target
        };
        for line in &load.headers {
            let (name, value) = line.split_once(':').ok_or_else(|| wrong(line))?;
            let name: HeaderName = name.trim().parse().map_err(|_| wrong(line))?;
            let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong(line))?;
            headers.append(name, value);
        }
        Ok(Self {
            method: match load.body {
                Some(_) => Method::POST,
                None => Method::GET,
            },
            body: load.content.clone(),
            uri,
            headers,
            version: if is_h2 {
                Version::HTTP_2
            } else {
                Version::HTTP_11
            },
        })
    }

    /// It as a message to send.
    pub(crate) fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        *request.version_mut() = self.version;
        request
    }
}

/// What is spoken on the connections of `load` once there are requests.
pub(crate) fn protocol(load: &Load) -> Protocol {
    match load.tls.as_ref().map(|tls| tls.protocol) {
        Some(Protocol::H2) => Protocol::H2,
        _ => Protocol::Http1,
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Bytes of its body.
    pub(crate) body_bytes: usize,
}

/// The sending end of a connection; the rest of it runs beside, until this is dropped.
pub(crate) enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    /// Starts to speak `protocol` on `stream`.
    pub(crate) async fn start(
        stream: Box<dyn Bytestream>,
        protocol: Protocol,
    ) -> hyper::Result<Self> {
        let stream = TokioIo::new(stream);
        // How the connection ended is seen by those who wait for answers on it.
        match protocol {
            Protocol::H2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                Ok(Self::H2(sender))
            }
            Protocol::Http1 | Protocol::Nothing => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                Ok(Self::Http1(sender))
            }
        }
    }

    /// Another sender on the same connection, where the protocol has streams.
    pub(crate) fn beside(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::H2(sender) => Some(Self::H2(sender.clone())),
        }
    }

    /// Sends the request and reads its answer to the end.
    pub(crate) async fn ask(&mut self, order: &Order) -> hyper::Result<Answer> {
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(order.request()).await?
            }
            Self::H2(sender) => {
                sender.ready().await?;
                sender.send_request(order.request()).await?
            }
        };
        let (head, body) = response.into_parts();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body_bytes: count(body).await?,
        })
    }
}

async fn count(mut body: Incoming) -> hyper::Result<usize> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(bytes)
}
