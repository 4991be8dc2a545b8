//! Endpoints out of a document of an HTTP server, asked for again and again with its ETag (RFC 9110 13.1.2).
//!
//! A redirect is not followed: who may name another server may name any. Nor is an answer taken that is cut short.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use tokio::time::timeout;

use super::ask::{Next, Said, Source, shown};
use super::dial::Dialer;
use super::fetch::{Answer, fetch, public};
use super::source::{Discovered, SourceError};
use super::targets::{Form, MAX_BYTES, decode};
use crate::upstream::balance::random::{below, next_u64};

/// Most bytes of an ETag that is sent back.
const MAX_ETAG: usize = 1024;

/// A document of endpoints.
#[derive(Clone, PartialEq)]
pub struct HttpOptions {
    /// `http://` or `https://`.
    pub url: Uri,
    /// Fields sent along, such as `Authorization`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Time between two questions, up to a tenth less. At least 1 s.
    pub interval: Duration,
    /// From the connection to the last byte. 5 s is usual; at most 60 s.
    pub timeout: Duration,
}

impl fmt::Debug for HttpOptions {
    /// Values of fields may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("HttpOptions")
            .field("url", &public(&self.url))
            .field("headers", &names)
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// The source of a document.
pub struct HttpSource {
    options: HttpOptions,
    dialer: Arc<dyn Dialer>,
    /// The last good answer and its ETag.
    last: Option<(HeaderValue, Discovered)>,
}

impl HttpSource {
    /// A source that has asked nothing yet.
    pub fn new(options: HttpOptions, dialer: Arc<dyn Dialer>) -> Self {
        let options = HttpOptions {
            interval: options.interval.max(Duration::from_secs(1)),
            timeout: options.timeout.min(Duration::from_secs(60)),
            ..options
        };
        Self {
            options,
            dialer,
            last: None,
        }
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, SourceError> {
        let mut request = Request::get(self.options.url.clone())
            .header(ACCEPT, "application/json, application/toml;q=0.9")
            .header(USER_AGENT, concat!("farmgate/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.options.headers {
            request = request.header(name, value);
        }
        if let Some((etag, _)) = &self.last {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let request = request.body(Full::default());
        request.map_err(|error| SourceError::new(format!("{}: {error}", public(&self.options.url))))
    }

    async fn ask(&mut self) -> Result<Discovered, SourceError> {
        let mut answer = fetch(&*self.dialer, self.request()?).await?;
        match (answer.status, &self.last) {
            (StatusCode::OK, _) => {}
            (StatusCode::NOT_MODIFIED, Some((_, said))) => return Ok(said.clone()),
            (status, _) if status.is_redirection() => {
                let to = answer.headers.get(LOCATION).map(HeaderValue::as_bytes);
                let to = shown(&String::from_utf8_lossy(to.unwrap_or_default()));
                let why = format!("status {status} leads to {to:?}, which is not followed");
                return Err(answer.error(why));
            }
            _ => return Err(answer.refusal().await),
        }
        let form = self.form(&answer)?;
        let body = answer.whole(MAX_BYTES).await?;
        let said = decode(&body, form).map_err(|why| answer.error(why))?;
        let etag = answer.headers.remove(ETAG);
        self.last = etag
            .filter(|etag| etag.len() <= MAX_ETAG)
            .map(|etag| (etag, said.clone()));
        Ok(said)
    }

    /// By `Content-Type`; where that says nothing of use, by the end of the path.
    fn form(&self, answer: &Answer) -> Result<Form, SourceError> {
        let kind = answer.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let kind = String::from_utf8_lossy(kind.unwrap_or_default()).to_ascii_lowercase();
        let bare = kind.split(';').next().unwrap_or_default().trim();
        match bare {
            "application/json" | "text/json" => Ok(Form::Json),
            "application/toml" | "text/toml" | "text/x-toml" => Ok(Form::Toml),
            _ if bare.ends_with("+json") => Ok(Form::Json),
            "" | "text/plain" | "application/octet-stream" | "binary/octet-stream" => {
                Form::of_name(self.options.url.path()).ok_or_else(|| {
                    answer.error("Content-Type names neither application/json nor application/toml")
                })
            }
            other => {
                let other = shown(other);
                Err(answer.error(format_args!(
                    "Content-Type {other:?} is neither application/json nor application/toml"
                )))
            }
        }
    }

    async fn ask_in_time(&mut self) -> Said {
        let bound = self.options.timeout;
        match timeout(bound, self.ask()).await {
            Ok(said) => {
                let interval = self.options.interval;
                let less = interval / 1000 * below(next_u64(), 101) as u32;
                Ok((said?, interval - less))
            }
            Err(_) => Err(SourceError::new(format!(
                "GET {}: no whole answer in {bound:?}",
                public(&self.options.url)
            ))),
        }
    }
}

impl Source for HttpSource {
    fn next(&mut self) -> Next<'_> {
        Box::pin(self.ask_in_time())
    }
}

#[cfg(test)]
mod tests;
