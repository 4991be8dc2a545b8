//! Pingora's header types behind the plugin API's trait.

use farmgate_plugin_api::Headers;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
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

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removes what belongs to the origin's connection (RFC 9110 section 7.6.1). An upgrade keeps what
/// its handshake needs.
pub(super) fn strip_hop_by_hop(response: &mut ResponseHeader) {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
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
    for name in &nominated {
        response.remove_header(name);
    }
    for name in [
        &header::CONNECTION,
        &KEEP_ALIVE,
        &PROXY_CONNECTION,
        &header::UPGRADE,
    ] {
        response.remove_header(name);
    }
}
