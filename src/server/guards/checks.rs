//! Active checks of endpoints, over the same TLS as their traffic.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use crate::protocol::proxy_protocol::own;
use crate::proxy::connection::Node;
use crate::snapshot::UpstreamPlan;
use crate::tls::Alpn;
use crate::upstream::health::{
    Change, Checker, DialFuture, Dialed, Dialer, FailureKind, PlainDialer, ProbeError, Spoken,
    Target, Why,
};
use crate::upstream::{EndpointAddress, EndpointState, Unavailable};

/// Starts the task that checks. It has nothing to check yet.
pub(super) fn checker(node: &Arc<Node>) -> Checker {
    let dialer = UpstreamDialer(Arc::clone(node));
    let node = Arc::clone(node);
    Checker::spawn(
        Arc::new(dialer),
        Arc::new(move |target: &Target, change: Change| tell(&node, target, &change)),
    )
}

/// What is to be checked now.
pub(super) fn targets(plans: impl Iterator<Item = Arc<UpstreamPlan>>) -> Vec<Target> {
    let mut targets = Vec::new();
    for plan in plans {
        let Some(options) = &plan.health else {
            continue;
        };
        for endpoint in plan.upstream.set().endpoints() {
            targets.push(Target {
                key: endpoint.state.id(),
                upstream: Arc::clone(plan.name()),
                address: endpoint.address.clone(),
                configured: Arc::clone(&endpoint.configured),
                options: Arc::clone(options),
                health: Arc::clone(&endpoint.state.health),
            });
        }
    }
    targets
}

fn tell(node: &Node, target: &Target, change: &Change) {
    let snapshot = node.current.load();
    let plan = snapshot.upstreams.get(&*target.upstream);
    let state = plan.and_then(|plan| state(plan, target.key));
    let Some(state) = state else {
        return;
    };
    state.set_unavailable(Unavailable::HealthCheck, change.holds_back());
    if !change.is_noticed() {
        return;
    }
    let (upstream, address) = (&target.upstream, &target.address);
    let (from, to) = (change.from.word(), change.to.word());
    match &change.why {
        Why::Failed(error) => {
            log::warn!("upstream {upstream}: endpoint {address} {from} -> {to}: {error}");
        }
        why => {
            let why = why.word();
            log::info!("upstream {upstream}: endpoint {address} {from} -> {to} ({why})");
        }
    }
}

fn state(plan: &UpstreamPlan, key: u64) -> Option<Arc<EndpointState>> {
    let set = plan.upstream.set();
    let found = set.endpoints().iter().find(|one| one.state.id() == key)?;
    Some(Arc::clone(&found.state))
}

/// Makes connections as the upstream's traffic has them.
struct UpstreamDialer(Arc<Node>);

impl Dialer for UpstreamDialer {
    fn dial<'a>(
        &'a self,
        target: &'a Target,
        address: &'a EndpointAddress,
        spoken: Spoken,
    ) -> DialFuture<'a> {
        Box::pin(async move {
            let (connector, proxy_protocol) = {
                let snapshot = self.0.current.load();
                let plan = snapshot.upstreams.get(&*target.upstream);
                let tls = plan.and_then(|plan| plan.tls.as_ref().map(|tls| tls.connector()));
                (tls, plan.and_then(|plan| plan.proxy_protocol))
            };
            let mut io = PlainDialer::connect(address).await?;
            // A port of its own has rules of its own; the traffic's expects the header of everybody.
            if let Some(version) = proxy_protocol
                && *address == target.address
            {
                io.write_all(&own(version)).await.map_err(|error| {
                    ProbeError::new(FailureKind::Connect, error.kind().to_string())
                })?;
            }
            let Some(connector) = connector else {
                return Ok(Dialed { io, tls: false });
            };
            let alpn = match spoken {
                Spoken::Nothing => Alpn::Both,
                Spoken::Http1 => Alpn::Http1,
                Spoken::Http2 => Alpn::H2,
            };
            let shaken = connector.handshake(io, alpn).await;
            let shaken =
                shaken.map_err(|error| ProbeError::new(FailureKind::Tls, error.to_string()))?;
            Ok(Dialed {
                io: Box::new(shaken),
                tls: true,
            })
        })
    }
}
