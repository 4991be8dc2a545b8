//! The checker: one task for all upstreams of the process.
//!
//! A set of endpoints that changes is given to [`Checker::update`] as a whole. What stays keeps its time in the
//! [schedule](super::schedule) and its verdict; what goes is forgotten, which takes its mark away; what comes is asked
//! within a quarter of its interval, spread at random, and at a quarter of the interval until there is a verdict. So
//! an endpoint that is dead when it comes is out after `fall` quarters, and five hundred new ones are no burst.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::dial::Dialer;
use super::failure::{FailureKind, ProbeError};
use super::options::HealthOptions;
use super::probe;
use super::schedule::{Schedule, Start, Ticket};
use super::state::{Change, Health};
use crate::upstream::address::EndpointAddress;
use crate::upstream::balance::random::{below, next_u64};

/// Most endpoints that are checked; further ones stay as they are, which is up.
pub const MAX_TARGETS: usize = 65_536;

/// A probe that begins this long after it was due is counted as late.
const LATE: Duration = Duration::from_millis(100);

/// One endpoint to be checked.
#[derive(Clone, Debug)]
pub struct Target {
    /// Of the endpoint's state: a number no other endpoint of this process has.
    pub key: u64,
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// Where it listens: a `Socket` or a `Unix`.
    pub address: EndpointAddress,
    /// Its configured text, in canonical form: the host that is asked for where none is configured.
    pub configured: Arc<str>,
    /// What is asked.
    pub options: Arc<HealthOptions>,
    /// What is known about it.
    pub health: Arc<Health>,
}

/// Called at each change of phase. It runs in the checker's task, so it may not block.
pub type Sink = Arc<dyn Fn(&Target, Change) + Send + Sync>;

/// What the checker does now and has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckerStatus {
    /// Endpoints that are checked.
    pub targets: usize,
    /// Endpoints beyond [`MAX_TARGETS`], which are not.
    pub refused: usize,
    /// Probes under way; at most [`MAX_RUNNING`](super::MAX_RUNNING).
    pub running: usize,
    /// Probes that are due and wait for a place.
    pub waiting: usize,
    /// Probes that ended.
    pub probes_total: u64,
    /// Of these, failed, by class.
    pub failures_total: [(FailureKind, u64); FailureKind::ALL.len()],
    /// Probes that began more than 100 ms after they were due, for want of a place or of CPU.
    pub late_total: u64,
}

#[derive(Debug, Default)]
struct Counters {
    targets: AtomicUsize,
    refused: AtomicUsize,
    running: AtomicUsize,
    waiting: AtomicUsize,
    probes_total: AtomicU64,
    failures_total: [AtomicU64; FailureKind::ALL.len()],
    late_total: AtomicU64,
}

/// The handle of the task. The task and every probe end when it is dropped; marks stay as they are then.
#[derive(Debug)]
pub struct Checker {
    wanted: watch::Sender<Arc<[Arc<Target>]>>,
    counters: Arc<Counters>,
}

impl Checker {
    /// Starts the task on the current tokio runtime, with nothing to check.
    pub fn spawn(dialer: Arc<dyn Dialer>, sink: Sink) -> Self {
        let (wanted, follows) = watch::channel(Arc::default());
        let counters = Arc::new(Counters::default());
        let task = Task {
            wanted: follows,
            dialer,
            sink,
            counters: Arc::clone(&counters),
            entries: HashMap::new(),
            schedule: Schedule::default(),
            lives: 0,
        };
        tokio::spawn(task.run());
        Self { wanted, counters }
    }

    /// Replaces the endpoints. Those whose probe asks the same as before keep their verdict and their time. Of an
    /// endpoint that is named twice the first one counts.
    pub fn update(&self, targets: Vec<Target>) {
        self.wanted
            .send_replace(targets.into_iter().map(Arc::new).collect());
    }

    /// What is done now and was done.
    pub fn status(&self) -> CheckerStatus {
        let counters = &*self.counters;
        let kinds = FailureKind::ALL.iter().zip(&counters.failures_total);
        let mut failures_total = FailureKind::ALL.map(|kind| (kind, 0));
        for (slot, (kind, count)) in failures_total.iter_mut().zip(kinds) {
            *slot = (*kind, count.load(Ordering::Relaxed));
        }
        CheckerStatus {
            targets: counters.targets.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            running: counters.running.load(Ordering::Relaxed),
            waiting: counters.waiting.load(Ordering::Relaxed),
            probes_total: counters.probes_total.load(Ordering::Relaxed),
            failures_total,
            late_total: counters.late_total.load(Ordering::Relaxed),
        }
    }
}

struct Entry {
    target: Arc<Target>,
    /// Changes when the endpoint is asked something else: the end of an earlier life's probe says nothing then.
    life: u64,
    due: Instant,
    is_running: bool,
}

struct Task {
    wanted: watch::Receiver<Arc<[Arc<Target>]>>,
    dialer: Arc<dyn Dialer>,
    sink: Sink,
    counters: Arc<Counters>,
    entries: HashMap<u64, Entry>,
    schedule: Schedule,
    lives: u64,
}

/// A probe's end.
struct Probed {
    ticket: Ticket,
    upstream: Arc<str>,
    started: Instant,
    outcome: Result<(), ProbeError>,
}

impl Task {
    async fn run(mut self) {
        let mut running = FuturesUnordered::new();
        loop {
            while let Some(start) = self.schedule.start(Instant::now()) {
                if let Some(target) = self.begin(&start) {
                    running.push(ask(Arc::clone(&self.dialer), target, start));
                }
            }
            self.count_places();
            let next = self.schedule.next_due();
            tokio::select! {
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let targets = Arc::clone(&self.wanted.borrow_and_update());
                    self.take_over(&targets);
                }
                Some(probed) = running.next(), if !running.is_empty() => self.finish(probed),
                () = wait_for(next) => {}
            }
        }
    }

    fn count_places(&self) {
        let (running, waiting) = (self.schedule.running(), self.schedule.waiting());
        self.counters.running.store(running, Ordering::Relaxed);
        self.counters.waiting.store(waiting, Ordering::Relaxed);
    }

    fn begin(&mut self, start: &Start) -> Option<Arc<Target>> {
        let entry = self.entries.get_mut(&start.ticket.key);
        let Some(entry) = entry.filter(|entry| entry.life == start.ticket.life) else {
            self.schedule.ended(&start.upstream);
            return None;
        };
        entry.is_running = true;
        if start.late > LATE {
            self.counters.late_total.fetch_add(1, Ordering::Relaxed);
        }
        Some(Arc::clone(&entry.target))
    }

    fn finish(&mut self, probed: Probed) {
        self.schedule.ended(&probed.upstream);
        self.counters.probes_total.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = &probed.outcome {
            let count = self.counters.failures_total.get(error.kind as usize);
            if let Some(count) = count {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        let entry = self.entries.get_mut(&probed.ticket.key);
        let Some(entry) = entry.filter(|entry| entry.life == probed.ticket.life) else {
            return;
        };
        let now = Instant::now();
        let took = now.saturating_duration_since(probed.started);
        let target = Arc::clone(&entry.target);
        let (health, options) = (&target.health, &*target.options);
        let change = health.record(options, probed.outcome, took, now.into_std());
        entry.is_running = false;
        let pause = pause(options, health.is_hurried(options), next_u64());
        entry.due = (probed.started + pause).max(now);
        self.schedule.again(probed.ticket, entry.due);
        self.tell(&target, change);
    }

    fn take_over(&mut self, targets: &[Arc<Target>]) {
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.entries);
        let mut told = Vec::new();
        for target in targets.iter().take(MAX_TARGETS) {
            if self.entries.contains_key(&target.key) {
                continue;
            }
            let known = before.remove(&target.key);
            let entry = match known {
                Some(entry) if asks_the_same(&entry.target, target) => Entry {
                    // A shorter interval holds at once.
                    due: entry.due.min(now + interval(&target.options)),
                    target: Arc::clone(target),
                    ..entry
                },
                known => {
                    told.push((
                        Arc::clone(target),
                        match known {
                            Some(_) => target.health.forget(now.into_std()),
                            None => target.health.restored_change(),
                        },
                    ));
                    self.lives += 1;
                    Entry {
                        target: Arc::clone(target),
                        life: self.lives,
                        due: now + first_pause(&target.options, next_u64()),
                        is_running: false,
                    }
                }
            };
            self.entries.insert(target.key, entry);
        }
        for gone in before.into_values() {
            let change = gone.target.health.forget(now.into_std());
            told.push((gone.target, change));
        }
        self.schedule
            .replace(self.entries.iter().map(|(key, entry)| {
                let ticket = Ticket {
                    key: *key,
                    life: entry.life,
                };
                let due = (!entry.is_running).then_some(entry.due);
                (ticket, Arc::clone(&entry.target.upstream), due)
            }));
        let refused = targets.len().saturating_sub(MAX_TARGETS);
        if refused > 0 {
            log::error!(
                "{} endpoints to check; {MAX_TARGETS} are, the others count as up",
                targets.len()
            );
        }
        self.counters.refused.store(refused, Ordering::Relaxed);
        let count = self.entries.len();
        self.counters.targets.store(count, Ordering::Relaxed);
        for (target, change) in told {
            self.tell(&target, change);
        }
    }

    fn tell(&self, target: &Target, change: Option<Change>) {
        if let Some(change) = change {
            (self.sink)(target, change);
        }
    }
}

fn asks_the_same(before: &Target, now: &Target) -> bool {
    before.options.asks_the_same(&now.options)
        && before.address == now.address
        && Arc::ptr_eq(&before.health, &now.health)
}

/// Never shorter than what compiled options allow, so that options made by hand cannot make a busy loop.
fn interval(options: &HealthOptions) -> Duration {
    options.interval.max(Duration::from_millis(100))
}

/// Until a new endpoint is first asked: anything up to a quarter of its interval.
fn first_pause(options: &HealthOptions, random: u64) -> Duration {
    let quarter_us = u64::try_from((interval(options) / 4).as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(below(random, quarter_us))
}

/// From the start of one probe to the start of the next.
fn pause(options: &HealthOptions, hurried: bool, random: u64) -> Duration {
    let whole = match hurried {
        true => interval(options) / 4,
        false => interval(options),
    };
    // At most 500, and 0 for what is no number.
    let most = (options.jitter.clamp(0.0, 0.5) * 1000.0) as u64;
    whole - whole / 1000 * below(random, most + 1) as u32
}

async fn wait_for(next: Option<Instant>) {
    match next {
        Some(next) => sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// One bounded probe. A panic in it is a failed probe and not the end of all checks: it reads what strangers send.
async fn ask(dialer: Arc<dyn Dialer>, target: Arc<Target>, start: Start) -> Probed {
    let started = Instant::now();
    let probe = AssertUnwindSafe(probe::run(&*dialer, &target)).catch_unwind();
    let outcome = probe.await.unwrap_or_else(|_| {
        log::error!(
            "the health check of {} in upstream {} panicked; it counts as failed",
            target.configured,
            target.upstream
        );
        Err(ProbeError::internal("the probe panicked"))
    });
    Probed {
        ticket: start.ticket,
        upstream: start.upstream,
        started,
        outcome,
    }
}

#[cfg(test)]
mod tests;
