//! The endpoints of one upstream at one moment, with what the policy computed for them.

use std::sync::Arc;

use super::balance::{Choice, Filter, Pick, Policy, Table};
use super::endpoint::{Endpoint, EndpointState};
use super::shared::UpstreamState;

/// Most endpoints of one upstream, resolved addresses included.
pub const MAX_ENDPOINTS: usize = 4096;

/// An endpoint as policies see it: weight 1 or more, state one step away.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) state: Arc<EndpointState>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) weight: u32,
    /// Position in `EndpointSet::endpoints`.
    index: usize,
}

/// All members of one priority.
#[derive(Debug)]
struct Tier {
    members: Box<[Member]>,
    table: Table,
}

/// An immutable table of endpoints. A DNS answer, a runtime weight or a reload makes a new one.
#[derive(Debug)]
pub struct EndpointSet {
    endpoints: Box<[Arc<Endpoint>]>,
    /// Ascending priorities, none empty.
    tiers: Box<[Tier]>,
    shared: Arc<UpstreamState>,
}

/// What [`EndpointSet::pick`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Position in [`EndpointSet::endpoints`].
    pub index: usize,
    /// True if nothing was available, so that health was ignored.
    pub panic: bool,
}

impl EndpointSet {
    /// Computes the tables. Only the first 4,096 endpoints are taken.
    pub fn build(
        mut endpoints: Vec<Arc<Endpoint>>,
        policy: &Policy,
        shared: Arc<UpstreamState>,
    ) -> Self {
        endpoints.truncate(MAX_ENDPOINTS);
        let weighted = |endpoint: &&Arc<Endpoint>| endpoint.weight > 0;
        let mut priorities: Vec<u8> = endpoints
            .iter()
            .filter(weighted)
            .map(|e| e.priority)
            .collect();
        priorities.sort_unstable();
        priorities.dedup();
        let tier = |priority: u8| {
            let members: Box<[Member]> = endpoints
                .iter()
                .enumerate()
                .filter(|(_, endpoint)| endpoint.priority == priority && endpoint.weight > 0)
                .map(|(index, endpoint)| Member {
                    state: endpoint.state.clone(),
                    endpoint: endpoint.clone(),
                    weight: endpoint.weight,
                    index,
                })
                .collect();
            Tier {
                table: Table::build(policy, &members),
                members,
            }
        };
        Self {
            tiers: priorities.into_iter().map(tier).collect(),
            endpoints: endpoints.into_boxed_slice(),
            shared,
        }
    }

    /// All endpoints in configured order, those of weight 0 too.
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Chooses an endpoint. `None` only if every one is drained or of weight 0.
    ///
    /// Passes, each over all tiers in ascending priority: available and not tried; available;
    /// (panic) not tried; any. So a request tries a backup before it tries an endpoint again, and
    /// an endpoint that is down only when nothing is up.
    pub fn pick(&self, pick: &Pick<'_>) -> Option<Chosen> {
        let tried = (!pick.tried.is_empty()).then_some(pick.tried);
        let pass = |tried, only_available| {
            let filter = Filter {
                tried,
                only_available,
            };
            self.pass(pick, filter).map(|index| Chosen {
                index,
                panic: !only_available,
            })
        };
        if let found @ Some(_) = pass(tried, true) {
            return found;
        }
        let again = tried.and_then(|_| pass(None, true));
        again.or_else(|| pass(tried, false)).or_else(|| {
            // Without tried endpoints the pass before was this one.
            tried.and_then(|_| pass(None, false))
        })
    }

    fn pass(&self, pick: &Pick<'_>, filter: Filter<'_>) -> Option<usize> {
        self.tiers.iter().enumerate().find_map(|(number, tier)| {
            let choice = Choice {
                members: &tier.members,
                filter,
                pick,
                shared: &self.shared,
                lower: number > 0,
            };
            let member = tier.table.pick(&choice)?;
            tier.members.get(member).map(|member| member.index)
        })
    }
}
