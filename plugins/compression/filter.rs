//! Choosing what is compressed, and doing it piece by piece.

use std::sync::Arc;

use bytes::Bytes;
use farmgate_plugin_api::exchange::{BufferedBody, Request, Response};
use farmgate_plugin_api::services::{Counter, CounterBy, Gauge, Offload};
use farmgate_plugin_api::{
    Answer, BodyMode, Compression, Filter, FilterError, Headers, OverLimit, Phases, Reply, Verdict,
};
use farmgate_waf::body::inflate::InflateError;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderMap, HeaderName, HeaderValue, TRAILER, VARY,
};
use http::{Method, StatusCode};

use super::accept::{Coding, Wishes};
use super::encoder::{Encoder, Levels};
use super::inflating::{Inflating, Said};
use super::kinds::{self, Pattern};
use super::places::{Place, Places};

/// Request bodies up to here are decoded at once: even a bomb is over within a millisecond. Others go to threads of
/// their own.
const AT_ONCE: usize = 2 * 1024;

const VARY_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");

/// Fields that describe the bytes as they were, and would be wrong beside others.
static OF_BYTES: [HeaderName; 5] = [
    HeaderName::from_static("accept-ranges"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// Compresses answers and decodes requests.
pub(super) struct CompressionFilter {
    /// Codings in the order of preference; empty: answers stay as they are.
    pub(super) offered: Vec<Coding>,
    pub(super) patterns: Arc<[Pattern]>,
    pub(super) min_bytes: u64,
    pub(super) levels: Levels,
    pub(super) places: Arc<Places>,
    /// Most responses at once.
    pub(super) most: usize,
    pub(super) inflating: Option<Inflating>,
    pub(super) offload: Arc<dyn Offload>,
    pub(super) metrics: Metrics,
}

/// What is counted.
pub(super) struct Metrics {
    pub(super) zstd: Arc<dyn Counter>,
    pub(super) br: Arc<dyn Counter>,
    pub(super) gzip: Arc<dyn Counter>,
    pub(super) bytes_in: Arc<dyn Counter>,
    pub(super) bytes_out: Arc<dyn Counter>,
    pub(super) active: Arc<dyn Gauge>,
    pub(super) over_limit: Arc<dyn Counter>,
    pub(super) decoded: Arc<dyn Counter>,
    pub(super) refused: Arc<dyn CounterBy>,
}

/// A response on its way, in the state of its request.
pub(super) struct Squeezing {
    /// None at the end, or while it works: a codec that panicked is not asked again.
    encoder: Option<(Encoder, Place)>,
    /// The client gets each piece when it comes.
    flush: bool,
    over: bool,
}

impl Filter for CompressionFilter {
    fn phases(&self) -> Phases {
        let mut phases = Phases::NONE;
        if !self.offered.is_empty() {
            phases = phases.and(Phases::RESPONSE_HEAD).and(Phases::RESPONSE_BODY);
        }
        if self.inflating.is_some() {
            phases = phases.and(Phases::REQUEST_HEAD).and(Phases::REQUEST_BODY);
        }
        phases
    }

    fn body_mode(&self) -> BodyMode {
        match &self.inflating {
            None => BodyMode::None,
            // What is larger compressed is so plain, but for some bytes.
            Some(inflating) => BodyMode::Buffered {
                limit: inflating.limits.max_bytes,
                over: OverLimit::Refuse,
            },
        }
    }

    fn compression(&self) -> Option<Compression> {
        let has = |coding| self.offered.contains(&coding);
        let patterns = Arc::clone(&self.patterns);
        (!self.offered.is_empty()).then(|| Compression {
            zstd: has(Coding::Zstd),
            br: has(Coding::Br),
            gzip: has(Coding::Gzip),
            min_bytes: self.min_bytes,
            suits: Arc::new(move |kind| kinds::fits(&patterns, kind)),
        })
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let Some(inflating) = &self.inflating else {
            return Answer::CONTINUE;
        };
        match inflating.said(request.headers()) {
            Said::Encoded => Answer::CONTINUE,
            Said::Plain => {
                request.want_body(BodyMode::None);
                Answer::CONTINUE
            }
            Said::Unknown => {
                self.metrics.refused.add("unknown_encoding", 1);
                // RFC 9110 section 15.5.16: says what would be taken.
                let reply = Reply::problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_encoding")
                    .header(ACCEPT_ENCODING, inflating.accept.clone());
                Answer::reply(reply)
            }
        }
    }

    fn request_body<'a>(
        &'a self,
        request: &'a mut dyn Request,
        body: &'a mut BufferedBody,
    ) -> Answer<'a> {
        let Some(inflating) = &self.inflating else {
            return Answer::CONTINUE;
        };
        // Another filter may have wanted the body of a request that is plain.
        if inflating.said(request.headers()) != Said::Encoded {
            return Answer::CONTINUE;
        }
        if body.partial {
            return Answer::error("a body that is not whole cannot be decoded");
        }
        if body.is_empty() {
            plain(request);
            return Answer::CONTINUE;
        }
        let encoding = encoding_of(request.headers());
        let limits = inflating.limits;
        if body.len() <= AT_ONCE {
            let decoded = Inflating::decode(&encoding, body.chunks(), limits);
            return Answer::Now(self.decoded(decoded, request, body));
        }
        let pieces = body.chunks().to_vec();
        let work = move || Box::new(Inflating::decode(&encoding, &pieces, limits)) as Box<_>;
        let result = self.offload.run(Box::new(work));
        Answer::Wait(Box::pin(async move {
            let Ok(result) = result.await else {
                self.metrics.refused.add("busy", 1);
                return Verdict::Error(FilterError::new("too many bodies are being decoded"));
            };
            match result.downcast::<Result<Vec<u8>, InflateError>>() {
                Ok(decoded) => self.decoded(*decoded, request, body),
                Err(_) => Verdict::Error(FilterError::new("decoding gave nothing")),
            }
        }))
    }

    fn response_head<'a>(&'a self, response: &'a mut dyn Response) -> Answer<'a> {
        if !self.may_change(response) {
            return Answer::CONTINUE;
        }
        let length = length_of(response.edit().map());
        let large = length.is_none_or(|length| length >= self.min_bytes);
        let wishes = Wishes::of(response.request().headers());
        // Who takes no plain body gets small ones compressed as well.
        if !large && !wishes.refuses_identity() || length == Some(0) {
            return Answer::CONTINUE;
        }
        // Also of the plain one: caches behind us must not give it to those who get the other.
        vary(response.edit());
        let request = response.request();
        let bodiless = *request.method() == Method::HEAD || request.protocol() == "HTTP/1.0";
        let Some(coding) = wishes.best(&self.offered).filter(|_| !bodiless) else {
            return Answer::CONTINUE;
        };
        let Some(place) = self.places.take(self.most, &self.metrics.active) else {
            self.metrics.over_limit.add(1);
            return Answer::CONTINUE;
        };
        let Ok(encoder) = Encoder::new(coding, self.levels, length) else {
            return Answer::error("a codec did not start");
        };
        response.request().set_state(Box::new(Squeezing {
            encoder: Some((encoder, place)),
            flush: length.is_none(),
            over: false,
        }));
        response.resize_body();
        encode(response.edit(), coding);
        self.metrics.of(coding).add(1);
        Answer::CONTINUE
    }

    fn response_body(
        &self,
        request: &mut dyn Request,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), FilterError> {
        let state = request.state().and_then(|state| state.downcast_mut());
        let Some(squeezing) = state.filter(|one: &&mut Squeezing| !one.over) else {
            return Ok(());
        };
        let piece = chunk.take().unwrap_or_default();
        match squeezing.step(&piece, end) {
            Ok(out) => {
                self.metrics.bytes_in.add(piece.len() as u64);
                self.metrics.bytes_out.add(out.len() as u64);
                *chunk = Some(Bytes::from(out)).filter(|out| !out.is_empty());
                Ok(())
            }
            Err(error) => {
                // Whatever `fail` says: plain bytes behind compressed ones would be neither.
                request.refuse(Reply::problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "compression_failed",
                ));
                Err(error)
            }
        }
    }
}

impl Squeezing {
    fn step(&mut self, piece: &[u8], end: bool) -> Result<Vec<u8>, FilterError> {
        let failed = |_| FilterError::new("a codec failed");
        let Some((mut encoder, place)) = self.encoder.take() else {
            return Err(FilterError::new("a codec failed before"));
        };
        let mut out = Vec::new();
        encoder
            .push(piece, self.flush && !end, &mut out)
            .map_err(failed)?;
        if end {
            encoder.finish(&mut out).map_err(failed)?;
            self.over = true;
        } else {
            self.encoder = Some((encoder, place));
        }
        Ok(out)
    }
}

#[cfg(test)]
impl Squeezing {
    /// As a panic of the codec leaves it.
    pub(super) fn break_for_tests(&mut self) {
        self.encoder = None;
    }
}

impl CompressionFilter {
    /// True for a response that is compressed, or would be for another client.
    fn may_change(&self, response: &mut dyn Response) -> bool {
        // RFC 9110 sections 15.3.5, 15.3.6, 15.3.7 and 15.4.5.
        let whole = !matches!(
            response.status().as_u16(),
            100..=199 | 204 | 205 | 206 | 304
        );
        if !whole || response.is_local() || response.is_stored() {
            return false;
        }
        let request = response.request();
        if *request.method() == Method::CONNECT || no_transform(request.headers()) {
            return false;
        }
        let headers = response.edit().map();
        let suits = headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kinds::fits(&self.patterns, kind));
        suits
            && !headers.contains_key(CONTENT_ENCODING)
            && !headers.contains_key(CONTENT_RANGE)
            && !headers.contains_key(TRAILER)
            && !no_transform(headers)
    }

    /// Puts a decoded body in its place, or says why there is none.
    fn decoded(
        &self,
        result: Result<Vec<u8>, InflateError>,
        request: &mut dyn Request,
        body: &mut BufferedBody,
    ) -> Verdict {
        let (status, detail, reason) = match result {
            Ok(decoded) => {
                self.metrics.decoded.add(1);
                body.replace(Bytes::from(decoded));
                plain(request);
                return Verdict::Continue;
            }
            Err(InflateError::Broken | InflateError::Truncated) => {
                (StatusCode::BAD_REQUEST, "body_not_decodable", "broken")
            }
            Err(InflateError::TooLarge) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "too_large")
            }
            Err(InflateError::Bomb) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "bomb"),
        };
        self.metrics.refused.add(reason, 1);
        Verdict::Reply(Box::new(Reply::problem(status, detail)))
    }
}

impl Metrics {
    fn of(&self, coding: Coding) -> &dyn Counter {
        match coding {
            Coding::Zstd => &*self.zstd,
            Coding::Br => &*self.br,
            Coding::Gzip => &*self.gzip,
        }
    }
}

/// Takes out of a request what it said of its encoding.
fn plain(request: &mut dyn Request) {
    let headers = request.edit();
    headers.remove(&CONTENT_ENCODING);
    for name in &OF_BYTES {
        headers.remove(name);
    }
}

/// The one encoding of a request, as it was written.
fn encoding_of(headers: &HeaderMap) -> Vec<u8> {
    let lines = headers.get_all(CONTENT_ENCODING).iter();
    let lines: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
    lines.join(&b","[..])
}

/// Content-Length, where it can be read.
fn length_of(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The fields of a compressed body.
fn encode(headers: &mut dyn Headers, coding: Coding) {
    headers.set(&CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    for name in &OF_BYTES {
        headers.remove(name);
    }
    // Other bytes of the same meaning (RFC 9110 section 8.8.1).
    let weak = headers.map().get(ETAG).and_then(|tag| {
        let tag = tag.as_bytes();
        let strong = !tag.starts_with(b"W/");
        strong.then(|| HeaderValue::from_bytes(&[b"W/", tag].concat()).ok())?
    });
    if let Some(weak) = weak {
        headers.set(&ETAG, weak);
    }
}

fn no_transform(headers: &HeaderMap) -> bool {
    any_word(headers, CACHE_CONTROL, |word| {
        word.eq_ignore_ascii_case(b"no-transform")
    })
}

fn vary(headers: &mut dyn Headers) {
    let stands = any_word(headers.map(), VARY, |word| {
        word == b"*" || word.eq_ignore_ascii_case(b"accept-encoding")
    });
    if !stands {
        headers.append(&VARY, VARY_ENCODING);
    }
}

/// Whether a word of a list fits.
fn any_word(headers: &HeaderMap, name: HeaderName, fits: impl Fn(&[u8]) -> bool) -> bool {
    headers.get_all(name).iter().any(|line| {
        let mut words = line.as_bytes().split(|byte| *byte == b',');
        words.any(|word| fits(word.trim_ascii()))
    })
}
