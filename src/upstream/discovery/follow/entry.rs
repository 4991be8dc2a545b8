//! What is known of one upstream.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{Counts, Judge, Provenance, Status, is_private};
use crate::upstream::discovery::ask::{mark, origin};
use crate::upstream::discovery::kept::KeptSet;
use crate::upstream::discovery::source::{DiscoveryOptions, Found, SourceError};

/// Changes are told this long after the first of them: a burst is one set, also where a source tells it in parts.
pub(super) const BURST: Duration = Duration::from_millis(50);

/// A kept set is used when the source failed, or has not answered for this long.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// A set is written at most this often.
const SAVE_PAUSE: Duration = Duration::from_secs(1);

/// A set that did not change is written again this often, for its age.
const CONFIRM_PAUSE: Duration = Duration::from_secs(600);

/// Which source told the endpoints, and when.
#[derive(Clone, Debug)]
struct Told {
    origin: Arc<str>,
    mark: Arc<str>,
    how: Provenance,
    at: Instant,
    /// How old it was at `at`.
    age: Duration,
}

/// A set that is to be told.
#[derive(Debug)]
struct Pending {
    set: Arc<[Found]>,
    /// The first change in it.
    since: Instant,
    /// Not to be held back.
    now: bool,
}

/// What is on disk of an earlier run.
#[derive(Debug)]
pub(super) enum OnDisk {
    /// It is not known yet: to be read.
    Unread,
    /// Somebody reads it.
    Reading,
    /// To be used at this time, unless the source answers before.
    Waiting(KeptSet, Instant),
    /// Nothing, or nothing more to do with it.
    Done,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) options: Arc<DiscoveryOptions>,
    /// Which opening of the source is the current one.
    pub(super) opened: u64,
    pub(super) on_disk: OnDisk,
    since: Instant,
    origin: Arc<str>,
    mark: Arc<str>,
    known: Arc<[Found]>,
    told: Option<Told>,
    pending: Option<Pending>,
    /// True once the source answered or failed.
    asked: bool,
    failures: u32,
    error: Option<SourceError>,
    left_out: Option<String>,
    is_stale: bool,
    lag: Duration,
    worst_lag: Duration,
    /// What was last written, and when it was tried.
    saved: Option<(Arc<[Found]>, Instant)>,
    pub(super) counts: Counts,
}

/// What can be used of an answer.
struct Usable {
    endpoints: Vec<Found>,
    refused: usize,
}

impl Entry {
    pub(super) fn new(
        options: Arc<DiscoveryOptions>,
        opened: u64,
        keeps: bool,
        now: Instant,
    ) -> Self {
        Self {
            opened,
            on_disk: if keeps { OnDisk::Unread } else { OnDisk::Done },
            since: now,
            origin: origin(&options.source).into(),
            mark: mark(&options.source).into(),
            options,
            known: Arc::default(),
            told: None,
            pending: None,
            asked: false,
            failures: 0,
            error: None,
            left_out: None,
            is_stale: false,
            lag: Duration::ZERO,
            worst_lag: Duration::ZERO,
            saved: None,
            counts: Counts::default(),
        }
    }

    /// Takes other options; what was known is judged anew, because `allow` may refuse it now.
    pub(super) fn change(
        &mut self,
        options: Arc<DiscoveryOptions>,
        opened: u64,
        judge: Judge,
        now: Instant,
    ) {
        if self.options.allow != options.allow {
            let wanted = self.wanted();
            let (mut endpoints, refused) = judge(wanted.to_vec(), options.allow.as_deref());
            if refused > 0 {
                endpoints.sort();
                self.counts.refused += refused as u64;
                self.tell(endpoints.into(), now, true);
            }
        }
        self.origin = origin(&options.source).into();
        self.mark = mark(&options.source).into();
        self.options = options;
        self.opened = opened;
    }

    /// What is in use, or will be at once.
    fn wanted(&self) -> Arc<[Found]> {
        let pending = self.pending.as_ref().map(|pending| &pending.set);
        pending.unwrap_or(&self.known).clone()
    }

    fn tell(&mut self, set: Arc<[Found]>, now: Instant, at_once: bool) {
        if *set == *self.known {
            self.pending = None;
            return;
        }
        let since = self.pending.as_ref().map_or(now, |pending| pending.since);
        self.pending = Some(Pending {
            set,
            since,
            now: at_once || self.known.is_empty(),
        });
    }

    fn told_by_us(&self, how: Provenance, at: Instant, age: Duration) -> Told {
        Told {
            origin: self.origin.clone(),
            mark: self.mark.clone(),
            how,
            at,
            age,
        }
    }

    /// Takes an answer. An error if nothing of it can be used.
    pub(super) fn answered(
        &mut self,
        endpoints: Vec<Found>,
        left_out: Option<String>,
        judge: Judge,
        now: Instant,
    ) -> Result<(), SourceError> {
        self.asked = true;
        let usable = usable(endpoints, &self.options, judge);
        let (Ok(Usable { refused, .. }) | Err((_, refused))) = &usable;
        self.counts.refused += *refused as u64;
        let usable = match (usable, &left_out) {
            (Ok(usable), _) => usable,
            (Err((error, _)), None) => return Err(error),
            // The source may know why.
            (Err((error, _)), Some(why)) => {
                return Err(SourceError::new(format!("{error}: {why}")));
            }
        };
        if self.failures > 0 {
            log::info!("{}: answers again", self.origin);
        }
        self.failures = 0;
        self.error = None;
        let refused = usable.refused;
        let refused = (refused > 0).then(|| format!("{refused} addresses are refused"));
        self.left_out = match (refused, left_out) {
            (Some(refused), Some(other)) => Some(format!("{refused}; {other}")),
            (refused, other) => refused.or(other),
        };
        self.told = Some(self.told_by_us(Provenance::Source, now, Duration::ZERO));
        self.on_disk = OnDisk::Done;
        self.is_stale = false;
        self.tell(usable.endpoints.into(), now, false);
        Ok(())
    }

    /// Notes a question without a usable answer.
    pub(super) fn failed(&mut self, upstream: &str, error: SourceError, now: Instant) {
        self.asked = true;
        self.failures = self.failures.saturating_add(1);
        self.counts.failures += 1;
        if self.failures == 1 {
            let count = self.wanted().len();
            log::warn!("upstream {upstream}: its {count} endpoints stay as they are: {error}");
        }
        self.error = Some(error);
        if let OnDisk::Waiting(_, until) = &mut self.on_disk {
            *until = now;
        }
    }

    /// Takes what an earlier run or the process before knew, for an upstream without endpoints.
    pub(super) fn remember(
        &mut self,
        endpoints: Vec<Found>,
        how: Provenance,
        age: Duration,
        judge: Judge,
        now: Instant,
    ) -> bool {
        if self.told.is_some() {
            return false;
        }
        // Judged once more: `allow` may be another one.
        let Ok(usable) = usable(endpoints, &self.options, judge) else {
            return false;
        };
        self.told = Some(self.told_by_us(how, now, age));
        self.tell(usable.endpoints.into(), now, true);
        true
    }

    /// What was read from disk.
    pub(super) fn read(&mut self, read: Result<Option<KeptSet>, String>, now: Instant) {
        self.on_disk = OnDisk::Done;
        let set = match read {
            Ok(Some(set)) if self.told.is_none() => set,
            Ok(_) => return,
            Err(error) => {
                return log::error!("the endpoints of an earlier run are not used: {error}");
            }
        };
        if *set.mark != *self.mark {
            let origin = &set.origin;
            return log::info!(
                "the endpoints of an earlier run are not used: they are of {origin}"
            );
        }
        let until = if self.failures > 0 {
            now
        } else {
            self.since + GRACE
        };
        self.on_disk = OnDisk::Waiting(set, until);
    }

    /// Uses what was kept when it is time, and finds out that the set is stale.
    pub(super) fn pass(&mut self, upstream: &str, judge: Judge, now: Instant) {
        if matches!(&self.on_disk, OnDisk::Waiting(_, until) if *until <= now)
            && let OnDisk::Waiting(set, _) = std::mem::replace(&mut self.on_disk, OnDisk::Done)
        {
            let age = SystemTime::now().duration_since(set.at).unwrap_or_default();
            let count = set.endpoints.len();
            if self.remember(set.endpoints.to_vec(), Provenance::Kept, age, judge, now) {
                log::warn!(
                    "upstream {upstream}: {count} endpoints of an earlier run are used, {age:?} old"
                );
            }
        }
        let age = self.age(now);
        if !self.is_stale && age.is_some_and(|age| age > self.options.max_stale) {
            self.is_stale = true;
            self.counts.stale += 1;
            let (most, from) = (self.options.max_stale, &self.origin);
            log::error!(
                "upstream {upstream}: its endpoints are stale and stay in use: no good answer for more than {most:?} from {from}"
            );
        }
    }

    /// The set that is to be told now.
    pub(super) fn take_pending(&mut self, now: Instant) -> Option<Arc<[Found]>> {
        let pending = self.pending.as_ref()?;
        if !pending.now && now < pending.since + BURST {
            return None;
        }
        let Pending { set, since, .. } = self.pending.take()?;
        let addresses = |set: &[Found]| {
            set.iter()
                .map(|f| f.address)
                .collect::<BTreeSet<SocketAddr>>()
        };
        let (old, new) = (addresses(&self.known), addresses(&set));
        self.counts.updates += 1;
        self.counts.added += new.difference(&old).count() as u64;
        self.counts.removed += old.difference(&new).count() as u64;
        self.lag = now.saturating_duration_since(since);
        self.worst_lag = self.worst_lag.max(self.lag);
        self.known = set.clone();
        Some(set)
    }

    /// The set that is to be written now, if any.
    pub(super) fn take_unsaved(&mut self, upstream: &Arc<str>, now: Instant) -> Option<KeptSet> {
        if now < self.save_due()? {
            return None;
        }
        let told = self.told.as_ref()?;
        self.saved = Some((self.known.clone(), now));
        let at = SystemTime::now().checked_sub(now.saturating_duration_since(told.at));
        Some(KeptSet {
            upstream: upstream.clone(),
            origin: told.origin.to_string(),
            mark: told.mark.to_string(),
            at: at.unwrap_or_else(SystemTime::now),
            endpoints: self.known.clone(),
        })
    }

    fn save_due(&self) -> Option<Instant> {
        let told = self.told.as_ref()?;
        if told.how != Provenance::Source || self.known.is_empty() || self.pending.is_some() {
            return None;
        }
        Some(match &self.saved {
            None => told.at,
            Some((set, at)) if Arc::ptr_eq(set, &self.known) => {
                // Only an answer that came since makes it younger.
                (told.at > *at).then_some(*at + CONFIRM_PAUSE)?
            }
            Some((_, at)) => *at + SAVE_PAUSE,
        })
    }

    /// When something is to be done next without anybody's answer.
    pub(super) fn due(&self, keeps: bool) -> Option<Instant> {
        let pending = self.pending.as_ref().map(|pending| match pending.now {
            true => pending.since,
            false => pending.since + BURST,
        });
        let kept = match &self.on_disk {
            OnDisk::Waiting(_, until) => Some(*until),
            OnDisk::Unread | OnDisk::Reading | OnDisk::Done => None,
        };
        let stale = self
            .told
            .as_ref()
            .filter(|_| !self.is_stale)
            .and_then(|told| {
                let left = self.options.max_stale.saturating_sub(told.age);
                // Once it is over, not when it is reached.
                told.at
                    .checked_add(left)?
                    .checked_add(Duration::from_millis(1))
            });
        let save = if keeps { self.save_due() } else { None };
        [pending, kept, stale, save].into_iter().flatten().min()
    }

    /// True if nobody needs to wait for endpoints any more.
    pub(super) fn is_settled(&self) -> bool {
        !self.known.is_empty()
            || (self.asked && self.pending.is_none() && matches!(self.on_disk, OnDisk::Done))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    fn age(&self, now: Instant) -> Option<Duration> {
        let told = self.told.as_ref()?;
        Some(
            now.saturating_duration_since(told.at)
                .saturating_add(told.age),
        )
    }

    pub(super) fn status(&self, upstream: &Arc<str>, now: Instant) -> Status {
        let told = self.told.as_ref();
        Status {
            upstream: upstream.clone(),
            origin: self.origin.clone(),
            told_by: told.map_or(&self.origin, |told| &told.origin).clone(),
            provenance: told.map_or(Provenance::Nothing, |told| told.how),
            endpoints: self.known.clone(),
            age: self.age(now),
            is_stale: self.is_stale,
            private: self
                .known
                .iter()
                .filter(|found| is_private(found.address.ip()))
                .count(),
            failures: self.failures,
            error: self.error.clone(),
            left_out: self.left_out.clone(),
            lag: self.lag,
            worst_lag: self.worst_lag,
            counts: self.counts,
        }
    }
}

fn usable(
    endpoints: Vec<Found>,
    options: &DiscoveryOptions,
    judge: Judge,
) -> Result<Usable, (SourceError, usize)> {
    let count = endpoints.len();
    if count == 0 {
        return Err((SourceError::new("the answer names no endpoint"), 0));
    }
    if count > options.max_endpoints {
        let most = options.max_endpoints;
        let why = format!("the answer names {count} endpoints, and `max_endpoints` is {most}");
        return Err((SourceError::new(why), 0));
    }
    let example = endpoints.first().map(|found| found.address);
    let (mut endpoints, refused) = judge(endpoints, options.allow.as_deref());
    if endpoints.is_empty() {
        let example = example
            .map(|address| address.to_string())
            .unwrap_or_default();
        let why = format!(
            "all {refused} addresses are refused, {example} is one: `allow` does not list them"
        );
        return Err((SourceError::new(why), refused));
    }
    if endpoints.iter().all(|found| found.weight == 0) {
        return Err((
            SourceError::new("the weights of all endpoints are 0"),
            refused,
        ));
    }
    // A registry may name an instance twice, under its old key and its new one.
    endpoints.sort_by_key(|found| (found.address, found.priority, Reverse(found.weight)));
    endpoints.dedup_by_key(|found| found.address);
    endpoints.sort();
    Ok(Usable { endpoints, refused })
}
