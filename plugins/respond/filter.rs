//! Answering without an origin.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::field::FieldValue;
use farmgate_plugin_api::units::Cidr;
use farmgate_plugin_api::{Answer, Filter, Phases, Reply};
use http::{HeaderName, StatusCode};

/// Answers every request it sees, but those of clients that are let through.
#[derive(Debug)]
pub(super) struct RespondFilter {
    /// Whose requests go on.
    pub(super) allow: Box<[Cidr]>,
    pub(super) status: StatusCode,
    pub(super) body: Body,
    pub(super) headers: Box<[(HeaderName, FieldValue)]>,
}

/// Where the body comes from.
#[derive(Debug)]
pub(super) enum Body {
    /// The configuration.
    Text(Bytes),
    /// A file, in its last good state.
    File(Arc<ArcSwap<Bytes>>),
}

impl Filter for RespondFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    fn captures(&self) -> Vec<&str> {
        let values = self.headers.iter().map(|(_, value)| value);
        values.flat_map(FieldValue::captures).collect()
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        if !self.allow.is_empty() {
            let client = request.client_ip().to_canonical();
            if self.allow.iter().any(|network| network.contains(client)) {
                return Answer::CONTINUE;
            }
        }
        let body = match &self.body {
            Body::Text(text) => text.clone(),
            Body::File(file) => Bytes::clone(&file.load()),
        };
        let mut reply = Reply::new(self.status, "respond").body(body);
        for (name, value) in &self.headers {
            if let Some(value) = value.make(&*request) {
                reply.headers.push((name.clone(), value));
            }
        }
        Answer::reply(reply)
    }
}
