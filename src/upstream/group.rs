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
use super::endpoint::{Endpoint, EndpointId, MAX_WEIGHT};
use super::in_flight::InFlight;
use super::moved::MovedChange;
use super::set::{Chosen, EndpointSet, MAX_ENDPOINTS, NoPick, SetOptions};
use super::shared::{AddressBook, EndpointStore, UpstreamState};
use super::spec::{EndpointSpec, UpstreamError, UpstreamSpec};
use super::tried::TriedSet;

/// Choices among endpoints that fill up at that moment, before all are asked in turn.
const MAX_RACES: usize = 4;

/// Closes the idle connections of endpoints that `after` no longer has.
pub fn retire_missing(before: &EndpointSet, after: &EndpointSet) {
    let kept: BTreeSet<u64> = after.endpoints().iter().map(|one| one.state.id()).collect();
    for endpoint in before.endpoints() {
        if !kept.contains(&endpoint.state.id()) {
            endpoint.state.set_in_use(false);
            endpoint.state.lines.retire();
        }
    }
}

/// Tells the endpoints of a set that is published now. Those that come into service beside others
/// that serve already warm up; when all are new none does.
fn enter(set: &EndpointSet) {
    let serving = set.endpoints().iter().any(|one| one.state.is_in_use());
    for endpoint in set.endpoints() {
        let is_used = endpoint.weight > 0;
        if is_used && serving && !endpoint.state.is_in_use() {
            endpoint.state.came();
        }
        endpoint.state.set_in_use(is_used);
    }
}

/// An endpoint chosen for one attempt.
#[derive(Debug)]
pub struct Picked {
    /// Counts the attempt as in flight and holds its endpoint; keep it until the response ended.
    pub guard: InFlight,
    /// Position in the set it was chosen from.
    pub index: usize,
    /// True if too little was available, so that health was ignored.
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
    options: SetOptions,
    set: ArcSwap<EndpointSet>,
    /// What sets are made of; the lock also orders their makers. No choice takes it.
    source: Mutex<Source>,
    shared: Arc<UpstreamState>,
    store: Arc<dyn EndpointStore>,
    counts_sum: bool,
}

/// The entries, and what is known about the names among them.
#[derive(Default)]
struct Source {
    entries: Vec<(EndpointAddress, EntryPrint)>,
    resolved: BTreeMap<Arc<str>, Arc<[IpAddr]>>,
}

impl Source {
    /// Judges entries: none twice, weights in range, not too many.
    fn entries(
        specs: Vec<EndpointSpec>,
    ) -> Result<Vec<(EndpointAddress, EntryPrint)>, UpstreamError> {
        if specs.len() > MAX_ENDPOINTS {
            return Err(UpstreamError::TooManyEndpoints);
        }
        let mut seen = BTreeSet::new();
        let mut entries = Vec::with_capacity(specs.len());
        for endpoint in specs {
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
        Ok(entries)
    }

    fn hosts(&self) -> BTreeSet<&str> {
        let hosts = self.entries.iter().filter_map(|(a, _)| host_of(a));
        hosts.collect()
    }

    /// Takes what the book knows about the names; forgets names that are no entry any more.
    fn look_up(&mut self, book: &dyn AddressBook) {
        let hosts: BTreeSet<Arc<str>> = self.hosts().into_iter().map(Arc::from).collect();
        self.resolved.retain(|host, _| hosts.contains(host));
        for host in hosts {
            if let Some(addresses) = book.addresses(&host) {
                self.resolved.insert(host, addresses);
            }
        }
    }

    fn prints(&self) -> Vec<EntryPrint> {
        let prints = self.entries.iter().map(|(_, print)| print.clone());
        prints.collect()
    }
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
        let entries = Source::entries(spec.endpoints)?;
        let shared = store.upstream(&spec.name);
        let empty = EndpointSet::build(Vec::new(), &spec.policy, &spec.options, shared.clone());
        let upstream = Self {
            set: ArcSwap::from_pointee(empty),
            counts_sum: spec.policy.counts_sum(),
            name: spec.name,
            policy: spec.policy,
            options: spec.options,
            source: Mutex::default(),
            shared,
            store,
        };
        let mut source = upstream.source.lock();
        source.entries = entries;
        source.look_up(book);
        upstream
            .set
            .store(Arc::new(upstream.build_set(&source, false)));
        drop(source);
        Ok(upstream)
    }

    /// Call once after the snapshot is published: forgets runtime changes of entries that
    /// changed, applies the others, and takes over names resolved since `build`.
    pub fn activate(&self, book: &dyn AddressBook) {
        let mut source = self.source.lock();
        source.look_up(book);
        self.shared.controls.retain(&source.prints());
        self.publish(&source);
    }

    /// The upstream's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How endpoints are chosen.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What else decides about the choice.
    pub fn options(&self) -> &SetOptions {
        &self.options
    }

    /// The host names to resolve, each once, sorted.
    pub fn names(&self) -> Vec<Arc<str>> {
        let source = self.source.lock();
        source.hosts().into_iter().map(Arc::from).collect()
    }

    /// The set in force.
    pub fn set(&self) -> Guard<Arc<EndpointSet>> {
        self.set.load()
    }

    /// State shared by all snapshots of this upstream.
    pub fn shared(&self) -> &Arc<UpstreamState> {
        &self.shared
    }

    /// Chooses an endpoint for one attempt at `now` and counts it as in flight.
    pub fn pick(
        &self,
        hash: Option<u64>,
        tried: &TriedSet,
        now: Instant,
    ) -> Result<Picked, NoPick> {
        let set = self.set.load();
        let limit = set.limit();
        let sum = self.counts_sum.then_some(&self.shared);
        let picked = |chosen: Chosen, guard: InFlight| Picked {
            guard: match limit {
                Some(_) => guard.with_gate(&self.shared.gate),
                None => guard,
            },
            index: chosen.index,
            panic: chosen.panic,
        };
        for _ in 0..MAX_RACES {
            let chosen = set.pick(&Pick {
                hash,
                tried,
                now,
                random: random::next_u64(),
            })?;
            let endpoint = set.endpoints().get(chosen.index).ok_or(NoPick::None)?;
            // Fails only when others took its last place since the choice looked at it.
            if let Some(guard) = InFlight::try_start(endpoint, sum, limit) {
                return Ok(picked(chosen, guard));
            }
        }
        let take = |endpoint: &Arc<Endpoint>| InFlight::try_start(endpoint, sum, limit);
        let found = match set.first_with_room(false, take) {
            Err(NoPick::None) => set.first_with_room(true, take),
            found => found,
        };
        found.map(|(chosen, guard)| picked(chosen, guard))
    }

    /// True if an endpoint is left that may be chosen and is neither among `tried` nor `last`.
    pub fn has_untried(&self, tried: &TriedSet, last: Option<&Picked>) -> bool {
        let last = last.map(|picked| picked.endpoint().state.id());
        let set = self.set.load();
        set.endpoints().iter().any(|endpoint| {
            let state = &endpoint.state;
            endpoint.weight > 0
                && state.is_available()
                && !state.is_drained()
                && !tried.contains(state.id())
                && Some(state.id()) != last
        })
    }

    /// Attempts in flight to all endpoints. Looks at each of them.
    pub fn in_flight(&self) -> u64 {
        let set = self.set.load();
        let each = set.endpoints().iter();
        each.map(|endpoint| u64::from(endpoint.state.in_flight()))
            .sum()
    }

    /// Takes a new answer for `host`. Returns true if the set changed. An empty answer is
    /// ignored: the last good addresses stay.
    pub fn resolved(&self, host: &str, addresses: &Arc<[IpAddr]>) -> bool {
        let mut source = self.source.lock();
        let known = source
            .resolved
            .get(host)
            .is_some_and(|old| old == addresses);
        if known || addresses.is_empty() || !source.hosts().contains(host) {
            return false;
        }
        source.resolved.insert(host.into(), addresses.clone());
        self.publish(&source);
        true
    }

    /// Takes other entries, from discovery. Returns true if the set changed. No entries at all are
    /// ignored, as an empty answer about a name is: the last good ones stay. After an error nothing
    /// has changed. Runtime changes follow their address, whatever weight, priority or zone a
    /// registry gives it: a drain ends only by an operator.
    pub fn set_entries(
        &self,
        endpoints: Vec<EndpointSpec>,
        book: &dyn AddressBook,
    ) -> Result<bool, UpstreamError> {
        let entries = Source::entries(endpoints)?;
        let mut source = self.source.lock();
        if entries.is_empty() || entries == source.entries {
            return Ok(false);
        }
        source.entries = entries;
        source.look_up(book);
        self.shared.controls.follow(&source.prints());
        self.publish(&source);
        Ok(true)
    }

    /// How uneven the requests since the last call were, see [`EndpointSet::imbalance`].
    pub fn imbalance(&self) -> Option<f64> {
        self.set.load().imbalance()
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
        let source = self.source.lock();
        let by_entry = source
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
            source.entries.iter().find(same)
        };
        let (_, print) = by_entry
            .or_else(by_member)
            .ok_or(ControlError::UnknownEndpoint)?;
        self.shared.controls.apply(&text, print.clone(), control)?;
        let set = self.publish(&source);
        let holds = |e: &&Arc<Endpoint>| *e.configured == *text || e.address.to_string() == text;
        Ok(set.endpoints().iter().filter(holds).count())
    }

    /// Takes over runtime changes of another process, each only if its entry is the same here, as a reload does.
    /// Returns how many were taken.
    pub fn take_over(&self, changes: &[MovedChange]) -> usize {
        let source = self.source.lock();
        let take = |change: &&MovedChange| {
            let sound = change.weight.is_none_or(|weight| weight <= MAX_WEIGHT)
                && change.address.parse::<EndpointAddress>().is_ok();
            let entry = source.entries.iter().find(|(_, print)| print.is_of(change));
            sound
                && entry
                    .is_some_and(|(_, entry)| self.shared.controls.take_over(entry.clone(), change))
        };
        let taken = changes.iter().filter(take).count();
        if taken > 0 {
            self.publish(&source);
        }
        taken
    }

    /// Puts a new set into force. Endpoints that came may warm up, those that went are closed.
    fn publish(&self, source: &Source) -> Arc<EndpointSet> {
        let next = Arc::new(self.build_set(source, true));
        enter(&next);
        let before = self.set.swap(Arc::clone(&next));
        retire_missing(&before, &next);
        next
    }

    /// Makes the set. With `apply` drains are written to the endpoints' shared states, too.
    fn build_set(&self, source: &Source, apply: bool) -> EndpointSet {
        let mut endpoints = Vec::with_capacity(source.entries.len());
        for (address, print) in &source.entries {
            let EndpointAddress::Name { host, port } = address else {
                endpoints.push(self.build_endpoint(address.clone(), print, None, apply));
                continue;
            };
            for ip in source.resolved.get(host).iter().flat_map(|ips| ips.iter()) {
                let socket = SocketAddr::new(*ip, *port);
                let address = EndpointAddress::Socket(socket);
                endpoints.push(self.build_endpoint(address, print, Some(socket), apply));
            }
        }
        if endpoints.len() > MAX_ENDPOINTS {
            let (name, count) = (&self.name, endpoints.len());
            log::warn!("upstream {name} has {count} addresses; {MAX_ENDPOINTS} are used");
        }
        EndpointSet::build(endpoints, &self.policy, &self.options, self.shared.clone())
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
