//! Sending what is stored, or is just being stored: conditions, ranges, and the fields that are written anew.

use std::sync::Arc;

use bytes::Bytes;
use farmgate_plugin_api::Headers;
use http::header::{
    ACCEPT_RANGES, AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderValue, TRANSFER_ENCODING, VARY,
};
use http::{Method, StatusCode};

use super::CacheCx;
use crate::cache::conditional::{belongs_in_304, client_has_it};
use crate::cache::meta::Meta;
use crate::cache::meta::head::StoredHead;
use crate::cache::range::multipart::Multipart;
use crate::cache::range::{self, ByteRange, Ranges};
use crate::cache::serve;
use crate::cache::shared::compress::{Coding, OF_PLAIN};
use crate::cache::shared::{Hit, Reader};
use crate::cache::status::{CACHE_STATUS, Told, ttl_s};
use crate::cache::{Now, serve::Forward};
use crate::proxy::ctx::Ctx;
use crate::proxy::id;
use crate::telemetry::cache::CacheAnswer;

/// Who speaks in Cache-Status.
const NAME: &str = "farmgate";

/// Fields that may be added to a stored head.
const ROOM: usize = 8;

/// What Cache-Status says of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// It was answered from what was stored.
    pub hit: bool,
    /// Why the origin was asked.
    pub forward: Option<Forward>,
    /// What it answered, where that is not what is sent.
    pub forward_status: Option<u16>,
    /// Seconds of freshness that are left.
    pub ttl_s: Option<i64>,
    /// The origin's answer was stored.
    pub stored: bool,
    /// It shares another request's fetch.
    pub collapsed: bool,
    /// A word about the rest.
    pub detail: Option<&'static str>,
}

impl Said {
    pub(super) fn hit(hit: serve::Hit, meta: &Meta, now: Now) -> Self {
        let told = Told::hit(hit, meta, now);
        Self {
            hit: true,
            ttl_s: told.ttl_s,
            detail: match hit {
                serve::Hit::Fresh => None,
                serve::Hit::StaleWhileRevalidate => Some("stale-while-revalidate"),
                serve::Hit::MaxStale => Some("max-stale"),
            },
            ..Self::default()
        }
    }

    /// What is stale stands in for an error.
    pub fn stale_if_error(meta: &Meta, why: Forward, status: Option<StatusCode>, now: Now) -> Self {
        Self {
            forward: Some(why),
            forward_status: status.map(|status| status.as_u16()),
            ttl_s: ttl_s(meta, now),
            detail: Some("stale-if-error"),
            ..Self::default()
        }
    }

    pub(super) fn with_ttl(mut self, meta: &Meta, now: Now) -> Self {
        self.ttl_s = ttl_s(meta, now);
        self
    }

    /// The member of the list; it stands behind what caches nearer to the origin said.
    fn value(&self) -> Option<HeaderValue> {
        let mut text = String::with_capacity(64);
        let told = Told {
            hit: self.hit,
            forward: self.forward,
            forward_status: self.forward_status,
            ttl_s: self.ttl_s,
            stored: self.stored,
            collapsed: self.collapsed,
            key: None,
            detail: self.detail,
        };
        told.write(NAME, &mut text);
        // Tokens and numbers: always a value.
        HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
    }
}

/// Something stored, to be sent to one client.
pub struct Delivery {
    /// Its head.
    head: Arc<StoredHead>,
    /// Its body.
    pub reader: Reader,
    /// Bytes of it, where they are known.
    length: Option<u64>,
    /// The head as the origin sent it, for the one who asked: fields that are not kept for others are among them.
    own: Option<HeaderMap>,
    /// What its body is compressed with.
    coding: Option<Coding>,
    /// The origin made or confirmed it for this very request.
    fresh_from_origin: bool,
    /// What is said of it, where its fetch decides that.
    pub said: Option<Said>,
    /// How that counts.
    pub answer: Option<CacheAnswer>,
    now: Now,
}

/// What is sent of a body.
pub enum Part {
    /// Nothing.
    Nothing,
    /// All; its length where it is known.
    Whole(Option<u64>),
    /// One range.
    One(ByteRange),
    /// Several, each with its own small head, and the end.
    Many(Vec<(Vec<u8>, ByteRange)>, Vec<u8>),
}

impl Delivery {
    pub(super) fn stored(hit: Hit, now: Now) -> Self {
        Self::new(hit, None, None, now)
    }

    /// The same with a body that was compressed.
    pub(super) fn coded(mut self, coded: Option<(Coding, Hit)>) -> Self {
        if let Some((coding, hit)) = coded {
            self.coding = Some(coding);
            self.length = hit.len();
            self.reader = hit.into_reader();
        }
        self
    }

    pub(super) fn fetched(hit: Hit, said: Said, now: Now) -> Self {
        Self::new(hit, None, Some((said, CacheAnswer::Miss)), now)
    }

    /// With the fields that the origin sent for this very request.
    pub(super) fn with_own(mut self, own: HeaderMap) -> Self {
        self.own = Some(own);
        self
    }

    pub(super) fn confirmed(hit: Hit, head: Arc<StoredHead>, said: Said, now: Now) -> Self {
        Self::new(hit, Some(head), Some((said, CacheAnswer::Revalidated)), now)
    }

    /// What is stale, instead of an error.
    pub fn stale(hit: Hit, said: Said, now: Now) -> Self {
        let mut delivery = Self::new(hit, None, Some((said, CacheAnswer::Stale)), now);
        delivery.fresh_from_origin = false;
        delivery
    }

    fn new(
        hit: Hit,
        head: Option<Arc<StoredHead>>,
        said: Option<(Said, CacheAnswer)>,
        now: Now,
    ) -> Self {
        Self {
            head: head.unwrap_or_else(|| Arc::clone(hit.head())),
            length: hit.len(),
            reader: hit.into_reader(),
            own: None,
            coding: None,
            fresh_from_origin: said.is_some(),
            said: said.map(|(said, _)| said),
            answer: said.map(|(_, answer)| answer),
            now,
        }
    }

    /// The head to be sent, and what of the body. `request` are the client's fields.
    pub fn prepare(&mut self, cx: &mut Ctx, request: &HeaderMap) -> (StatusCode, HeaderMap, Part) {
        let head = Arc::clone(&self.head);
        let mut fields = self.own.take().unwrap_or_else(|| head.fields.clone());
        fields.reserve(ROOM);
        self.encode(cx, &mut fields);
        let get = cx.method == Method::GET;
        let mut status = head.status;
        let mut part = Part::Whole(self.length);
        if status == StatusCode::OK {
            if client_has_it(request, &head.fields, &head.meta, self.now.wall_s) {
                status = StatusCode::NOT_MODIFIED;
                let gone: Vec<_> = fields
                    .keys()
                    .filter(|name| !belongs_in_304(name))
                    .cloned()
                    .collect();
                for name in &gone {
                    fields.remove(name);
                }
                part = Part::Nothing;
            } else if get
                && request.contains_key(http::header::RANGE)
                && let Some(length) = self.length
            {
                part = self.select(request, length, &mut status, &mut fields);
            }
        }
        if matches!(status.as_u16(), 204 | 304) || !get {
            part = match part {
                // A HEAD tells the length it would have.
                Part::Whole(length) => {
                    set_length(&mut fields, length, status);
                    Part::Nothing
                }
                part => part,
            };
        } else if let Part::Whole(length) = part {
            set_length(&mut fields, length, status);
            if length.is_none() && !cx.start.connection.h2 {
                fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        let age_s = head.meta.age_s(self.now);
        if !self.fresh_from_origin || age_s > 0 {
            fields.insert(AGE, HeaderValue::from(age_s));
        }
        if let (Some(cache), Some(said)) = (&mut cx.cache, self.said) {
            cache.said = said;
            cache.answer = self.answer.unwrap_or(cache.answer);
        }
        sign(cx, &mut fields);
        (status, fields, part)
    }

    /// The fields that differ between a plain and a compressed body.
    fn encode(&self, cx: &Ctx, fields: &mut HeaderMap) {
        let cache = cx.route.as_deref().and_then(|route| route.cache.as_ref());
        let Some(rules) = cache.and_then(|cache| cache.plan.compress.as_ref()) else {
            return;
        };
        let fits = self.length.is_none_or(|length| rules.fits(length));
        let varies = self.coding.is_some() || fits;
        if !varies || !rules.suits(&self.head) {
            return;
        }
        // Also of the plain one: caches behind us must not give it to those who would get the other, nor the reverse.
        if !names_encoding(fields) {
            fields.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        let Some(coding) = self.coding else { return };
        fields.insert(CONTENT_ENCODING, coding.value());
        fields.remove(CONTENT_LENGTH);
        for name in &OF_PLAIN {
            fields.remove(name);
        }
        // Other bytes of the same meaning (RFC 9110 section 8.8.1).
        let weak = fields.get(ETAG).and_then(weakened);
        if let Some(weak) = weak {
            fields.insert(ETAG, weak);
        }
    }

    fn select(
        &self,
        request: &HeaderMap,
        length: u64,
        status: &mut StatusCode,
        fields: &mut HeaderMap,
    ) -> Part {
        let head = &*self.head;
        let wall_s = self.now.wall_s;
        let part = match range::select(request, &head.fields, &head.meta, length, wall_s) {
            Ranges::Whole => return Part::Whole(Some(length)),
            Ranges::Unsatisfiable => {
                *status = StatusCode::RANGE_NOT_SATISFIABLE;
                put(
                    fields,
                    CONTENT_RANGE,
                    range::content_range_unsatisfiable(length),
                );
                fields.remove(CONTENT_TYPE);
                fields.insert(CONTENT_LENGTH, HeaderValue::from(0_u64));
                return Part::Nothing;
            }
            Ranges::One(one) => {
                put(fields, CONTENT_RANGE, range::content_range(one, length));
                fields.insert(CONTENT_LENGTH, HeaderValue::from(one.bytes()));
                Part::One(one)
            }
            Ranges::Many(ranges) => {
                let boundary = u128::from(id::random()) << 64 | u128::from(id::random());
                let kind = head.fields.get(CONTENT_TYPE);
                let frame = Multipart::new(boundary, kind, length);
                fields.insert(CONTENT_LENGTH, HeaderValue::from(frame.bytes(&ranges)));
                let parts = ranges
                    .iter()
                    .map(|one| (frame.before(*one), *one))
                    .collect();
                let end = frame.end();
                put(fields, CONTENT_TYPE, frame.content_type());
                Part::Many(parts, end)
            }
        };
        *status = StatusCode::PARTIAL_CONTENT;
        fields
            .entry(ACCEPT_RANGES)
            .or_insert(HeaderValue::from_static("bytes"));
        part
    }
}

fn names_encoding(fields: &HeaderMap) -> bool {
    let lines = fields.get_all(VARY).iter();
    let mut names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"accept-encoding"))
}

fn weakened(tag: &HeaderValue) -> Option<HeaderValue> {
    let tag = tag.as_bytes();
    (!tag.starts_with(b"W/")).then(|| HeaderValue::from_bytes(&[b"W/", tag].concat()).ok())?
}

fn put(fields: &mut HeaderMap, name: http::HeaderName, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        fields.insert(name, value);
    }
}

fn set_length(fields: &mut HeaderMap, length: Option<u64>, status: StatusCode) {
    if let Some(length) = length
        && !matches!(status.as_u16(), 204 | 304)
        && !fields.contains_key(CONTENT_LENGTH)
    {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// The same of a response that goes past the store.
pub fn sign_passed(cx: &Ctx, response: &mut (dyn Headers + '_)) {
    let cache = cx.route.as_deref().and_then(|route| route.cache.as_ref());
    let (Some(cache), Some(CacheCx { said, .. })) = (cache, &cx.cache) else {
        return;
    };
    for name in &cache.plan.policy.tags {
        response.remove(name);
    }
    if cache.plan.status_header
        && let Some(value) = said.value()
    {
        response.append(&CACHE_STATUS, value);
    }
}

/// What every answer on a route with a cache carries, and what it does not: Cache-Status, and no tags.
pub fn sign(cx: &Ctx, fields: &mut HeaderMap) {
    let cache = cx.route.as_deref().and_then(|route| route.cache.as_ref());
    let (Some(cache), Some(CacheCx { said, .. })) = (cache, &cx.cache) else {
        return;
    };
    for name in &cache.plan.policy.tags {
        fields.remove(name);
    }
    if cache.plan.status_header
        && let Some(value) = said.value()
    {
        fields.append(CACHE_STATUS, value);
    }
}
