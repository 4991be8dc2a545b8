//! Names resolved in the background: one task for all names of all upstreams.
//!
//! A request never waits for it. A name is asked again when its time to live ends; a failed or
//! empty answer keeps the last good addresses and counts their age.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::book::{Book, NameStatus};
use super::{Answer, Lookup, LookupError};
use crate::upstream::shared::AddressBook;

/// Most names; further ones are refused.
pub const MAX_NAMES: usize = 4096;

/// Lookups running at once.
const MAX_RUNNING: usize = 16;

/// Called with a host and its new addresses, sorted, never empty, only when they changed. It runs
/// in the resolver's task, so it may not block.
pub type Sink = Arc<dyn Fn(&str, &Arc<[IpAddr]>) + Send + Sync>;

/// Bounds of the resolver.
#[derive(Clone, Debug)]
pub struct ResolverOptions {
    /// A name is asked at most this often. 1 s or more.
    pub min_ttl: Duration,
    /// A name is asked at least this often.
    pub max_ttl: Duration,
    /// A lookup that takes longer failed.
    pub lookup: Duration,
    /// After failures the pause doubles from `min_ttl` up to this.
    pub max_pause: Duration,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self {
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(300),
            lookup: Duration::from_secs(10),
            max_pause: Duration::from_secs(30),
        }
    }
}

/// The handle of the task. The task ends when it is dropped.
pub struct Resolver {
    names: watch::Sender<BTreeSet<Arc<str>>>,
    progress: watch::Receiver<u64>,
    book: Arc<Book>,
    sink: Sink,
}

impl Resolver {
    /// Starts the task on the current tokio runtime and asks for `names` at once.
    pub fn spawn(
        names: BTreeSet<Arc<str>>,
        lookup: Arc<dyn Lookup>,
        options: ResolverOptions,
        sink: Sink,
    ) -> Self {
        let names = limited(names);
        let book = Arc::new(Book::default());
        book.set_names(&names);
        let (names, wanted) = watch::channel(names);
        let (done, progress) = watch::channel(0);
        let task = Task {
            wanted,
            done,
            book: book.clone(),
            lookup,
            options,
            sink: sink.clone(),
        };
        tokio::spawn(task.run());
        Self {
            names,
            progress,
            book,
            sink,
        }
    }

    /// Takes the last good addresses that another process knew, `age` old, for a name that has none here: a resolver
    /// that is down during an upgrade takes no upstream away. True if they were taken. Asks for the name all the same.
    pub fn remember(&self, host: &str, addresses: Vec<IpAddr>, age: Duration) -> bool {
        let Some(taken) = self.book.remember(host, addresses, age) else {
            return false;
        };
        let mut told = taken;
        loop {
            (self.sink)(host, &told);
            // The task may have learned others in between and told them before these.
            match self.book.addresses(host) {
                Some(now) if now != told => told = now,
                _ => return true,
            }
        }
    }

    /// Replaces the names. State of names that stay is kept; removed ones are forgotten.
    pub fn update(&self, names: BTreeSet<Arc<str>>) {
        let names = limited(names);
        // At once, so that `wait_first` sees the new names before the task does.
        self.book.set_names(&names);
        self.names.send_replace(names);
    }

    /// Waits until every name was answered or failed once, at most `bound`. Returns the names
    /// that have no address.
    pub async fn wait_first(&self, bound: Duration) -> Vec<Arc<str>> {
        let deadline = Instant::now() + bound;
        let mut progress = self.progress.clone();
        while !self.book.all_asked() {
            match timeout_at(deadline, progress.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => break,
            }
        }
        self.book.missing()
    }

    /// What is known about every name, by name.
    pub fn status(&self) -> Vec<NameStatus> {
        self.book.status()
    }
}

impl AddressBook for Resolver {
    fn addresses(&self, host: &str) -> Option<Arc<[IpAddr]>> {
        self.book.addresses(host)
    }
}

fn limited(mut names: BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
    if names.len() > MAX_NAMES {
        log::error!("{} names to resolve; {MAX_NAMES} are", names.len());
        names = names.into_iter().take(MAX_NAMES).collect();
    }
    names
}

struct Task {
    wanted: watch::Receiver<BTreeSet<Arc<str>>>,
    done: watch::Sender<u64>,
    book: Arc<Book>,
    lookup: Arc<dyn Lookup>,
    options: ResolverOptions,
    sink: Sink,
}

impl Task {
    async fn run(mut self) {
        let mut running = FuturesUnordered::new();
        loop {
            let room = MAX_RUNNING.saturating_sub(running.len());
            let (due, next) = self.book.take_due(Instant::now(), room);
            for host in due {
                running.push(ask(self.lookup.clone(), host, self.options.lookup));
            }
            let full = running.len() >= MAX_RUNNING;
            tokio::select! {
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                Some((host, result)) = running.next(), if !running.is_empty() => {
                    self.finish(&host, result);
                }
                // While no lookup may start, a due name waits for the end of another.
                () = wait_for(next), if !full => {}
            }
        }
    }

    fn finish(&self, host: &str, result: Result<Answer, LookupError>) {
        if let Some(addresses) = self.book.record(host, result, &self.options) {
            (self.sink)(host, &addresses);
        }
        self.done.send_modify(|count| *count += 1);
    }
}

async fn wait_for(next: Option<Instant>) {
    match next {
        Some(next) => sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// One bounded lookup. A literal address is its own answer.
async fn ask(
    lookup: Arc<dyn Lookup>,
    host: Arc<str>,
    bound: Duration,
) -> (Arc<str>, Result<Answer, LookupError>) {
    if let Ok(address) = host.parse::<IpAddr>() {
        let answer = Answer {
            addresses: vec![address],
            ttl: Duration::MAX,
        };
        return (host, Ok(answer));
    }
    let result = match timeout(bound, lookup.lookup(&host)).await {
        Ok(result) => result,
        Err(_) => Err(LookupError("no answer in time".into())),
    };
    (host, result)
}

#[cfg(test)]
mod tests;
