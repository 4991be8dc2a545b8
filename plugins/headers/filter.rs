//! Editing the header fields.

use farmgate_plugin_api::exchange::{Request, Response};
use farmgate_plugin_api::field::FieldValue;
use farmgate_plugin_api::{Answer, Filter, Phases};
use http::HeaderName;

/// Edits the fields of requests and responses.
#[derive(Debug, Default)]
pub(super) struct HeadersFilter {
    pub(super) request: Edits,
    pub(super) response: Edits,
}

/// The edits of one direction, in the order they are made.
#[derive(Debug, Default)]
pub(super) struct Edits {
    pub(super) remove: Box<[HeaderName]>,
    pub(super) set: Box<[(HeaderName, FieldValue)]>,
    pub(super) add: Box<[(HeaderName, FieldValue)]>,
}

impl Edits {
    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    fn values(&self) -> impl Iterator<Item = &FieldValue> {
        self.set.iter().chain(&self.add).map(|(_, value)| value)
    }
}

impl Filter for HeadersFilter {
    fn phases(&self) -> Phases {
        let mut phases = Phases::NONE;
        if !self.request.is_empty() {
            phases = phases.and(Phases::REQUEST_HEAD);
        }
        if !self.response.is_empty() {
            phases = phases.and(Phases::RESPONSE_HEAD);
        }
        phases
    }

    fn captures(&self) -> Vec<&str> {
        let values = self.request.values().chain(self.response.values());
        values.flat_map(FieldValue::captures).collect()
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        for name in &self.request.remove {
            request.edit().remove(name);
        }
        for (name, value) in &self.request.set {
            if let Some(value) = value.make(&*request) {
                request.edit().set(name, value);
            }
        }
        for (name, value) in &self.request.add {
            if let Some(value) = value.make(&*request) {
                request.edit().append(name, value);
            }
        }
        Answer::CONTINUE
    }

    fn response_head<'a>(&'a self, response: &'a mut dyn Response) -> Answer<'a> {
        for name in &self.response.remove {
            response.edit().remove(name);
        }
        for (name, value) in &self.response.set {
            if let Some(value) = value.make(&*response.request()) {
                response.edit().set(name, value);
            }
        }
        for (name, value) in &self.response.add {
            if let Some(value) = value.make(&*response.request()) {
                response.edit().append(name, value);
            }
        }
        Answer::CONTINUE
    }
}
