//! Endpoints that are discovered.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::proxy::connection::Node;
use crate::snapshot::{Snapshot, UpstreamPlan};
use crate::telemetry::guard::Churn;
use crate::telemetry::metrics::DiscoveryMetrics;
use crate::tls::Alpn;
use crate::tls::upstream::{Oldest, Settings, UpstreamTls, server_name};
use crate::upstream::discovery::allow;
use crate::upstream::discovery::dial::{Dialer, Dialing, PlainDialer, Remote, Stream};
use crate::upstream::discovery::follow::{Counts, Deps, Follower, Status, Wanted};
use crate::upstream::discovery::kept::Kept;
use crate::upstream::discovery::source::Found;
use crate::upstream::discovery::sources::opener;
use crate::upstream::group::retire_missing;
use crate::upstream::{EndpointAddress, EndpointSpec, NoAddresses};

/// Starts the task that follows all sources. It has none yet.
pub(super) fn follower(node: &Arc<Node>, state: Option<&Path>) -> Follower {
    let node = Arc::clone(node);
    Follower::spawn(Deps {
        sink: Arc::new(move |upstream: &Arc<str>, found: Arc<[Found]>| {
            if let Some(plan) = node.current.load().upstreams.get(upstream) {
                take(plan, &found);
            }
        }),
        judge: allow::judge,
        open: opener(Arc::new(SourceDialer)),
        kept: state.map(Kept::new),
    })
}

/// The sources of a snapshot.
pub(super) fn wanted(snapshot: &Snapshot) -> Vec<Wanted> {
    let wanted = |plan: &Arc<UpstreamPlan>| {
        Some(Wanted {
            upstream: Arc::clone(plan.name()),
            options: Arc::clone(plan.discovery.as_ref()?),
        })
    };
    snapshot.upstreams.values().filter_map(wanted).collect()
}

/// Gives an upstream the endpoints that were found for it.
pub(super) fn take(plan: &UpstreamPlan, found: &[Found]) {
    if plan.discovery.is_none() {
        return;
    }
    let specs = found.iter().map(|found| EndpointSpec {
        address: EndpointAddress::Socket(found.address),
        weight: found.weight,
        priority: found.priority,
        zone: found.zone.clone(),
    });
    let before = plan.upstream.set().clone();
    match plan.upstream.set_entries(specs.collect(), &NoAddresses) {
        Ok(true) => {
            let after = plan.upstream.set();
            retire_missing(&before, &after);
            let (name, count) = (plan.name(), after.endpoints().len());
            log::info!("upstream {name} has {count} endpoints now");
        }
        Ok(false) => {}
        Err(error) => log::warn!("upstream {}: its source says {error}", plan.name()),
    }
}

/// What was counted of the sources so far: metrics get what came since.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<BTreeMap<Arc<str>, Counts>>);

impl Told {
    /// Brings the metrics of the upstreams in force up to what is known now.
    pub(super) fn count(&self, snapshot: &Snapshot, now: &[Status]) {
        let mut told = self.0.lock();
        told.retain(|name, _| now.iter().any(|status| status.upstream == *name));
        for status in now {
            let Some(metrics) = snapshot
                .upstreams
                .get(&status.upstream)
                .and_then(|plan| plan.discovery_metrics.as_ref())
            else {
                continue;
            };
            let before = told.insert(Arc::clone(&status.upstream), status.counts);
            show(metrics, status, &before.unwrap_or_default());
        }
    }
}

fn show(metrics: &DiscoveryMetrics, status: &Status, before: &Counts) {
    let whole = |n: u128| i64::try_from(n).unwrap_or(i64::MAX);
    if let Some(age) = status.age {
        metrics.age.set(whole(age.as_secs().into()));
    }
    metrics.stale.set(i64::from(status.is_stale));
    metrics.lag.set(whole(status.lag.as_millis()));
    let all = status.endpoints.len().max(1);
    metrics
        .private
        .set(whole((status.private * 1000 / all) as u128));
    let counts = &status.counts;
    // An upstream that left and came back is counted from nothing again.
    let since = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
    metrics.changed(Churn::Added, since(counts.added, before.added));
    metrics.changed(Churn::Removed, since(counts.removed, before.removed));
    metrics
        .failures
        .add(since(counts.failures, before.failures));
    metrics.refused.add(since(counts.refused, before.refused));
    metrics.unsaved.add(since(counts.unsaved, before.unsaved));
}

/// Connections to the sources that speak HTTP: with TLS their certificate is checked against their name and the system's
/// authorities.
struct SourceDialer;

impl Dialer for SourceDialer {
    fn dial<'a>(&'a self, to: &'a Remote) -> Dialing<'a> {
        if !to.is_tls {
            return PlainDialer.dial(to);
        }
        Box::pin(async move {
            let settings = Settings {
                sni: server_name(&to.host)
                    .ok_or_else(|| io::Error::other("with https:// the source needs a name"))?,
                san: Vec::new(),
                ca: None,
                own: None,
                oldest: Oldest::V12,
                verify: true,
            };
            // The system's authorities are files.
            let built = tokio::task::spawn_blocking(move || UpstreamTls::open(settings)).await;
            let connector = built
                .map_err(io::Error::other)?
                .map_err(|error| io::Error::other(error.to_string()))?;
            let stream = TcpStream::connect((&*to.host, to.port)).await?;
            stream.set_nodelay(true)?;
            let shaken = connector.connector().handshake(stream, Alpn::Http1).await;
            let stream = shaken.map_err(|error| io::Error::other(error.to_string()))?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}
