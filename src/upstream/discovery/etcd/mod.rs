//! Endpoints out of the keys of an etcd (v3) under a prefix, by the JSON gateway that every etcd serves beside gRPC.
//!
//! All keys are read at one revision, then everything after that revision is watched, so that no change is missed
//! between the two. Each `refresh` both are done anew: a watch that went silent (a server that hangs, a half-open
//! connection) is found out then. A value that cannot be read is left out and told; a key that had a good value
//! before keeps it: one instance that registers nonsense must not freeze or empty the set.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::time::{Instant, timeout, timeout_at};

use super::ask::{Next, Said, Source, shown};
use super::dial::Dialer;
use super::fetch::public;
use super::source::{Discovered, Found, SourceError};
use super::targets::{MAX_FOUND, decode_one};

mod wire;

use wire::{Change, Session, Watch};

/// After the first change of a burst, the rest is awaited this long: 500 keys at once are one answer.
const GATHER: Duration = Duration::from_millis(50);

/// A watch that ends sooner than this is opened again only after [`PAUSE`].
const SHORT_WATCH: Duration = Duration::from_secs(5);

/// See [`SHORT_WATCH`].
const PAUSE: Duration = Duration::from_secs(1);

/// Keys of an etcd.
#[derive(Clone, PartialEq)]
pub struct EtcdOptions {
    /// The members, `http://host:2379` each. They are tried in turn.
    pub servers: Vec<Uri>,
    /// Every key that begins so holds an endpoint: a table in JSON, or `ip:port`.
    pub prefix: String,
    /// For an etcd with authentication.
    pub login: Option<Login>,
    /// Of one question. 5 s is usual; at most 20 s.
    pub timeout: Duration,
    /// All is read anew this often. 30 s is usual; 1 to 40 s.
    pub refresh: Duration,
}

/// A user of an etcd.
#[derive(Clone, PartialEq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for EtcdOptions {
    /// Without what a URL may hold beside its host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.servers.iter().map(public).collect();
        f.debug_struct("EtcdOptions")
            .field("servers", &servers)
            .field("prefix", &self.prefix)
            .field("login", &self.login)
            .field("timeout", &self.timeout)
            .field("refresh", &self.refresh)
            .finish()
    }
}

impl fmt::Debug for Login {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The source of a prefix.
pub struct EtcdSource {
    session: Session,
    options: EtcdOptions,
    watch: Option<Watching>,
    /// The last good value of each key.
    values: BTreeMap<Vec<u8>, Found>,
    /// Keys whose value cannot be read, and why.
    bad: BTreeMap<Vec<u8>, String>,
    /// Changes that were read but not taken.
    changes: VecDeque<Change>,
}

struct Watching {
    watch: Watch,
    since: Instant,
}

impl EtcdSource {
    /// A source that has asked nothing yet.
    pub fn new(options: EtcdOptions, dialer: Arc<dyn Dialer>) -> Self {
        let second = Duration::from_secs(1);
        let options = EtcdOptions {
            timeout: options.timeout.min(20 * second),
            refresh: options.refresh.clamp(second, 40 * second),
            ..options
        };
        Self {
            session: Session::new(&options, dialer),
            options,
            watch: None,
            values: BTreeMap::new(),
            bad: BTreeMap::new(),
            changes: VecDeque::new(),
        }
    }

    /// Reads everything and watches from there, at the first member that answers.
    async fn read_all(&mut self) -> Result<(), SourceError> {
        self.watch = None;
        self.changes.clear();
        let mut errors = Vec::new();
        for _ in 0..self.options.servers.len() {
            let bound = self.options.timeout;
            let asked = timeout(bound, self.session.open()).await;
            let error = match asked {
                Ok(Ok((all, watch))) => {
                    self.take_all(all);
                    self.watch = Some(Watching {
                        watch,
                        since: Instant::now(),
                    });
                    return Ok(());
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("{}: no answer in {bound:?}", self.session.server()),
            };
            errors.push(error);
            self.session.turn();
        }
        if errors.is_empty() {
            errors.push("no server is configured".to_owned());
        }
        Err(SourceError::new(errors.join("; ")))
    }

    fn take_all(&mut self, all: Vec<(Vec<u8>, Vec<u8>)>) {
        let mut before = std::mem::take(&mut self.values);
        self.bad.clear();
        for (key, value) in all {
            if let Some(found) = before.remove(&key) {
                self.values.insert(key.clone(), found);
            }
            self.put(key, &value);
        }
    }

    fn put(&mut self, key: Vec<u8>, value: &[u8]) {
        match decode_one(value) {
            Ok(found) => {
                self.bad.remove(&key);
                self.values.insert(key, found);
            }
            Err(why) => {
                self.bad.insert(key, why);
            }
        }
    }

    fn said(&self) -> Result<Discovered, SourceError> {
        match self.left_out() {
            Some(why) if self.values.is_empty() => Err(SourceError::new(why)),
            _ => Ok(Discovered {
                endpoints: self.values.values().cloned().collect(),
            }),
        }
    }

    /// Waits for changes until the refresh is due. False if all must be read anew.
    async fn wait(&mut self) -> bool {
        let Some(Watching { watch, since }) = &mut self.watch else {
            return false;
        };
        let mut until = *since + self.options.refresh;
        while let Ok(read) = timeout_at(until, watch.read(&mut self.changes)).await {
            match read {
                // Every change is taken at the latest `GATHER` after the first.
                Ok(()) if !self.changes.is_empty() => {
                    until = until.min(Instant::now() + GATHER);
                }
                Ok(()) => {}
                Err(error) => {
                    log::info!("the watch is opened again: {error}");
                    return false;
                }
            }
            if Instant::now() >= until {
                break;
            }
        }
        let changes = std::mem::take(&mut self.changes);
        let is_changed = !changes.is_empty();
        for change in changes {
            match change {
                Change::Put(key, value) => self.put(key, &value),
                Change::Delete(key) => {
                    self.values.remove(&key);
                    self.bad.remove(&key);
                }
            }
        }
        // Over the bound, reading all says what is wrong.
        is_changed && self.values.len() + self.bad.len() <= MAX_FOUND
    }

    async fn ask(&mut self) -> Said {
        if self.wait().await {
            return Ok((self.said()?, Duration::ZERO));
        }
        let was_short = self.watch.as_ref().is_some_and(|watching| {
            watching.since.elapsed() < SHORT_WATCH.min(self.options.refresh)
        });
        self.read_all().await?;
        let pause = if was_short { PAUSE } else { Duration::ZERO };
        Ok((self.said()?, pause))
    }
}

impl Source for EtcdSource {
    fn next(&mut self) -> Next<'_> {
        Box::pin(self.ask())
    }

    fn left_out(&self) -> Option<String> {
        let (key, why) = self.bad.iter().next()?;
        let key = shown(&String::from_utf8_lossy(key));
        let count = self.bad.len();
        Some(format!(
            "{count} values cannot be read, the first of key {key}: {why}"
        ))
    }
}

#[cfg(test)]
pub(super) mod tests;
