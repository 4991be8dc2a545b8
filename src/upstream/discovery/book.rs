//! What is known about each name, and when it is asked next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::dns::ResolverOptions;
use super::{Answer, LookupError};
use crate::upstream::balance::random::{below, next_u64};

/// Most addresses kept of one answer.
const MAX_ADDRESSES: usize = 1024;

/// What is known about one name.
#[derive(Clone, Debug)]
pub struct NameStatus {
    /// The name.
    pub host: Arc<str>,
    /// Last good addresses; empty before the first answer.
    pub addresses: Arc<[IpAddr]>,
    /// Time since the last good answer.
    pub age: Option<Duration>,
    /// Failed or empty answers since the last good one.
    pub failures: u32,
    /// The last failure.
    pub error: Option<LookupError>,
}

#[derive(Debug)]
struct Entry {
    addresses: Arc<[IpAddr]>,
    answered: Option<Instant>,
    asked: bool,
    running: bool,
    due: Instant,
    failures: u32,
    error: Option<LookupError>,
}

/// State by name, shared by the task and its readers.
#[derive(Debug, Default)]
pub(super) struct Book(Mutex<BTreeMap<Arc<str>, Entry>>);

impl Book {
    /// Makes room for new names and forgets those not listed.
    pub(super) fn set_names(&self, names: &BTreeSet<Arc<str>>) {
        let mut book = self.0.lock();
        book.retain(|host, _| names.contains(host));
        for host in names {
            book.entry(host.clone()).or_insert_with(|| Entry {
                addresses: Arc::default(),
                answered: None,
                asked: false,
                running: false,
                due: Instant::now(),
                failures: 0,
                error: None,
            });
        }
    }

    /// Marks up to `room` due names as running; also returns when the next one is due.
    pub(super) fn take_due(&self, now: Instant, room: usize) -> (Vec<Arc<str>>, Option<Instant>) {
        let mut due = Vec::new();
        let mut next: Option<Instant> = None;
        for (host, entry) in self.0.lock().iter_mut().filter(|(_, entry)| !entry.running) {
            if entry.due <= now && due.len() < room {
                entry.running = true;
                due.push(host.clone());
            } else {
                next = Some(next.map_or(entry.due, |next| next.min(entry.due)));
            }
        }
        (due, next)
    }

    /// Takes the addresses that another process knew, `age` old, for a name without any. What was learned here wins.
    pub(super) fn remember(
        &self,
        host: &str,
        addresses: Vec<IpAddr>,
        age: Duration,
    ) -> Option<Arc<[IpAddr]>> {
        let mut book = self.0.lock();
        let entry = book.get_mut(host)?;
        if !entry.addresses.is_empty() {
            return None;
        }
        let now = Instant::now();
        entry.addresses = usable(addresses).ok()?.into();
        entry.answered = now.checked_sub(age).or(Some(now));
        Some(entry.addresses.clone())
    }

    /// Writes a result down; returns the addresses if they changed.
    pub(super) fn record(
        &self,
        host: &str,
        result: Result<Answer, LookupError>,
        options: &ResolverOptions,
    ) -> Option<Arc<[IpAddr]>> {
        let mut book = self.0.lock();
        // Removed while it was asked.
        let entry = book.get_mut(host)?;
        let now = Instant::now();
        entry.running = false;
        entry.asked = true;
        let result = result.and_then(|answer| Ok((usable(answer.addresses)?, answer.ttl)));
        match result {
            Ok((addresses, ttl)) => {
                entry.due = now + jittered(ttl.min(options.max_ttl)).max(options.min_ttl);
                entry.answered = Some(now);
                entry.failures = 0;
                entry.error = None;
                let changed = *entry.addresses != *addresses;
                changed.then(|| {
                    entry.addresses = addresses.into();
                    entry.addresses.clone()
                })
            }
            Err(error) => {
                let doubled = options.min_ttl * (1 << entry.failures.min(10));
                entry.due = now + jittered(doubled.min(options.max_pause)).max(options.min_ttl);
                entry.failures = entry.failures.saturating_add(1);
                if entry.failures == 1 {
                    log::warn!("name {host} is not resolved, its last addresses stay: {error}");
                }
                entry.error = Some(error);
                None
            }
        }
    }

    /// True once every name was answered or failed.
    pub(super) fn all_asked(&self) -> bool {
        self.0.lock().values().all(|entry| entry.asked)
    }

    /// The names without an address.
    pub(super) fn missing(&self) -> Vec<Arc<str>> {
        let book = self.0.lock();
        let missing = book.iter().filter(|(_, entry)| entry.addresses.is_empty());
        missing.map(|(host, _)| host.clone()).collect()
    }

    /// The last good addresses of a name.
    pub(super) fn addresses(&self, host: &str) -> Option<Arc<[IpAddr]>> {
        let book = self.0.lock();
        let known = &book.get(host)?.addresses;
        (!known.is_empty()).then(|| known.clone())
    }

    /// What is known about every name, by name.
    pub(super) fn status(&self) -> Vec<NameStatus> {
        let status = |(host, entry): (&Arc<str>, &Entry)| NameStatus {
            host: host.clone(),
            addresses: entry.addresses.clone(),
            age: entry.answered.map(|then| then.elapsed()),
            failures: entry.failures,
            error: entry.error.clone(),
        };
        self.0.lock().iter().map(status).collect()
    }
}

/// Sorted, each once. 0.0.0.0 and multicast are dropped: blocking resolvers answer so, and a
/// connection to 0.0.0.0 would reach this machine itself.
fn usable(mut addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, LookupError> {
    addresses.retain(|ip| !ip.is_unspecified() && !ip.is_multicast());
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    if addresses.is_empty() {
        return Err(LookupError("the answer has no usable address".into()));
    }
    Ok(addresses)
}

/// Up to a tenth less, so that names of one answer time do not stay in step. Never more: an
/// answer is not used past its time to live.
fn jittered(time: Duration) -> Duration {
    time - time / 1000 * below(next_u64(), 101) as u32
}
