//! Why an upgrade is refused before anything is looked at.

use std::time::Instant;

use super::Phase;
use crate::server::Server;

/// The reason, if there is one now: for who does not wait for the upgrade's end.
pub fn refusal(server: &Server) -> Option<String> {
    let begun = *server.upgrades.phase.borrow();
    begun.map(under_way).or_else(|| standing(server))
}

pub(super) fn under_way((at, since): (Phase, Instant)) -> String {
    format!(
        "an upgrade is under way ({}, for {} s): one at a time",
        at.as_str(),
        since.elapsed().as_secs()
    )
}

/// The reasons that lie in the node, not in another upgrade.
pub(super) fn standing(server: &Server) -> Option<String> {
    // When the first process of a container or of a pid namespace ends, the kernel kills all others.
    if std::process::id() == 1 {
        return Some("process 1 of a container cannot be replaced: start a container of the new image, then stop this one (`farmgate reload` takes a new configuration)".to_owned());
    }
    let upgrades = &server.upgrades;
    if *upgrades.stopping.borrow() || server.node.is_draining() || server.drain.lock().is_some() {
        return Some("the node is draining: it will stop, not be upgraded".to_owned());
    }
    let (draining, most) = (upgrades.elders.count(), server.settings().upgrade.draining);
    (draining >= most).then(|| {
        format!(
            "{draining} old processes still drain, server.upgrade.draining allows {most}: wait until one has ended, see `farmgate status`"
        )
    })
}
