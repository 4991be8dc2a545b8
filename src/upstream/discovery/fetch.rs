//! One HTTP/1.1 exchange with a registry: a connection of its own, every size bounded. The caller bounds the time.

use std::future::pending;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;

use super::ask::shown;
use super::dial::{Dialer, Remote};
use super::source::SourceError;

/// Most bytes of an answer's head.
const MAX_HEAD: usize = 64 << 10;

/// Most fields of an answer's head.
const MAX_FIELDS: usize = 100;

/// Most bytes read of a refusal, for its message.
const MAX_REFUSAL: usize = 4096;

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// An answer whose body is read piece by piece.
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its fields.
    pub(super) headers: HeaderMap,
    what: String,
    body: Incoming,
    /// Moves the bytes; none once the connection ended.
    driver: Option<Driver>,
    /// Dropped, the connection would end.
    _sender: SendRequest<Full<Bytes>>,
}

/// Where a URL leads.
///
/// # Errors
/// The URL is not one of `http://` or `https://`, or holds a user's name.
pub(super) fn remote(url: &Uri) -> Result<Remote, SourceError> {
    let wrong = |why: &str| SourceError::new(format!("{}: {why}", public(url)));
    let is_tls = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong("it begins with neither http:// nor https://")),
    };
    let authority = url.authority().ok_or_else(|| wrong("it has no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong(
            "a user and a password do not belong there: send a header",
        ));
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    Ok(Remote {
        is_tls,
        host: bare.unwrap_or(host).into(),
        port: authority
            .port_u16()
            .unwrap_or(if is_tls { 443 } else { 80 }),
    })
}

/// A URL for a message: what stands behind the `?` may be a secret.
pub(super) fn public(url: &Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit('@').next().unwrap_or_default();
    let query = if url.query().is_some() { "?..." } else { "" };
    let scheme = url.scheme_str().unwrap_or("http");
    format!("{scheme}://{host}{}{query}", url.path())
}

/// Sends a request and reads the answer's head. `Host`, `Connection` and `Accept-Encoding` are set here.
pub(super) async fn fetch(
    dialer: &dyn Dialer,
    mut request: Request<Full<Bytes>>,
) -> Result<Answer, SourceError> {
    let url = request.uri().clone();
    let to = remote(&url)?;
    let what = format!("{} {}", request.method(), public(&url));
    let error = |step: &str, why: &dyn std::fmt::Display| {
        SourceError::new(format!("{what}: {step}: {}", shown(&why.to_string())))
    };
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(authority).map_err(|why| error("host", &why))?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|why| error("path", &why))?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));

    let stream = dialer
        .dial(&to)
        .await
        .map_err(|why| error("no connection", &why))?;
    let handshake = Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|why| error("connection", &why))?;
    let mut driver: Option<Driver> = Some(Box::pin(connection));
    let head = {
        let answer = sender.send_request(request);
        tokio::pin!(answer);
        loop {
            tokio::select! {
                biased;
                head = &mut answer => break head,
                () = drive(&mut driver) => {}
            }
        }
    };
    let head = head.map_err(|why| error("no answer", &with_cause(&why)))?;
    let (parts, body) = head.into_parts();
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        what,
        body,
        driver,
        _sender: sender,
    })
}

/// Moves bytes until the connection ends; then waits for ever.
async fn drive(driver: &mut Option<Driver>) {
    let Some(running) = driver else {
        return pending().await;
    };
    // An error reaches the answer or its body too, and is told there.
    let _ = running.await;
    *driver = None;
}

fn with_cause(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl Answer {
    /// An error that names the request.
    pub(super) fn error(&self, why: impl std::fmt::Display) -> SourceError {
        SourceError::new(format!("{}: {why}", self.what))
    }

    /// The next piece of the body; none at its end. Dropping the future loses nothing.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, SourceError> {
        loop {
            tokio::select! {
                biased;
                frame = self.body.frame() => match frame {
                    None => return Ok(None),
                    Some(Ok(frame)) => {
                        if let Ok(piece) = frame.into_data() {
                            return Ok(Some(piece));
                        }
                    }
                    Some(Err(why)) => {
                        let why = shown(&with_cause(&why));
                        return Err(self.error(format_args!("half an answer: {why}")));
                    }
                },
                () = drive(&mut self.driver) => {}
            }
        }
    }

    /// The whole body, at most `limit` bytes.
    pub(super) async fn whole(&mut self, limit: usize) -> Result<Bytes, SourceError> {
        if let Some(encoding) = self.headers.get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            let encoding = shown(&String::from_utf8_lossy(encoding.as_bytes()));
            return Err(self.error(format_args!("the answer is compressed ({encoding})")));
        }
        // Ended by the end of the connection, a list cut short could not be told from a short list.
        let is_chunked = self.headers.contains_key(TRANSFER_ENCODING);
        if !is_chunked && self.body.size_hint().exact().is_none() {
            return Err(self.error("the answer has no length: its end cannot be told from a cut"));
        }
        let mut all = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if all.len() + piece.len() > limit {
                return Err(self.error(format_args!("more than {limit} bytes")));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// The error of an answer that is not wanted, with what it says if that is short text.
    pub(super) async fn refusal(mut self) -> SourceError {
        let mut text = Vec::new();
        while text.len() < MAX_REFUSAL {
            match self.piece().await {
                Ok(Some(piece)) => text.extend_from_slice(&piece),
                Ok(None) | Err(_) => break,
            }
        }
        text.truncate(MAX_REFUSAL);
        let text = shown(&String::from_utf8_lossy(&text));
        self.error(format_args!("status {}: {text}", self.status.as_u16()))
    }
}
