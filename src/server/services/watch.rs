//! Files that plugins read: looked at again and again by one task, parsed again when they change.
//!
//! Looking (stat) instead of kernel notices: it works on every file system, over symbolic links that
//! are swapped, over renames and over bind mounts.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use farmgate_plugin_api::services::Counter;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};

use crate::compile::dry::read_file;
use crate::tls::files::Stamp;

/// Files watched by the process at most.
const MAX_FILES: usize = 4_096;

type Parse = Box<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>;

/// What was seen of a file the last time.
#[derive(Debug, Default)]
struct Seen {
    /// None when it must be read again whatever its stamp is.
    stamp: Option<Stamp>,
    /// Hash of the version that was parsed last, well or not: each is parsed and reported once.
    content: u64,
    /// Why the file could not be read the last time, so that it is reported once.
    unreadable: Option<String>,
}

/// What is looked at again and again.
pub(super) trait Look: Send + Sync {
    /// Looks whether it changed, and takes what is new. Blocks.
    fn look(&self, now: SystemTime);
}

/// A watched file.
pub(super) struct Watched {
    /// Whose it is, for messages.
    name: String,
    path: PathBuf,
    max_bytes: u64,
    parse: Parse,
    errors: Arc<dyn Counter>,
    hasher: RandomState,
    seen: Mutex<Seen>,
}

impl Watched {
    /// Reads and parses the file for the first time, on the calling thread.
    ///
    /// # Errors
    /// The text says why the file cannot be used.
    pub(super) fn open(
        name: String,
        path: &Path,
        max_bytes: u64,
        parse: Parse,
        errors: Arc<dyn Counter>,
    ) -> Result<Self, String> {
        let file = Self {
            name,
            path: path.to_owned(),
            max_bytes,
            parse,
            errors,
            hasher: RandomState::new(),
            seen: Mutex::default(),
        };
        let stamp = Stamp::of(path);
        let content = read_file(path, max_bytes)?;
        file.parse(&content)?;
        *file.seen.lock() = Seen {
            stamp: stamp.filter(|stamp| stamp.is_settled(SystemTime::now())),
            content: file.hasher.hash_one(&content),
            unreadable: None,
        };
        Ok(file)
    }

    fn parse(&self, content: &[u8]) -> Result<(), String> {
        let call = catch_unwind(AssertUnwindSafe(|| (self.parse)(content)));
        call.unwrap_or_else(|_| Err("the parser panicked".to_owned()))
    }

    fn failed(&self, error: &str) {
        self.errors.add(1);
        let (name, path) = (&self.name, self.path.display());
        log::warn!("{name}: {path} {error}; the last good version stays");
    }
}

impl Look for Watched {
    fn look(&self, now: SystemTime) {
        let before = Stamp::of(&self.path);
        let mut seen = self.seen.lock();
        if before.is_some() && before == seen.stamp {
            return;
        }
        let content = match read_file(&self.path, self.max_bytes) {
            Ok(content) => content,
            Err(error) => {
                seen.stamp = None;
                if seen.unreadable.as_ref() != Some(&error) {
                    self.failed(&error);
                    seen.unreadable = Some(error);
                }
                return;
            }
        };
        seen.unreadable = None;
        if Stamp::of(&self.path) != before {
            // Somebody is writing: what was read is half of it. The next look takes it.
            seen.stamp = None;
            return;
        }
        seen.stamp = before.filter(|stamp| stamp.is_settled(now));
        let hash = self.hasher.hash_one(&content);
        if hash == seen.content {
            return;
        }
        seen.content = hash;
        match self.parse(&content) {
            Ok(()) => log::info!("{}: read {} again", self.name, self.path.display()),
            Err(error) => self.failed(&error),
        }
    }
}

type Looked = (Weak<()>, Arc<dyn Look>);

struct Files {
    watched: Vec<Looked>,
    running: bool,
}

/// All watched files of the process, and the one task that looks at them.
pub(super) struct Watcher {
    runtime: Handle,
    every: Duration,
    files: Mutex<Files>,
}

impl Watcher {
    pub(super) fn new(runtime: Handle, every: Duration) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            every: every.max(Duration::from_millis(1)),
            files: Mutex::new(Files {
                watched: Vec::new(),
                running: false,
            }),
        })
    }

    /// Watches the file while `alive` is held by somebody else.
    ///
    /// # Errors
    /// Too many files are watched.
    pub(super) fn add(
        self: &Arc<Self>,
        file: Arc<dyn Look>,
        alive: &Arc<()>,
    ) -> Result<(), String> {
        let mut files = self.files.lock();
        if files.watched.len() >= MAX_FILES {
            files.watched.retain(|(alive, _)| alive.strong_count() > 0);
        }
        if files.watched.len() >= MAX_FILES {
            return Err(format!("is one too many: {MAX_FILES} files are watched"));
        }
        files.watched.push((Arc::downgrade(alive), file));
        if !files.running {
            files.running = true;
            self.runtime.spawn(run(Arc::downgrade(self), self.every));
        }
        Ok(())
    }

    /// The files that are still wanted. When there is none the task is told to end.
    fn living(&self) -> Option<Vec<Looked>> {
        let mut files = self.files.lock();
        files.watched.retain(|(alive, _)| alive.strong_count() > 0);
        files.running = !files.watched.is_empty();
        files.running.then(|| files.watched.clone())
    }
}

/// Looks at all files every `period`, until there is none or the host is gone.
async fn run(watcher: Weak<Watcher>, period: Duration) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Some(files) = watcher.upgrade().and_then(|watcher| watcher.living()) else {
            return;
        };
        let looked = tokio::task::spawn_blocking(move || {
            for (alive, file) in &files {
                if alive.strong_count() > 0 {
                    file.look(SystemTime::now());
                }
            }
        });
        // An error means that the runtime ends: the next tick finds that out.
        let _ = looked.await;
    }
}

#[cfg(test)]
mod tests;
