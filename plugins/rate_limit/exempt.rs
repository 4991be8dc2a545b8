//! Who is not limited at all.

use std::collections::HashSet;

use farmgate_plugin_api::Facts;
use farmgate_plugin_api::decode::Secret;
use farmgate_plugin_api::units::Cidr;
use foldhash::fast::RandomState as FastState;
use http::HeaderName;

/// Requests that no limit counts.
#[derive(Debug, Default)]
pub(super) struct Exempt {
    /// From these networks.
    pub(super) cidrs: Box<[Cidr]>,
    /// Of these consumers.
    pub(super) consumers: HashSet<Box<str>, FastState>,
    /// With this secret in this field.
    pub(super) header: Option<(HeaderName, Secret)>,
}

impl Exempt {
    /// Whether this request is one of them.
    pub(super) fn covers(&self, facts: &dyn Facts) -> bool {
        if !self.cidrs.is_empty() {
            let ip = facts.client_ip();
            if self.cidrs.iter().any(|cidr| cidr.contains(ip)) {
                return true;
            }
        }
        if !self.consumers.is_empty()
            && let Some(consumer) = facts.consumer()
            && self.consumers.contains(&*consumer.name)
        {
            return true;
        }
        let Some((name, secret)) = &self.header else {
            return false;
        };
        let value = facts.headers().get(name);
        value.is_some_and(|value| secret.is(value.as_bytes()))
    }
}
