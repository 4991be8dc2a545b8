//! The table that finds the trees of a requested host.

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use farmgate_plugin_api::Facts;
use foldhash::fast::RandomState;

use super::{Form, HostPattern, MAX_NAME_BYTES, v6};
use crate::snapshot::router::bucket::{Ranked, Search};
use crate::snapshot::router::tree::Tree;

/// The trees of all hosts. Hosts with the same routes share one tree.
#[derive(Debug, Default)]
pub(in crate::snapshot::router) struct HostTable {
    exact: HashMap<Box<str>, Arc<Tree>, RandomState>,
    addresses: HashMap<Ipv6Addr, Arc<Tree>, RandomState>,
    /// By what follows the `*.`.
    wildcards: HashMap<Box<str>, Arc<Tree>, RandomState>,
    /// The length in bytes of the shortest and the longest key of `wildcards`.
    wildcard_bytes: (usize, usize),
    /// Routes without hosts.
    any: Option<Arc<Tree>>,
}

impl HostTable {
    /// Puts a tree under a host, or under none.
    pub(in crate::snapshot::router) fn insert(
        &mut self,
        host: Option<HostPattern>,
        tree: Arc<Tree>,
    ) {
        match host.map(|host| host.0) {
            None => self.any = Some(tree),
            Some(Form::Exact(name)) => {
                self.exact.insert(name, tree);
            }
            Some(Form::V6(address)) => {
                self.addresses.insert(address, tree);
            }
            Some(Form::Wildcard(name)) => {
                let bytes = name.len();
                let (least, most) = match self.wildcards.is_empty() {
                    true => (bytes, bytes),
                    false => self.wildcard_bytes,
                };
                self.wildcard_bytes = (least.min(bytes), most.max(bytes));
                self.wildcards.insert(name, tree);
            }
        }
    }

    /// The first route that fits, from the most specific host to the routes without hosts.
    pub(in crate::snapshot::router) fn first<'t, F: Facts + ?Sized>(
        &'t self,
        search: &mut Search<'_, F>,
    ) -> Option<&'t Ranked> {
        let host = search.facts().host();
        // A longer name is none, and would only cost time here.
        if !host.is_empty() && host.len() <= MAX_NAME_BYTES {
            if let Some(won) = self.exact(host).and_then(|tree| tree.first(search)) {
                return Some(won);
            }
            if let Some(won) = self.wildcard(host, search) {
                return Some(won);
            }
        }
        self.any.as_ref()?.first(search)
    }

    fn exact(&self, host: &str) -> Option<&Arc<Tree>> {
        if let Some(tree) = self.exact.get(host) {
            return Some(tree);
        }
        if self.addresses.is_empty() {
            return None;
        }
        self.addresses.get(&v6(host)?)
    }

    fn wildcard<'t, F: Facts + ?Sized>(
        &'t self,
        host: &str,
        search: &mut Search<'_, F>,
    ) -> Option<&'t Ranked> {
        if self.wildcards.is_empty() {
            return None;
        }
        let (least, most) = self.wildcard_bytes;
        let mut left = host;
        // The first suffix is the longest; each drops one label more.
        while let Some((label, suffix)) = left.split_once('.') {
            if suffix.len() < least {
                break;
            }
            // A label before the suffix is needed; the dot of `.example.test` is not one.
            let labelled = !label.is_empty() || left.len() < host.len();
            if labelled && suffix.len() <= most {
                search.visit();
                let tree = self.wildcards.get(suffix);
                if let Some(won) = tree.and_then(|tree| tree.first(search)) {
                    return Some(won);
                }
            }
            left = suffix;
        }
        None
    }

    /// See [`super::Router::worst_visits`]: one exact host, each level of wildcards, and none.
    pub(in crate::snapshot::router) fn worst_visits(&self) -> u64 {
        let exact = self.exact.values().chain(self.addresses.values());
        let exact = exact.map(|tree| tree.worst_visits()).max();
        let mut levels: HashMap<usize, u64> = HashMap::new();
        for (name, tree) in &self.wildcards {
            let level = levels.entry(name.split('.').count()).or_default();
            *level = (*level).max(tree.worst_visits());
        }
        let any = self.any.as_ref().map(|tree| tree.worst_visits());
        let sum = levels
            .values()
            .fold(0u64, |sum, more| sum.saturating_add(*more));
        sum.saturating_add(exact.unwrap_or(0))
            .saturating_add(any.unwrap_or(0))
    }
}
