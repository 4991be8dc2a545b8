//! HTTPS to the authority: BoringSSL under hyper, one connection a request, everything bounded.
//!
//! An order is some fifteen requests over a minute or so, four times a year: a pool would serve nobody.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use boring::ssl::{SslConnector, SslMethod, SslVersion};
use bytes::Bytes;
use http::header::{HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::net::TcpStream;

use super::error::{AcmeError, Stage};
use crate::tls::authorities::Authorities;

/// Longest time to connect to one address.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest time of a request with its connection and answer.
const REQUEST: Duration = Duration::from_secs(30);
/// Largest answer; a directory or an order has some KiB, a chain 20.
const ANSWER_BYTES: usize = 1 << 20;
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;
/// Longest pause an answer can ask for in seconds; the client library adds it to a clock.
const MAX_PAUSE_S: u64 = 86_400;
/// No pause was asked for.
const NO_PAUSE: i64 = -1;

/// A client for one directory. Clones are one client.
#[derive(Clone)]
pub(super) struct Transport {
    connector: SslConnector,
    /// Seconds that the last refusal asked us to stay away; the library keeps them for orders in progress only.
    pause_s: Arc<AtomicI64>,
}

impl Transport {
    /// Believes the authorities in `ca`, or the system's without it.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, AcmeError> {
        let failed = |error: &dyn std::fmt::Display| AcmeError::new(Stage::Directory, error);
        let authorities = match ca {
            Some(file) => Authorities::open(file),
            None => Authorities::system(),
        }
        .map_err(|error| failed(&format!("{error}; {}", error.problem.help())))?;
        let mut builder =
            SslConnector::builder(SslMethod::tls()).map_err(|error| failed(&error))?;
        builder.set_cert_store_ref(authorities.store());
        builder
            .set_min_proto_version(Some(SslVersion::TLS1_2))
            .map_err(|error| failed(&error))?;
        builder
            .set_alpn_protos(b"\x08http/1.1")
            .map_err(|error| failed(&error))?;
        Ok(Self {
            connector: builder.build(),
            pause_s: Arc::new(AtomicI64::new(NO_PAUSE)),
        })
    }

    /// The pause that the last refusal asked for, in seconds.
    pub(super) fn take_pause_s(&self) -> Option<i64> {
        let pause = self.pause_s.swap(NO_PAUSE, Ordering::Relaxed);
        (pause != NO_PAUSE).then_some(pause)
    }

    async fn send(self, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, String> {
        let uri = std::mem::take(request.uri_mut());
        let (host, port) = target(&uri)?;
        let at = |what: &str, why: &dyn std::fmt::Display| format!("{what} {host}:{port}: {why}");
        let stream = connect(&host, port).await?;
        let config = self
            .connector
            .configure()
            .map_err(|error| at("TLS to", &error))?;
        let stream = tokio_boring::connect(config, &host, stream)
            .await
            .map_err(|error| at("TLS to", &refusal(&error)))?;
        address(&mut request, &uri)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| at("HTTP to", &error))?;
        let exchange = async move {
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| at("HTTP to", &error))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES)
                .collect()
                .await
                .map_err(|error| at("the answer of", &error))?;
            Ok::<_, String>((parts, body.to_bytes()))
        };
        let mut exchange = std::pin::pin!(exchange);
        // The connection moves the bytes; it may end a moment before the last of them are read.
        let done = tokio::select! {
            done = &mut exchange => done,
            _ = connection => exchange.await,
        };
        let (mut parts, body) = done?;
        bound_pause(&mut parts.headers);
        if parts.status.is_client_error() || parts.status.is_server_error() {
            let pause = parts.headers.get(RETRY_AFTER).and_then(pause_s);
            self.pause_s
                .store(pause.unwrap_or(NO_PAUSE), Ordering::Relaxed);
        }
        Ok(BytesResponse {
            parts,
            body: Box::new(body),
        })
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let what = format!("{} {}", request.method(), request.uri());
            let sent = match tokio::time::timeout(REQUEST, this.send(request)).await {
                Ok(sent) => sent,
                Err(_) => Err(format!("no answer within {} s", REQUEST.as_secs())),
            };
            sent.map_err(|why| Error::Other(format!("{what}: {why}").into()))
        })
    }
}

/// Host, without brackets, and port. The authority names the URLs to ask; none but `https` is.
fn target(uri: &Uri) -> Result<(String, u16), String> {
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) if !host.is_empty() => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok((host.to_owned(), uri.port_u16().unwrap_or(443)))
        }
        _ => Err("the authority names a URL that is not https".to_owned()),
    }
}

/// The target in origin form, its host, and who we are (RFC 8555 section 6.1).
fn address(request: &mut Request<BodyWrapper<Bytes>>, uri: &Uri) -> Result<(), String> {
    let path = uri.path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(host).map_err(|error| error.to_string())?;
    request.headers_mut().insert(HOST, host);
    let library = request
        .headers()
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok());
    let agent = format!(
        "farmgate/{} {}",
        env!("CARGO_PKG_VERSION"),
        library.unwrap_or_default()
    );
    if let Ok(agent) = HeaderValue::from_str(agent.trim_end()) {
        request.headers_mut().insert(USER_AGENT, agent);
    }
    Ok(())
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let at = |why: &dyn std::fmt::Display| format!("connecting to {host}:{port}: {why}");
    let addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| at(&error))?;
    let mut last = at(&"the name has no address");
    for address in addresses.take(ADDRESSES) {
        match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = at(&error),
            Err(_) => {
                last = at(&format_args!(
                    "{address} does not answer within {} s",
                    CONNECT.as_secs()
                ))
            }
        }
    }
    Err(last)
}

/// Why a handshake failed; the reason of a certificate that is not believed comes first.
fn refusal(error: &tokio_boring::HandshakeError<TcpStream>) -> String {
    match error.ssl().map(|ssl| ssl.verify_result()) {
        Some(Err(verify)) => format!("the certificate is not believed: {}", verify.error_string()),
        _ => error.to_string(),
    }
}

/// Seconds from now.
fn pause_s(value: &HeaderValue) -> Option<i64> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<i64>() {
        return (seconds >= 0).then_some(seconds);
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let wait = at.duration_since(SystemTime::now()).unwrap_or_default();
    i64::try_from(wait.as_secs()).ok()
}

/// A pause that no clock can hold would stop the library; none is longer than a day, and what cannot be read is none.
fn bound_pause(headers: &mut HeaderMap) {
    let Some(value) = headers.remove(RETRY_AFTER) else {
        return;
    };
    let pause = pause_s(&value).and_then(|pause| u64::try_from(pause).ok());
    if let Some(pause) = pause {
        headers.insert(RETRY_AFTER, HeaderValue::from(pause.min(MAX_PAUSE_S)));
    }
}

#[cfg(test)]
mod tests;
