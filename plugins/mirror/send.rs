//! Copies on their way: made on the request's thread, redacted and sent in the background.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::services::{
    Background, ClientRequest, Counter, CounterBy, HttpClient, Offload,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::places::{Flight, Flights, Held};
use super::redact::{Redaction, Sort};

/// Says that a request is a copy: it is not mirrored again.
pub(super) const MARK: HeaderName = HeaderName::from_static("x-farmgate-mirror");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// What clients claim of hops before us; the origin does not get it from them either.
const CLAIMS: [HeaderName; 3] = [
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-real-ip"),
];

/// Larger bodies are redacted on threads for heavy work.
const SMALL_BODY: usize = 16 * 1024;

/// Why a request was not mirrored, in the words of the metric.
pub(super) mod dropped {
    /// Its body is larger than `max_body`.
    pub(crate) const BODY: &str = "body";
    /// `max_memory` bytes are held by other copies.
    pub(crate) const MEMORY: &str = "memory";
    /// `max_in_flight` copies are on their way, or the node has no place for more work.
    pub(crate) const BUSY: &str = "busy";
    /// Its body must be redacted, and cannot be read.
    pub(crate) const UNREADABLE: &str = "unreadable";
    /// It is a copy itself.
    pub(crate) const LOOP: &str = "loop";
    /// It asks for another protocol.
    pub(crate) const UPGRADE: &str = "upgrade";
    /// It was refused, failed, or its client left before its body was here.
    pub(crate) const UNFINISHED: &str = "unfinished";
    /// How many reasons there are.
    pub(crate) const COUNT: usize = 7;
}

/// Sends copies.
pub(super) struct Sender {
    pub(super) client: Arc<dyn HttpClient>,
    pub(super) background: Arc<dyn Background>,
    pub(super) offload: Arc<dyn Offload>,
    pub(super) timeout: Duration,
    pub(super) flights: Arc<Flights>,
    pub(super) redaction: Arc<Redaction>,
    pub(super) metrics: Metrics,
}

/// What is counted.
#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) sent: Arc<dyn Counter>,
    pub(super) failed: Arc<dyn Counter>,
    pub(super) dropped: Arc<dyn CounterBy>,
}

impl Sender {
    /// Lets a copy go. Never waits.
    pub(super) fn launch(&self, request: &dyn Request, body: Vec<u8>, held: Held) {
        let Some(flight) = self.flights.take() else {
            return self.metrics.dropped.add(dropped::BUSY, 1);
        };
        let sort = self.redaction.sort(request.headers(), &body);
        let head = match sort {
            Sort::Sealed => None,
            Sort::Plain | Sort::Json => self.head(request),
        };
        let Some(head) = head else {
            return self.metrics.dropped.add(dropped::UNREADABLE, 1);
        };
        let copy = Copy {
            request: ClientRequest {
                head,
                body: Bytes::from(body),
                timeout: self.timeout,
                max_response_bytes: 0,
            },
            redact: (sort == Sort::Json).then(|| Arc::clone(&self.redaction)),
            client: Arc::clone(&self.client),
            offload: Arc::clone(&self.offload),
            metrics: self.metrics.clone(),
            _held: held,
            _flight: flight,
        };
        if self.background.run(Box::pin(copy.send())).is_err() {
            self.metrics.dropped.add(dropped::BUSY, 1);
        }
    }

    /// The head of the copy: what the origin gets, but for what is redacted and what names the copy.
    fn head(&self, request: &dyn Request) -> Option<http::Request<()>> {
        let target = self.redaction.target(request.target());
        let target = target.as_deref().unwrap_or_else(|| request.target());
        let mut head = http::Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = target.parse().ok()?;
        let headers = head.headers_mut();
        headers.clone_from(request.headers());
        CLAIMS.iter().for_each(|name| {
            headers.remove(name);
        });
        set_text(headers, X_REQUEST_ID, request.id());
        let client = request.client_ip().to_canonical().to_string();
        set_text(headers, X_FORWARDED_FOR, &client);
        set_text(headers, X_FORWARDED_PROTO, request.scheme());
        if !headers.contains_key(header::HOST) {
            set_text(headers, header::HOST, request.host());
        }
        if let Some(host) = headers.get(header::HOST).cloned() {
            headers.insert(X_FORWARDED_HOST, host);
        }
        self.redaction.strip(headers);
        headers.insert(MARK, HeaderValue::from_static("1"));
        Some(head)
    }
}

/// Writes a field; removes it where there is nothing to write.
fn set_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    match HeaderValue::from_str(text) {
        Ok(value) if !text.is_empty() => headers.insert(name, value),
        _ => headers.remove(name),
    };
}

/// A copy with all it needs: its request may be long over.
struct Copy {
    request: ClientRequest,
    redact: Option<Arc<Redaction>>,
    client: Arc<dyn HttpClient>,
    offload: Arc<dyn Offload>,
    metrics: Metrics,
    _held: Held,
    _flight: Flight,
}

impl Copy {
    async fn send(mut self) {
        if let Some(redaction) = self.redact.take() {
            let body = std::mem::take(&mut self.request.body);
            match redacted(redaction, body, &*self.offload).await {
                Ok(body) => self.request.body = body,
                Err(reason) => return self.metrics.dropped.add(reason, 1),
            }
        }
        let answer = self.client.send_and_discard(self.request).await;
        match answer {
            Ok(_) => self.metrics.sent.add(1),
            Err(_) => self.metrics.failed.add(1),
        }
    }
}

/// The body with its secrets hidden, or why there is none.
async fn redacted(
    redaction: Arc<Redaction>,
    body: Bytes,
    offload: &dyn Offload,
) -> Result<Bytes, &'static str> {
    if body.len() <= SMALL_BODY {
        return redaction.hide(&body).ok_or(dropped::UNREADABLE);
    }
    let work = offload.run(Box::new(move || Box::new(redaction.hide(&body))));
    let done = work.await.map_err(|_| dropped::BUSY)?;
    let hidden = done
        .downcast::<Option<Bytes>>()
        .map_err(|_| dropped::BUSY)?;
    hidden.ok_or(dropped::UNREADABLE)
}
