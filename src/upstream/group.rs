//! An upstream: the entries of the configuration, and the set they give now.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use super::address::EndpointAddress;
use super::balance::{Pick, Policy, random};
use super::control::{Control, ControlError, EntryPrint};
use super::endpoint::{Endpoint, EndpointId, InFlight, MAX_WEIGHT};
use super::moved::MovedChange;
use super::set::{EndpointSet, MAX_ENDPOINTS};
use super::shared::{AddressBook, EndpointStore, UpstreamState};
use super::spec::{UpstreamError, UpstreamSpec};
use super::tried::TriedSet;

/// Closes the idle connections of endpoints that `after` no longer has.
pub fn retire_missing(before: &EndpointSet, after: &EndpointSet) {
    for endpoint in before.endpoints() {
        let kept = |other: &Arc<Endpoint>| other.state.id() == endpoint.state.id();
        if !after.endpoints().iter().any(kept) {
            endpoint.state.lines.retire();
        }
    }
}

/// An endpoint chosen for one attempt.
#[derive(Debug)]
pub struct Picked {
    /// Counts the attempt as in flight and holds its endpoint; keep it until the response ended.
    pub guard: InFlight,
    /// Position in the set it was chosen from.
    pub index: usize,
    /// True if nothing was available, so that health was ignored.
    pub panic: bool,
}

impl Picked {
    /// Where to send the attempt.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        self.guard.endpoint()
    }
}

/// A named group of endpoints of one snapshot.
pub struct Upstream {
    name: Arc<str>,
    policy: Policy,
    entries: Vec<(EndpointAddress, EntryPrint)>,
    set: ArcSwap<EndpointSet>,
    /// Addresses of names; the lock also orders the makers of new sets.
    resolved: Mutex<BTreeMap<Arc<str>, Arc<[IpAddr]>>>,
    shared: Arc<UpstreamState>,
    store: Arc<dyn EndpointStore>,
    counts_sum: bool,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    /// Builds the upstream from what is known now. Changes nothing that others see; after the
    /// snapshot is published call [`activate`](Self::activate).
    pub fn build(
        spec: UpstreamSpec,
        store: Arc<dyn EndpointStore>,
        book: &dyn AddressBook,
    ) -> Result<Self, UpstreamError> {
        if spec.endpoints.len() > MAX_ENDPOINTS {
            return Err(UpstreamError::TooManyEndpoints);
        }
        let mut seen = BTreeSet::new();
        let mut entries = Vec::with_capacity(spec.endpoints.len());
        for endpoint in spec.endpoints {
            let configured: Arc<str> = endpoint.address.to_string().into();
            if !seen.insert(configured.clone()) {
                return Err(UpstreamError::Duplicate(configured));
            }
            if endpoint.weight > MAX_WEIGHT {
                return Err(UpstreamError::WeightOutOfRange(configured));
            }
            let print = EntryPrint {
                configured,
                weight: endpoint.weight,
                priority: endpoint.priority,
                zone: endpoint.zone,
            };
            entries.push((endpoint.address, print));
        }
        let shared = store.upstream(&spec.name);
        let upstream = Self {
            set: ArcSwap::from_pointee(EndpointSet::build(
                Vec::new(),
                &spec.policy,
                shared.clone(),
            )),
            counts_sum: spec.policy.counts_sum(),
            name: spec.name,
            policy: spec.policy,
            entries,
            resolved: Mutex::default(),
            shared,
            store,
        };
        let mut resolved = upstream.resolved.lock();
        for host in upstream.names() {
            if let Some(addresses) = book.addresses(host) {
                resolved.insert(host.into(), addresses);
            }
        }
        upstream
            .set
            .store(Arc::new(upstream.build_set(&resolved, false)));
        drop(resolved);
        Ok(upstream)
    }

    /// Call once after the snapshot is published: forgets runtime changes of entries that
    /// changed, applies the others, and takes over names resolved since `build`.
    pub fn activate(&self, book: &dyn AddressBook) {
        let prints: Vec<EntryPrint> = self
            .entries
            .iter()
            .map(|(_, print)| print.clone())
            .collect();
        let mut resolved = self.resolved.lock();
        for host in self.names() {
            if let Some(addresses) = book.addresses(host) {
                resolved.insert(host.into(), addresses);
            }
        }
        self.shared.controls.retain(&prints);
        self.set.store(Arc::new(self.build_set(&resolved, true)));
    }

    /// The upstream's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How endpoints are chosen.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The host names to resolve, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let hosts: BTreeSet<&str> = self
            .entries
            .iter()
            .filter_map(|(a, _)| host_of(a))
            .collect();
        hosts.into_iter()
    }

    /// The set in force.
    pub fn set(&self) -> Guard<Arc<EndpointSet>> {
        self.set.load()
    }

    /// State shared by all snapshots of this upstream.
    pub fn shared(&self) -> &Arc<UpstreamState> {
        &self.shared
    }

    /// Chooses an endpoint for one attempt at `now` and counts it as in flight. `None` if no
    /// endpoint may get anything: all drained, of weight 0, or names without an answer so far.
    pub fn pick(&self, hash: Option<u64>, tried: &TriedSet, now: Instant) -> Option<Picked> {
        let set = self.set.load();
        let chosen = set.pick(&Pick {
            hash,
            tried,
            now,
            random: random::next_u64(),
        })?;
        let endpoint = set.endpoints().get(chosen.index)?.clone();
        let sum = self.counts_sum.then(|| self.shared.clone());
        Some(Picked {
            guard: InFlight::start(endpoint, sum),
            index: chosen.index,
            panic: chosen.panic,
        })
    }

    /// Takes a new answer for `host`. Returns true if the set changed. An empty answer is
    /// ignored: the last good addresses stay.
    pub fn resolved(&self, host: &str, addresses: &Arc<[IpAddr]>) -> bool {
        let mut resolved = self.resolved.lock();
        let known = resolved.get(host).is_some_and(|known| known == addresses);
        if known || addresses.is_empty() || !self.names().any(|name| name == host) {
            return false;
        }
        resolved.insert(host.into(), addresses.clone());
        let next = Arc::new(self.build_set(&resolved, true));
        let before = self.set.swap(Arc::clone(&next));
        retire_missing(&before, &next);
        true
    }

    /// Changes an endpoint at runtime. `address` is the text of an entry (then all addresses of
    /// a name change) or of one resolved address. Returns how many endpoints it holds for now.
    pub fn control(&self, address: &str, control: Control) -> Result<usize, ControlError> {
        if matches!(control, Control::Weight(weight) if weight > MAX_WEIGHT) {
            return Err(ControlError::WeightOutOfRange);
        }
        let text = match address.parse::<EndpointAddress>() {
            Ok(parsed) => parsed.to_string(),
            Err(_) => return Err(ControlError::UnknownEndpoint),
        };
        let resolved = self.resolved.lock();
        let by_entry = self
            .entries
            .iter()
            .find(|(_, print)| *print.configured == *text);
        let by_member = || {
            let set = self.set.load();
            let member = set
                .endpoints()
                .iter()
                .find(|e| e.address.to_string() == text)?;
            let same = |(_, print): &&(_, EntryPrint)| print.configured == member.configured;
            self.entries.iter().find(same)
        };
        let (_, print) = by_entry
            .or_else(by_member)
            .ok_or(ControlError::UnknownEndpoint)?;
        self.shared.controls.apply(&text, print.clone(), control)?;
        let set = self.build_set(&resolved, true);
        let holds = |e: &&Arc<Endpoint>| *e.configured == *text || e.address.to_string() == text;
        let count = set.endpoints().iter().filter(holds).count();
        self.set.store(Arc::new(set));
        Ok(count)
    }

    /// Takes over runtime changes of another process, each only if its entry is the same here, as a reload does.
    /// Returns how many were taken.
    pub fn take_over(&self, changes: &[MovedChange]) -> usize {
        let resolved = self.resolved.lock();
        let take = |change: &&MovedChange| {
            let sound = change.weight.is_none_or(|weight| weight <= MAX_WEIGHT)
                && change.address.parse::<EndpointAddress>().is_ok();
            let entry = self.entries.iter().find(|(_, print)| print.is_of(change));
            sound
                && entry
                    .is_some_and(|(_, entry)| self.shared.controls.take_over(entry.clone(), change))
        };
        let taken = changes.iter().filter(take).count();
        if taken > 0 {
            self.set.store(Arc::new(self.build_set(&resolved, true)));
        }
        taken
    }

    /// Makes the set. With `apply` drains are written to the endpoints' shared states, too.
    fn build_set(&self, resolved: &BTreeMap<Arc<str>, Arc<[IpAddr]>>, apply: bool) -> EndpointSet {
        let mut endpoints = Vec::with_capacity(self.entries.len());
        for (address, print) in &self.entries {
            let EndpointAddress::Name { host, port } = address else {
                endpoints.push(self.build_endpoint(address.clone(), print, None, apply));
                continue;
            };
            for ip in resolved.get(host).iter().flat_map(|ips| ips.iter()) {
                let socket = SocketAddr::new(*ip, *port);
                let address = EndpointAddress::Socket(socket);
                endpoints.push(self.build_endpoint(address, print, Some(socket), apply));
            }
        }
        if endpoints.len() > MAX_ENDPOINTS {
            let (name, count) = (&self.name, endpoints.len());
            log::warn!("upstream {name} has {count} addresses; {MAX_ENDPOINTS} are used");
        }
        EndpointSet::build(endpoints, &self.policy, self.shared.clone())
    }

    fn build_endpoint(
        &self,
        address: EndpointAddress,
        print: &EntryPrint,
        resolved: Option<SocketAddr>,
        apply: bool,
    ) -> Arc<Endpoint> {
        let in_force = self.shared.controls.in_force(print, &address.to_string());
        let state = self.store.endpoint(&EndpointId {
            upstream: self.name.clone(),
            configured: print.configured.clone(),
            resolved,
        });
        if apply {
            state.set_drained(in_force.drained);
        }
        Arc::new(Endpoint {
            address,
            configured: print.configured.clone(),
            weight: in_force.weight.unwrap_or(print.weight),
            priority: print.priority,
            zone: print.zone.clone(),
            state,
        })
    }
}

fn host_of(address: &EndpointAddress) -> Option<&str> {
    match address {
        EndpointAddress::Name { host, .. } => Some(host),
        EndpointAddress::Socket(_) | EndpointAddress::Unix(_) => None,
    }
}

#[cfg(test)]
mod tests;
