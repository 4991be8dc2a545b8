//! The question of an HTTP probe, checked word by word: nothing an operator writes can end a line or begin another.

use http::header::{ACCEPT, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri};

use crate::upstream::health::failure::ProbeError;

/// Headers that frame a message, belong to the connection, or have a word of their own (RFC 9110 7.6.1, RFC 9113 8.2.2).
const NOT_OURS: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A method of a request without a body.
pub(in crate::upstream::health) fn method(text: &str) -> Option<Method> {
    let method = Method::from_bytes(text.as_bytes()).ok()?;
    (method != Method::CONNECT).then_some(method)
}

/// Path and query.
pub(in crate::upstream::health) fn path(text: &str) -> Option<PathAndQuery> {
    let is_plain = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain || text.contains('#') {
        return None;
    }
    text.parse().ok()
}

/// A host with or without a port.
pub(in crate::upstream::health) fn host(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    (!authority.host().is_empty() && !text.contains('@')).then_some(authority)
}

/// A header that an operator may set.
pub(in crate::upstream::health) fn header(
    name: &str,
    value: &str,
) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    if NOT_OURS.contains(&name.as_str()) {
        return None;
    }
    Some((name, HeaderValue::from_str(value).ok()?))
}

/// A request without a body, for either version of HTTP.
pub(super) struct Question {
    pub(super) method: Method,
    path: PathAndQuery,
    host: Authority,
    pub(super) headers: HeaderMap,
}

impl Question {
    /// From words that were checked when they were compiled; checked again, because this is where they are sent.
    pub(super) fn build(
        method_text: &str,
        path_text: &str,
        host_text: &str,
        header_texts: &[(String, String)],
    ) -> Result<Self, ProbeError> {
        let wrong = |what: &str| ProbeError::internal(format!("the probe has no usable {what}"));
        let mut headers = HeaderMap::new();
        for (name, value) in header_texts {
            let (name, value) = header(name, value).ok_or_else(|| wrong("headers"))?;
            headers.append(name, value);
        }
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static("farmgate-health"));
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        Ok(Self {
            method: method(method_text).ok_or_else(|| wrong("method"))?,
            path: path(path_text).ok_or_else(|| wrong("path"))?,
            host: host(host_text).ok_or_else(|| wrong("host"))?,
            headers,
        })
    }

    /// The request's bytes in HTTP/1.1.
    pub(super) fn http1(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        for part in [
            self.method.as_str(),
            " ",
            self.path.as_str(),
            " HTTP/1.1\r\n",
            HOST.as_str(),
            ": ",
            self.host.as_str(),
            "\r\nconnection: close\r\n",
        ] {
            bytes.extend_from_slice(part.as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// The request's head in HTTP/2.
    pub(super) fn http2(&self, tls: bool) -> Result<Request<()>, ProbeError> {
        let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(self.host.clone())
            .path_and_query(self.path.clone())
            .build();
        let wrong = |error: http::Error| ProbeError::internal(error.to_string());
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.map_err(wrong)?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }
}
