//! Endpoints that are discovered.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::proxy::connection::Node;
use crate::snapshot::{Snapshot, UpstreamPlan};
use crate::tls::Alpn;
use crate::tls::upstream::{Oldest, Settings, UpstreamTls, server_name};
use crate::upstream::discovery::allow;
use crate::upstream::discovery::dial::{Dialer, Dialing, PlainDialer, Remote, Stream};
use crate::upstream::discovery::follow::{Deps, Follower, Wanted};
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
