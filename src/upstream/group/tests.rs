mod at_run_time;

use std::collections::HashMap;

use super::*;
use crate::upstream::endpoint::EndpointState;
use crate::upstream::shared::NoAddresses;

/// Keeps every state for ever, as snapshots in use would.
#[derive(Default)]
struct Keeper {
    endpoints: Mutex<HashMap<EndpointId, Arc<EndpointState>>>,
    upstreams: Mutex<HashMap<Arc<str>, Arc<UpstreamState>>>,
}

impl EndpointStore for Keeper {
    fn endpoint(&self, id: &EndpointId) -> Arc<EndpointState> {
        self.endpoints.lock().entry(id.clone()).or_default().clone()
    }

    fn upstream(&self, name: &Arc<str>) -> Arc<UpstreamState> {
        self.upstreams
            .lock()
            .entry(name.clone())
            .or_default()
            .clone()
    }

    fn bulkhead(&self) -> Arc<crate::upstream::limits::Bulkhead> {
        Arc::default()
    }
}

struct OneName(Arc<[IpAddr]>);

impl AddressBook for OneName {
    fn addresses(&self, host: &str) -> Option<Arc<[IpAddr]>> {
        (host == "app.internal").then(|| self.0.clone())
    }
}

fn ips(texts: &[&str]) -> Arc<[IpAddr]> {
    texts
        .iter()
        .map(|text| text.parse::<IpAddr>().unwrap())
        .collect()
}

fn spec(endpoints: &[(&str, u32)]) -> UpstreamSpec {
    let one = |&(address, weight): &(&str, u32)| EndpointSpec {
        address: address.parse().unwrap(),
        weight,
        priority: 0,
        zone: None,
    };
    UpstreamSpec {
        name: "app".into(),
        endpoints: endpoints.iter().map(one).collect(),
        policy: Policy::RoundRobin,
        options: SetOptions::default(),
    }
}

/// As a start or a reload: built, published, activated.
fn published(store: &Arc<Keeper>, endpoints: &[(&str, u32)]) -> Upstream {
    let upstream = Upstream::build(spec(endpoints), store.clone(), &NoAddresses).unwrap();
    upstream.activate(&NoAddresses);
    upstream
}

fn shares(upstream: &Upstream, picks: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..picks {
        let tried = TriedSet::new();
        if let Ok(picked) = upstream.pick(None, &tried, Instant::now()) {
            *shares
                .entry(picked.endpoint().address.to_string())
                .or_default() += 1;
        }
    }
    shares
}

fn expected(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs
        .iter()
        .map(|&(name, count)| (name.into(), count))
        .collect()
}

#[test]
fn a_pick_counts_in_flight_until_it_is_dropped() {
    let upstream = published(
        &Arc::default(),
        &[("10.0.0.1:80", 1), ("unix:/run/a.sock", 1)],
    );
    let picked = upstream
        .pick(None, &TriedSet::new(), Instant::now())
        .unwrap();
    assert_eq!(picked.endpoint().state.in_flight(), 1);
    assert_eq!(
        upstream.set().endpoints()[picked.index].configured,
        picked.endpoint().configured
    );
    let state = picked.endpoint().state.clone();
    drop(picked);
    assert_eq!(state.in_flight(), 0);
}

#[test]
fn wrong_specs_are_refused() {
    let build =
        |spec| Upstream::build(spec, Arc::new(Keeper::default()), &NoAddresses).unwrap_err();
    let twice = build(spec(&[("a.test:80", 1), ("A.TEST.:80", 2)]));
    assert_eq!(twice, UpstreamError::Duplicate("a.test:80".into()));
    let heavy = build(spec(&[("10.0.0.1:80", MAX_WEIGHT + 1)]));
    assert_eq!(heavy, UpstreamError::WeightOutOfRange("10.0.0.1:80".into()));
}

#[test]
fn a_name_has_no_endpoint_before_its_first_answer_and_follows_answers() {
    let store = Arc::new(Keeper::default());
    let upstream = published(&store, &[("app.internal:80", 2), ("app.internal:81", 1)]);
    assert_eq!(upstream.names(), ["app.internal".into()]);
    let nothing = upstream.pick(None, &TriedSet::new(), Instant::now());
    assert_eq!(nothing.err(), Some(NoPick::None));
    assert!(!upstream.resolved("other.internal", &ips(&["10.0.0.9"])));
    assert!(upstream.resolved("app.internal", &ips(&["10.0.0.1", "::1"])));
    let both = expected(&[
        ("10.0.0.1:80", 20),
        ("10.0.0.1:81", 10),
        ("[::1]:80", 20),
        ("[::1]:81", 10),
    ]);
    assert_eq!(shares(&upstream, 60), both);
    let first = upstream.set().endpoints()[0].state.id();
    assert!(!upstream.resolved("app.internal", &ips(&["10.0.0.1", "::1"])));
    assert!(!upstream.resolved("app.internal", &ips(&[])));
    assert!(upstream.resolved("app.internal", &ips(&["10.0.0.1"])));
    assert_eq!(
        shares(&upstream, 30),
        expected(&[("10.0.0.1:80", 20), ("10.0.0.1:81", 10)])
    );
    // The same address is the same endpoint, with its state.
    assert_eq!(upstream.set().endpoints()[0].state.id(), first);
    assert_eq!(
        &*upstream.set().endpoints()[0].configured,
        "app.internal:80"
    );
}

#[test]
fn a_new_snapshot_starts_with_the_known_addresses() {
    let store = Arc::new(Keeper::default());
    let book = OneName(ips(&["10.0.0.1"]));
    let upstream = Upstream::build(spec(&[("app.internal:80", 1)]), store, &book).unwrap();
    assert_eq!(shares(&upstream, 1), expected(&[("10.0.0.1:80", 1)]));
    // An answer that came between build and publication is not lost.
    upstream.activate(&OneName(ips(&["10.0.0.2"])));
    assert_eq!(shares(&upstream, 1), expected(&[("10.0.0.2:80", 1)]));
}

#[test]
fn runtime_weight_and_drain() {
    let upstream = published(&Arc::default(), &[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)]);
    assert_eq!(upstream.control("10.0.0.1:80", Control::Weight(3)), Ok(1));
    assert_eq!(
        shares(&upstream, 40),
        expected(&[("10.0.0.1:80", 30), ("10.0.0.2:80", 10)])
    );
    assert_eq!(upstream.control("10.0.0.2:80", Control::Drain), Ok(1));
    assert_eq!(shares(&upstream, 4), expected(&[("10.0.0.1:80", 4)]));
    assert_eq!(upstream.control("10.0.0.1:80", Control::Weight(0)), Ok(1));
    assert_eq!(shares(&upstream, 4), expected(&[]));
    assert_eq!(upstream.control("10.0.0.2:80", Control::Enable), Ok(1));
    assert_eq!(shares(&upstream, 4), expected(&[("10.0.0.2:80", 4)]));
    let unknown = Err(ControlError::UnknownEndpoint);
    assert_eq!(upstream.control("10.0.0.3:80", Control::Drain), unknown);
    assert_eq!(upstream.control("nonsense", Control::Drain), unknown);
    let weight = Control::Weight(MAX_WEIGHT + 1);
    assert_eq!(
        upstream.control("10.0.0.1:80", weight),
        Err(ControlError::WeightOutOfRange)
    );
}

#[test]
fn a_drained_name_stays_drained_for_new_addresses_and_one_address_alone_can_be() {
    let upstream = published(&Arc::default(), &[("app.internal:80", 1)]);
    upstream.resolved("app.internal", &ips(&["10.0.0.1", "10.0.0.2"]));
    assert_eq!(upstream.control("10.0.0.1:80", Control::Drain), Ok(1));
    assert_eq!(shares(&upstream, 4), expected(&[("10.0.0.2:80", 4)]));
    assert_eq!(upstream.control("App.Internal:80", Control::Drain), Ok(2));
    upstream.resolved("app.internal", &ips(&["10.0.0.3"]));
    assert_eq!(shares(&upstream, 4), expected(&[]));
    assert_eq!(upstream.control("app.internal:80", Control::Enable), Ok(1));
    assert_eq!(shares(&upstream, 4), expected(&[("10.0.0.3:80", 4)]));
}

/// Over the wire and back.
fn sent(changes: &[MovedChange]) -> Vec<MovedChange> {
    serde_json::from_slice(&serde_json::to_vec(changes).unwrap()).unwrap()
}

#[test]
fn runtime_changes_go_on_in_another_process_while_their_entry_is_the_same() {
    let entries = [
        ("10.0.0.1:80", 1),
        ("10.0.0.2:80", 1),
        ("app.internal:80", 2),
    ];
    let old = published(&Arc::default(), &entries);
    old.resolved("app.internal", &ips(&["10.0.0.8", "10.0.0.9"]));
    old.control("10.0.0.1:80", Control::Drain).unwrap();
    old.control("10.0.0.2:80", Control::Weight(4)).unwrap();
    old.control("10.0.0.9:80", Control::Drain).unwrap();
    let changes = sent(&old.shared().changes("app"));
    assert_eq!(changes.len(), 3);

    let same = published(&Arc::default(), &entries);
    assert_eq!(same.take_over(&changes), 3);
    // The answer about the name comes later than the change.
    same.resolved("app.internal", &ips(&["10.0.0.8", "10.0.0.9"]));
    let shared = expected(&[("10.0.0.2:80", 40), ("10.0.0.8:80", 20)]);
    assert_eq!(shares(&same, 60), shared);

    // Another weight, no such entry, a name that is an address now: nothing of it holds.
    let changed = [("10.0.0.1:80", 1), ("10.0.0.2:80", 2), ("10.0.0.9:80", 1)];
    let other = published(&Arc::default(), &changed);
    assert_eq!(other.take_over(&changes), 1);
    let shared = expected(&[("10.0.0.2:80", 40), ("10.0.0.9:80", 20)]);
    assert_eq!(shares(&other, 60), shared);

    // What an operator asked for here stays; what is no address or no weight is not taken.
    let here = published(&Arc::default(), &entries);
    here.control("10.0.0.2:80", Control::Weight(1)).unwrap();
    let mut wrong = changes.clone();
    wrong[0].address = "no address".into();
    wrong[1].weight = Some(7);
    wrong[2].weight = Some(MAX_WEIGHT + 1);
    assert_eq!(here.take_over(&wrong), 1);
    let shared = expected(&[("10.0.0.1:80", 20), ("10.0.0.2:80", 20)]);
    assert_eq!(shares(&here, 40), shared);
}

#[test]
fn runtime_changes_stay_until_a_reload_changes_the_entry() {
    let store = Arc::new(Keeper::default());
    let first = published(&store, &[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)]);
    first.control("10.0.0.1:80", Control::Drain).unwrap();
    first.control("10.0.0.2:80", Control::Weight(9)).unwrap();
    let same = published(
        &store,
        &[("10.0.0.3:80", 1), ("10.0.0.2:80", 1), ("10.0.0.1:80", 1)],
    );
    assert_eq!(
        shares(&same, 10),
        expected(&[("10.0.0.2:80", 9), ("10.0.0.3:80", 1)])
    );

    // A reload that is refused after it was built changes nothing.
    let changed = [("10.0.0.1:80", 2), ("10.0.0.2:80", 1)];
    drop(Upstream::build(spec(&changed), store.clone(), &NoAddresses).unwrap());
    assert_eq!(
        shares(&same, 10),
        expected(&[("10.0.0.2:80", 9), ("10.0.0.3:80", 1)])
    );

    let changed = published(&store, &changed);
    assert_eq!(
        shares(&changed, 22),
        expected(&[("10.0.0.1:80", 4), ("10.0.0.2:80", 18)])
    );
    // What was dropped does not come back with the old entry.
    let back = published(&store, &[("10.0.0.1:80", 1)]);
    assert_eq!(shares(&back, 2), expected(&[("10.0.0.1:80", 2)]));
}
