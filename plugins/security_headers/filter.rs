//! Setting the fields: on whatever goes to a client, our own errors too.

use farmgate_plugin_api::exchange::Response;
use farmgate_plugin_api::{Answer, Filter, Phases};
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderName, HeaderValue, StatusCode};

/// Sets some fields and removes others.
#[derive(Debug)]
pub(super) struct SecurityHeadersFilter {
    pub(super) remove: Box<[HeaderName]>,
    /// Only over TLS: a browser must not believe it elsewhere (RFC 6797 section 7.2).
    pub(super) hsts: Option<HeaderValue>,
    pub(super) fields: Box<[(HeaderName, HeaderValue)]>,
    /// An origin's own value is replaced.
    pub(super) replace: bool,
}

impl SecurityHeadersFilter {
    pub(super) fn is_idle(&self) -> bool {
        self.remove.is_empty() && self.fields.is_empty() && self.hsts.is_none()
    }
}

impl Filter for SecurityHeadersFilter {
    fn phases(&self) -> Phases {
        Phases::RESPONSE_HEAD
    }

    fn response_head<'a>(&'a self, response: &'a mut dyn Response) -> Answer<'a> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Answer::CONTINUE;
        }
        let hsts = self.hsts.as_ref();
        let hsts = hsts.filter(|_| response.request().scheme() == "https");
        let headers = response.edit();
        for name in &self.remove {
            headers.remove(name);
        }
        if let Some(value) = hsts
            && (self.replace || !headers.map().contains_key(STRICT_TRANSPORT_SECURITY))
        {
            headers.set(&STRICT_TRANSPORT_SECURITY, value.clone());
        }
        for (name, value) in &self.fields {
            if self.replace || !headers.map().contains_key(name) {
                headers.set(name, value.clone());
            }
        }
        Answer::CONTINUE
    }
}
