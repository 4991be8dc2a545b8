//! What an answer means.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farmgate_plugin_api::Reply;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

/// Longest name of a consumer or a plan, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Fields that are taken out of an answer, in bytes together.
const MAX_TAKEN_BYTES: usize = 16 * 1024;
/// Larger decisions are not kept: this and the number of entries bound the memory.
const MAX_KEPT_BYTES: usize = 4 * 1024;

/// What is taken out of answers.
pub(super) struct Rules {
    /// Fields that go on with the request.
    pub(super) copy: Box<[HeaderName]>,
    /// Fields of refusals that the client gets.
    pub(super) client: Box<[HeaderName]>,
    pub(super) consumer: Option<HeaderName>,
    pub(super) plan: Option<HeaderName>,
    /// How long decisions are kept.
    pub(super) ttl: Duration,
}

/// A decision about a request.
#[derive(Clone, Debug)]
pub(super) enum Decision {
    Allow(Arc<Allowed>),
    Refuse(Arc<Refusal>),
}

/// The request may pass.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    pub(super) consumer: Option<Arc<str>>,
    pub(super) plan: Option<Arc<str>>,
}

/// The request is answered with this.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
}

impl Refusal {
    /// The client's answer. Where the service gave no body, Farmgate writes its own.
    pub(super) fn reply(&self) -> Reply {
        let detail = match self.status {
            StatusCode::UNAUTHORIZED => "auth_required",
            status if status.is_redirection() => "auth_redirect",
            _ => "auth_refused",
        };
        let mut reply = match self.body.is_empty() && self.status.is_client_error() {
            true => Reply::problem(self.status, detail),
            false => Reply::new(self.status, detail).body(self.body.clone()),
        };
        let of_body = [header::CONTENT_TYPE, header::CONTENT_ENCODING];
        let fields = self.fields.iter();
        let fields = fields.filter(|(name, _)| !reply.problem || !of_body.contains(name));
        reply.headers = fields.cloned().collect();
        reply
    }
}

/// A decision, and for how long it may be kept; none: it is for this request alone.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) decision: Decision,
    pub(super) keep: Option<Duration>,
}

/// Why there is no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The word of the metric.
    pub(super) reason: &'static str,
    /// For the log; without secrets.
    pub(super) text: Arc<str>,
}

impl Failure {
    pub(super) fn new(reason: &'static str, text: impl Into<Arc<str>>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }
}

impl Rules {
    /// 2xx lets the request pass. Redirects and 4xx refuse it. Everything else is no decision.
    pub(super) fn judge(&self, answer: &Response<Bytes>) -> Result<Judged, Failure> {
        let status = answer.status();
        let headers = answer.headers();
        let redirects = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let (decision, bytes) = if status.is_success() {
            self.allow(headers)?
        } else if status.is_client_error() || (redirects && headers.contains_key(header::LOCATION))
        {
            self.refuse(status, answer)?
        } else {
            let text = format!("the service answered with {}", status.as_u16());
            return Err(Failure::new("status", text));
        };
        let keepable = matches!(status, StatusCode::OK | StatusCode::FORBIDDEN)
            && !headers.contains_key(header::SET_COOKIE)
            && bytes <= MAX_KEPT_BYTES;
        let keep = keepable.then(|| self.ttl.min(freshness(headers)));
        Ok(Judged {
            decision,
            keep: keep.filter(|time| !time.is_zero()),
        })
    }

    fn allow(&self, headers: &HeaderMap) -> Result<(Decision, usize), Failure> {
        let (fields, bytes) = take(&self.copy, headers)?;
        let allowed = Allowed {
            fields,
            consumer: name_in(headers, self.consumer.as_ref())?,
            plan: name_in(headers, self.plan.as_ref())?,
        };
        Ok((Decision::Allow(Arc::new(allowed)), bytes))
    }

    fn refuse(
        &self,
        status: StatusCode,
        answer: &Response<Bytes>,
    ) -> Result<(Decision, usize), Failure> {
        let (mut fields, mut bytes) = take(&self.client, answer.headers())?;
        let body = copy_of(answer.body());
        // Nobody can read a body whose coding is not told.
        if let Some(coding) = answer.headers().get(header::CONTENT_ENCODING)
            && !body.is_empty()
            && !self.client.contains(&header::CONTENT_ENCODING)
        {
            bytes += coding.len();
            fields.push((header::CONTENT_ENCODING, coding.clone()));
        }
        if status.is_redirection() && !fields.iter().any(|(name, _)| name == header::LOCATION) {
            return Err(Failure::new(
                "answer",
                "the service redirects, and location is not among client_headers",
            ));
        }
        bytes += body.len();
        let refusal = Refusal {
            status,
            fields,
            body,
        };
        Ok((Decision::Refuse(Arc::new(refusal)), bytes))
    }
}

/// Fields of these names, all their values.
type Taken = (Vec<(HeaderName, HeaderValue)>, usize);

fn take(names: &[HeaderName], headers: &HeaderMap) -> Result<Taken, Failure> {
    let mut bytes = 0;
    let mut fields = Vec::new();
    for name in names {
        for value in headers.get_all(name) {
            bytes += name.as_str().len() + value.len();
            // Valid, since it was a value before.
            if let Ok(value) = HeaderValue::from_maybe_shared(copy_of(value.as_bytes())) {
                fields.push((name.clone(), value));
            }
        }
    }
    if bytes > MAX_TAKEN_BYTES {
        let text = format!("fields of the answer are larger than {MAX_TAKEN_BYTES} bytes");
        return Err(Failure::new("answer", text));
    }
    Ok((fields, bytes))
}

/// What may be kept must be copied: a clone keeps the whole buffer alive that the answer was read into.
fn copy_of(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The one name that a field holds. A field that cannot be one is no identity to go on with.
fn name_in(headers: &HeaderMap, field: Option<&HeaderName>) -> Result<Option<Arc<str>>, Failure> {
    let Some(field) = field else {
        return Ok(None);
    };
    let mut values = headers.get_all(field).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).ok();
    let text = text.map(str::trim).filter(|text| {
        let plain = text.chars().all(|c| !c.is_control());
        plain && !text.is_empty() && text.len() <= MAX_NAME_BYTES
    });
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(text.into())),
        _ => {
            let text = format!("the answer's field {field} holds no name");
            Err(Failure::new("answer", text))
        }
    }
}

/// How long the service itself lets its answer be kept (RFC 9111 section 5.2.2). What cannot be read counts as not at
/// all.
fn freshness(headers: &HeaderMap) -> Duration {
    let mut most = Duration::MAX;
    if headers.get_all(header::VARY).iter().any(|vary| vary == "*") {
        return Duration::ZERO;
    }
    for value in headers.get_all(header::CACHE_CONTROL) {
        let Ok(text) = value.to_str() else {
            return Duration::ZERO;
        };
        for directive in text.split(',') {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            let name = name.trim();
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return Duration::ZERO;
            }
            if name.eq_ignore_ascii_case("max-age") {
                let seconds = argument.trim().trim_matches('"').parse().unwrap_or(0);
                most = most.min(Duration::from_secs(seconds));
            }
        }
    }
    most
}
