//! Putting a page in the place of an error's body.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use farmgate_plugin_api::exchange::Response;
use farmgate_plugin_api::services::Counter;
use farmgate_plugin_api::{Answer, Filter, Headers, Phases};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED,
    VARY,
};

use super::accept::prefers_html;
use super::page::{Page, Told};
use super::status::StatusWord;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const VARY_ACCEPT: HeaderValue = HeaderValue::from_static("Accept");

/// Fields that speak of the body that is replaced, or of how long it may be kept.
static OF_BODY: [HeaderName; 13] = [
    ACCEPT_RANGES,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_RANGE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-location"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// Replaces the bodies of errors.
pub(super) struct ErrorPagesFilter {
    pub(super) pages: Vec<(StatusWord, Arc<ArcSwap<Page>>)>,
    /// Errors of origins get pages, too.
    pub(super) origin: bool,
    pub(super) rendered: Arc<dyn Counter>,
}

impl Filter for ErrorPagesFilter {
    fn phases(&self) -> Phases {
        Phases::RESPONSE_HEAD
    }

    fn response_head<'a>(&'a self, response: &'a mut dyn Response) -> Answer<'a> {
        let status = response.status();
        let Some(page) = self.page(status.as_u16()) else {
            return Answer::CONTINUE;
        };
        let local = response.is_local();
        let fields = response.edit().map();
        if local != is_problem(fields) && local || !local && !self.origin || is_grpc(fields) {
            // A body that a plugin wrote, or an origin's that is to stay.
            return Answer::CONTINUE;
        }
        vary(response.edit());
        let html = prefers_html(response.request().headers());
        if local && !html {
            return Answer::CONTINUE;
        }
        let detail = response.detail();
        let told = Told {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error"),
            request_id: response.request().id(),
            detail,
        };
        let (body, kind) = match html {
            false => (problem(&told), PROBLEM),
            true => match page.load().render(told) {
                Ok(body) => (body, HTML),
                Err(text) => return Answer::error(text),
            },
        };
        if response.set_body(body) {
            let headers = response.edit();
            for name in &OF_BODY {
                headers.remove(name);
            }
            headers.set(&CONTENT_TYPE, kind);
            // It names one request.
            headers.set(&CACHE_CONTROL, NO_STORE);
            self.rendered.add(1);
        }
        Answer::CONTINUE
    }
}

impl ErrorPagesFilter {
    /// The page of a status: its own before that of its class.
    fn page(&self, status: u16) -> Option<&ArcSwap<Page>> {
        let find = |word| {
            let found = self.pages.iter().find(|(of, _)| *of == word);
            found.map(|(_, page)| &**page)
        };
        find(StatusWord::One(status)).or_else(|| find(StatusWord::Class(status / 100)))
    }
}

/// RFC 9457, as our own errors have it, without a detail: the origin's is not told.
fn problem(told: &Told<'_>) -> Bytes {
    // Ids are printable ASCII.
    let id: String = told
        .request_id
        .chars()
        .filter(|c| !matches!(c, '"' | '\\'))
        .collect();
    let (title, status) = (told.title, told.status);
    Bytes::from(format!(
        "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\"request_id\":\"{id}\"}}\n"
    ))
}

/// True for errors that the engine wrote: replies of plugins with a body of their own stay.
fn is_problem(fields: &HeaderMap) -> bool {
    fields.get(CONTENT_TYPE) == Some(&PROBLEM)
}

/// Calls of gRPC read their errors elsewhere.
fn is_grpc(fields: &HeaderMap) -> bool {
    let kind = fields.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

fn vary(headers: &mut dyn Headers) {
    let stands = headers.map().get_all(VARY).iter().any(|line| {
        let mut names = line.as_bytes().split(|byte| *byte == b',');
        names.any(|name| {
            let name = name.trim_ascii();
            name == b"*" || name.eq_ignore_ascii_case(b"accept")
        })
    });
    if !stands {
        headers.append(&VARY, VARY_ACCEPT);
    }
}
