//! Pingora's header types behind the plugin API's trait.

use farmgate_plugin_api::Headers;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use pingora_http::{RequestHeader, ResponseHeader};

/// A request's fields.
pub(super) struct RequestFields<'a>(pub(super) &'a mut RequestHeader);

/// A response's fields.
pub(super) struct ResponseFields<'a>(pub(super) &'a mut ResponseHeader);

macro_rules! headers {
    ($name:ident) => {
        impl Headers for $name<'_> {
            fn map(&self) -> &HeaderMap {
                &self.0.headers
            }
            fn set(&mut self, name: &HeaderName, value: HeaderValue) {
                // The only failure is a map of 32,768 fields, far over every limit.
                let _ = self.0.insert_header(name.clone(), value);
            }
            fn append(&mut self, name: &HeaderName, value: HeaderValue) {
                let _ = self.0.append_header(name.clone(), value);
            }
            fn remove(&mut self, name: &HeaderName) -> bool {
                self.0.remove_header(name).is_some()
            }
            fn each_as_received(&self, visit: &mut dyn FnMut(&[u8], &HeaderValue)) {
                if self.0.has_case() {
                    for (name, value) in self.0.case_header_iter() {
                        visit(name.as_slice(), value);
                    }
                } else {
                    for (name, value) in &self.0.headers {
                        visit(name.as_str().as_bytes(), value);
                    }
                }
            }
        }
    };
}

headers!(RequestFields);
headers!(ResponseFields);

/// Room for the fields we and the plugins add, so that the map grows at most once.
const ROOM: usize = 12;

/// A head taken apart for editing. Pingora keeps the letter case of names in a second map beside the
/// fields; adding a dozen fields there makes both maps grow and hash again several times. Names
/// towards origins and clients are case-insensitive (RFC 9110 section 5.1), so that map is dropped:
/// common names are written in their usual case, others as they are.
pub(super) struct OpenRequest(http::request::Parts);

impl OpenRequest {
    /// Takes the head out of `request`, which stays empty until [`OpenRequest::close`].
    pub(super) fn open(request: &mut RequestHeader) -> Self {
        let empty = RequestHeader::from(Request::new(()).into_parts().0);
        let mut parts = http::request::Parts::from(std::mem::replace(request, empty));
        parts.headers.reserve(ROOM);
        Self(parts)
    }

    /// Puts the head back.
    pub(super) fn close(self, request: &mut RequestHeader) {
        *request = RequestHeader::from(self.0);
    }
}

/// Drops the letter case of a response's names and makes room, for the same reason.
pub(super) fn make_room(response: &mut ResponseHeader) {
    let canonical = response.status.canonical_reason();
    let reason = response
        .get_reason_phrase()
        .filter(|reason| Some(*reason) != canonical)
        .map(str::to_owned);
    let empty = ResponseHeader::from(Response::new(()).into_parts().0);
    let mut parts = http::response::Parts::from(std::mem::replace(response, empty));
    parts.headers.reserve(ROOM);
    *response = ResponseHeader::from(parts);
    if reason.is_some() {
        // It was valid when it was read.
        let _ = response.set_reason_phrase(reason.as_deref());
    }
}

impl Headers for OpenRequest {
    fn map(&self) -> &HeaderMap {
        &self.0.headers
    }
    fn set(&mut self, name: &HeaderName, value: HeaderValue) {
        // The only failure is a map of 32,768 fields, far over every limit.
        let _ = self.0.headers.try_insert(name, value);
    }
    fn append(&mut self, name: &HeaderName, value: HeaderValue) {
        let _ = self.0.headers.try_append(name, value);
    }
    fn remove(&mut self, name: &HeaderName) -> bool {
        self.0.headers.remove(name).is_some()
    }
    fn each_as_received(&self, visit: &mut dyn FnMut(&[u8], &HeaderValue)) {
        for (name, value) in &self.0.headers {
            visit(name.as_str().as_bytes(), value);
        }
    }
}

/// Fields of one connection, whether `Connection` names them or not.
static HOP_BY_HOP: [HeaderName; 4] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::UPGRADE,
];

/// Removes what belongs to the origin's connection (RFC 9110 section 7.6.1). An upgrade keeps what
/// its handshake needs.
pub(super) fn strip_hop_by_hop(response: &mut ResponseHeader) {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    // RFC 9110 section 8.6: a length of what cannot be there.
    if response.status == StatusCode::NO_CONTENT {
        response.remove_header(&header::CONTENT_LENGTH);
    }
    // One look at the few names is cheaper than searching for each of these.
    if !response
        .headers
        .keys()
        .any(|name| HOP_BY_HOP.contains(name))
    {
        return;
    }
    let nominated: Vec<HeaderName> = response
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .filter(|name| {
            ![
                header::CONTENT_LENGTH,
                header::TRANSFER_ENCODING,
                header::CONNECTION,
            ]
            .contains(name)
        })
        .collect();
    for name in nominated.iter().chain(&HOP_BY_HOP) {
        response.remove_header(name);
    }
}
