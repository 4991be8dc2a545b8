//! Chains: which filters are called in a phase, decided once.
//!
//! A chain is sliced per phase when it is compiled. A request that passes a phase nobody asked for
//! pays for one length check.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use farmgate_plugin_api::{BodyMode, Fail, Filter, OverLimit, Phases, Services};

use super::when::When;
use crate::telemetry::metrics::{Histogram, PluginSeries};

/// A plugin as it stands in chains: one instance, whatever routes use it.
pub struct Instance {
    /// Number within the snapshot: the key of per-request state.
    pub id: u16,
    /// The plugin's name, or `route/kind#n` for an inline one.
    pub name: Arc<str>,
    /// The kind's name.
    pub kind: &'static str,
    /// The filter itself.
    pub filter: Arc<dyn Filter>,
    /// What follows when it fails.
    pub fail: Fail,
    /// `farmgate plugin NAME off` clears it; kept over reloads.
    pub on: Arc<AtomicBool>,
    /// Errors, panics, replies.
    pub series: PluginSeries,
    /// Time spent, per phase of [`Phases::ALL`].
    pub seconds: Vec<Histogram>,
    /// What the host lent; file watches and periodic tasks end when this is dropped.
    pub services: Arc<dyn Services>,
}

/// An instance at one place of a chain, with the condition it was written with.
#[derive(Clone)]
pub struct Link {
    /// The instance.
    pub instance: Arc<Instance>,
    /// `when = "..."`: the filter is called only if this holds.
    pub when: Option<Arc<When>>,
}

impl Link {
    /// True unless an operator switched the plugin off.
    pub fn is_on(&self) -> bool {
        self.instance.on.load(Ordering::Relaxed)
    }
}

/// How much of the request's body a chain wants before the origin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Stream,
    /// Up to `limit` bytes; `refuse` says whether a longer body is a 413 or streams on unseen.
    Buffer {
        /// The largest limit any filter of the chain asked for.
        limit: u64,
        /// True if any filter refuses longer bodies; then the limit is the smallest of those.
        refuse: bool,
    },
}

/// The filters of one place (a listener, a route), sliced per phase.
pub struct Chain {
    /// As written, for `explain` and documents.
    pub links: Box<[Link]>,
    /// The accept phase; empty but on listeners.
    pub accept: Box<[Link]>,
    /// The request's head.
    pub request_head: Box<[Link]>,
    /// The buffered body.
    pub request_body: Box<[Link]>,
    /// Each attempt.
    pub upstream_request: Box<[Link]>,
    /// Pieces of a streamed body.
    pub request_chunk: Box<[Link]>,
    /// The origin's head.
    pub origin_head: Box<[Link]>,
    /// Pieces of the origin's body.
    pub origin_body: Box<[Link]>,
    /// The head to the client.
    pub response_head: Box<[Link]>,
    /// Pieces to the client.
    pub response_body: Box<[Link]>,
    /// The end.
    pub log: Box<[Link]>,
    /// Whether the body is read to its end first.
    pub body: Body,
}

impl Chain {
    /// Slices `links`, which stand in the order written.
    pub fn new(links: Vec<Link>) -> Self {
        let of = |phase: Phases| -> Box<[Link]> {
            links
                .iter()
                .filter(|link| link.instance.filter.phases().contains(phase))
                .cloned()
                .collect()
        };
        Self {
            accept: of(Phases::ACCEPT),
            request_head: of(Phases::REQUEST_HEAD),
            request_body: of(Phases::REQUEST_BODY),
            upstream_request: of(Phases::UPSTREAM_REQUEST),
            request_chunk: of(Phases::REQUEST_CHUNK),
            origin_head: of(Phases::ORIGIN_HEAD),
            origin_body: of(Phases::ORIGIN_BODY),
            response_head: of(Phases::RESPONSE_HEAD),
            response_body: of(Phases::RESPONSE_BODY),
            log: of(Phases::LOG),
            body: body_of(links.iter().map(|link| link.instance.filter.body_mode())),
            links: links.into(),
        }
    }

    /// The filters of a phase.
    pub fn phase(&self, phase: Phases) -> &[Link] {
        match phase {
            Phases::ACCEPT => &self.accept,
            Phases::REQUEST_HEAD => &self.request_head,
            Phases::REQUEST_BODY => &self.request_body,
            Phases::UPSTREAM_REQUEST => &self.upstream_request,
            Phases::REQUEST_CHUNK => &self.request_chunk,
            Phases::ORIGIN_HEAD => &self.origin_head,
            Phases::ORIGIN_BODY => &self.origin_body,
            Phases::RESPONSE_HEAD => &self.response_head,
            Phases::RESPONSE_BODY => &self.response_body,
            Phases::LOG => &self.log,
            _ => &[],
        }
    }
}

/// What filters together want of the body.
pub fn body_of(modes: impl Iterator<Item = BodyMode>) -> Body {
    let mut refuse_at: Option<u64> = None;
    let mut partial_at: Option<u64> = None;
    for mode in modes {
        if let BodyMode::Buffered { limit, over } = mode {
            match over {
                OverLimit::Refuse => {
                    refuse_at = Some(refuse_at.map_or(limit, |known| known.min(limit)));
                }
                OverLimit::Partial => {
                    partial_at = Some(partial_at.map_or(limit, |known| known.max(limit)));
                }
            }
        }
    }
    match (refuse_at, partial_at) {
        (None, None) => Body::Stream,
        (Some(limit), _) => Body::Buffer {
            limit,
            refuse: true,
        },
        (None, Some(limit)) => Body::Buffer {
            limit,
            refuse: false,
        },
    }
}
