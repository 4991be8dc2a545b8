//! One task that owns the sources of all upstreams and tells their endpoints when they change.
//!
//! What was once good stays: a source that fails, hangs, panics, answers nothing or nonsense costs its endpoints their
//! freshness, never their place. A node that starts while a source is dead begins with the set kept on disk. Nothing
//! here is on the request path.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::ask::Source;
use super::kept::Kept;
use super::source::{DiscoveryOptions, Found, SourceError, SourceOptions};

mod book;
mod entry;
mod task;

use book::Book;

/// Most upstreams with discovery; further ones are not followed, and told.
pub const MAX_FOLLOWED: usize = 4096;

/// Called with an upstream and its new endpoints, sorted by priority and address, each address once. Only when they
/// changed; empty only when a reload's `allow` refuses all that was known. It runs in the follower's task, so it may
/// not block.
pub type Sink = Arc<dyn Fn(&Arc<str>, Arc<[Found]>) + Send + Sync>;

/// Sorts out which addresses may be used: those, and how many were refused.
pub type Judge = fn(Vec<Found>, Option<&[IpNet]>) -> (Vec<Found>, usize);

/// Makes the source of the options.
pub type Open = Arc<dyn Fn(&SourceOptions) -> Result<Box<dyn Source>, SourceError> + Send + Sync>;

/// What the follower needs of others.
#[derive(Clone)]
pub struct Deps {
    /// Who is told.
    pub sink: Sink,
    /// Who judges addresses.
    pub judge: Judge,
    /// Who makes sources.
    pub open: Open,
    /// Where the last good sets are kept; nowhere without a state folder.
    pub kept: Option<Kept>,
}

/// An upstream that is to be followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its name.
    pub upstream: Arc<str>,
    /// How.
    pub options: Arc<DiscoveryOptions>,
}

/// How the endpoints that are in use were learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provenance {
    /// None are known.
    #[default]
    Nothing,
    /// From the file of an earlier run.
    Kept,
    /// From the process before this one.
    Moved,
    /// From the source.
    Source,
}

impl Provenance {
    /// For labels and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Kept => "kept",
            Self::Moved => "moved",
            Self::Source => "source",
        }
    }
}

/// What happened since the upstream is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Changed sets that were told.
    pub updates: u64,
    /// Questions without a usable answer.
    pub failures: u64,
    /// Addresses that were refused, once for each answer with them.
    pub refused: u64,
    /// Endpoints that came.
    pub added: u64,
    /// Endpoints that went.
    pub removed: u64,
    /// How often the set became stale.
    pub stale: u64,
    /// Sets that could not be written to disk.
    pub unsaved: u64,
}

/// What is known about one upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Its name.
    pub upstream: Arc<str>,
    /// The source that is configured.
    pub origin: Arc<str>,
    /// The source that named the endpoints in use: another one after a reload, until the new one answers.
    pub told_by: Arc<str>,
    /// How they were learned.
    pub provenance: Provenance,
    /// The endpoints in use.
    pub endpoints: Arc<[Found]>,
    /// Time since a source last said so.
    pub age: Option<Duration>,
    /// The age is over `max_stale`. The endpoints stay in use.
    pub is_stale: bool,
    /// How many of the endpoints have a private address (RFC 1918, RFC 4193) or loopback.
    pub private: usize,
    /// Questions without a usable answer since the last good one.
    pub failures: u32,
    /// Why, the last time.
    pub error: Option<SourceError>,
    /// What of the last good answer was left out.
    pub left_out: Option<String>,
    /// From the answer with a change to the telling of it, the last time and at worst.
    pub lag: Duration,
    /// See `lag`.
    pub worst_lag: Duration,
    /// What happened so far.
    pub counts: Counts,
}

/// The handle of the task. The task ends when it is dropped.
pub struct Follower {
    book: Arc<Mutex<Book>>,
    wanted: watch::Sender<u64>,
    wake: Arc<Notify>,
    progress: watch::Receiver<u64>,
    judge: Judge,
}

impl Follower {
    /// Starts the task on the current tokio runtime; it follows nobody yet.
    pub fn spawn(deps: Deps) -> Self {
        let book = Arc::new(Mutex::new(Book::new(deps.kept.is_some())));
        let (wanted, changed) = watch::channel(0);
        let (done, progress) = watch::channel(0);
        let wake = Arc::new(Notify::new());
        let judge = deps.judge;
        tokio::spawn(task::run(deps, book.clone(), changed, wake.clone(), done));
        Self {
            book,
            wanted,
            wake,
            progress,
            judge,
        }
    }

    /// Replaces whom to follow. What is known of upstreams that stay is kept, and a source with the same options goes
    /// on undisturbed; upstreams that are not named are forgotten.
    pub fn update(&self, mut wanted: Vec<Wanted>) {
        if wanted.len() > MAX_FOLLOWED {
            let count = wanted.len();
            log::error!("{count} upstreams with discovery; the first {MAX_FOLLOWED} are followed");
            wanted.truncate(MAX_FOLLOWED);
        }
        // At once, so that `wait_first` sees the new ones before the task does.
        self.book.lock().set(wanted, self.judge, Instant::now());
        self.wanted.send_modify(|number| *number += 1);
    }

    /// Takes the endpoints that another process knew, `age` old, for an upstream without any here: a source that is
    /// down during an upgrade takes no upstream away. True if they were taken.
    pub fn remember(&self, upstream: &str, endpoints: Vec<Found>, age: Duration) -> bool {
        let now = Instant::now();
        let mut book = self.book.lock();
        let taken = book.remember(upstream, endpoints, age, self.judge, now);
        drop(book);
        self.wake.notify_one();
        taken
    }

    /// Waits until every upstream has endpoints or is known to have none for now, at most `bound`. Returns those
    /// without.
    pub async fn wait_first(&self, bound: Duration) -> Vec<Arc<str>> {
        let deadline = Instant::now() + bound;
        let mut progress = self.progress.clone();
        loop {
            progress.borrow_and_update();
            if self.book.lock().is_settled() {
                break;
            }
            match timeout_at(deadline, progress.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => break,
            }
        }
        self.book.lock().missing()
    }

    /// What is known about every upstream, by name.
    pub fn status(&self) -> Vec<Status> {
        self.book.lock().status(Instant::now())
    }
}

/// Private by RFC 1918 or RFC 4193, or loopback.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback(),
    }
}

#[cfg(test)]
mod tests;
