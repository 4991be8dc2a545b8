//! Letting clients in by their address.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::services::Counter;
use farmgate_plugin_api::{Accept, Answer, ConnectionFacts, Filter, Phases, Reply};
use http::StatusCode;

use super::cidr_set::CidrSet;
use super::config::On;

/// Refuses clients whose address is on a deny list, or, with an allow list, not on it.
pub(super) struct AccessControlFilter {
    pub(super) on: On,
    pub(super) allow: Option<Lists>,
    pub(super) deny: Lists,
    pub(super) status: StatusCode,
    pub(super) dry_run: bool,
    pub(super) metrics: Metrics,
}

/// The entries of the configuration, and those of each file, which are replaced when it changes.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) inline: CidrSet,
    pub(super) files: Vec<Arc<ArcSwap<CidrSet>>>,
}

impl Lists {
    fn contain(&self, ip: IpAddr) -> bool {
        self.inline.contains(ip) || self.files.iter().any(|file| file.load().contains(ip))
    }
}

/// What is counted.
pub(super) struct Metrics {
    pub(super) allowed: Arc<dyn Counter>,
    pub(super) denied: Arc<dyn Counter>,
    pub(super) dry_denied: Arc<dyn Counter>,
}

impl Filter for AccessControlFilter {
    fn phases(&self) -> Phases {
        match self.on {
            On::Request => Phases::REQUEST_HEAD,
            On::Connection => Phases::ACCEPT,
        }
    }

    fn accept(&self, connection: &ConnectionFacts) -> Accept {
        // A unix socket has no address; its folder's permissions decide who may connect.
        let Some(peer) = connection.peer else {
            return Accept::Continue;
        };
        if self.passes(peer.ip()) {
            Accept::Continue
        } else {
            Accept::Refuse
        }
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        if self.passes(request.client_ip()) {
            Answer::CONTINUE
        } else {
            Answer::reply(Reply::problem(self.status, "access_denied"))
        }
    }
}

impl AccessControlFilter {
    /// Decides and counts.
    fn passes(&self, ip: IpAddr) -> bool {
        if self.admits(ip) {
            self.metrics.allowed.add(1);
            return true;
        }
        let counter = if self.dry_run {
            &self.metrics.dry_denied
        } else {
            &self.metrics.denied
        };
        counter.add(1);
        self.dry_run
    }

    fn admits(&self, ip: IpAddr) -> bool {
        let allowed = self.allow.as_ref().is_none_or(|allow| allow.contain(ip));
        allowed && !self.deny.contain(ip)
    }
}
