//! The cache of the process: opened before the first picture that has it, its folders handed on to the process that takes
//! over, let go at the end.

use std::sync::{Arc, Weak};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use farmgate_plugin_api::units::Size;
use farmgate_store::OpenError;

use super::{Server, allocator};
use crate::cache::SharedCache;
use crate::cache::shared::{CacheSettings, Opened};
use crate::proxy::id;
use crate::state::cache::Held;
use crate::telemetry::metrics::CacheSource;

/// How long what waits for the folders may take to be written at the end. With the other waits of the end it stays
/// below the time that the service manager was asked for.
const RELEASE: Duration = Duration::from_secs(8);
/// The same when another process takes over, which waits for it, as do the operators. Clients are served meanwhile.
const HAND_OVER: Duration = Duration::from_secs(4);
/// How long it may take until the index is in memory, before the first client: what is not found yet is a miss.
const INDEX: Duration = Duration::from_secs(2);
/// How often something is looked at that ends soon.
const LOOK: Duration = Duration::from_millis(5);

impl Server {
    /// The cache for a picture that is about to be published: the one there is, or one that is opened now.
    ///
    /// Folders that cannot be opened cost the objects on them, never the start: a node that answers from its origin and
    /// its memory is better than one that is down. Only the first picture can come here with folders, they cannot
    /// change in a running process.
    pub(super) fn cache_for(&self, settings: Option<&CacheSettings>) -> Option<Held> {
        let Some(settings) = settings else {
            self.state.cache.set_problem(None);
            return None;
        };
        if let Some(held) = self.state.cache.get() {
            return Some(held);
        }
        if self.listeners.lock().is_held() {
            // The old process still writes the folders.
            return Some(self.held(SharedCache::waiting(settings, id::random())));
        }
        let elder = self.upgrades.elders.count() > 0;
        let shared = match SharedCache::open(settings, id::random(), elder) {
            Ok((shared, opened)) => {
                self.state.cache.set_problem(None);
                say_opened(settings, opened);
                shared
            }
            Err(error) => {
                self.in_memory_alone(settings, &error);
                SharedCache::waiting(settings, id::random())
            }
        };
        Some(self.held(shared))
    }

    fn in_memory_alone(&self, settings: &CacheSettings, error: &OpenError) {
        let why = format!("the cache is in memory alone: {}", why(settings, error));
        log::error!("{why}");
        self.state.cache.set_problem(Some(why));
    }

    fn held(&self, shared: Arc<SharedCache>) -> Held {
        let others = Arc::clone(&self.upgrades.relay);
        shared.set_others(others);
        Held { shared }
    }

    /// Has the cache use its folders, which another process had; `elder` says that it still reads them. What is locked
    /// is tried for `patience`. Blocks.
    pub(super) fn take_folders(&self, elder: bool, patience: Duration) {
        let (Some(held), Some(settings)) = (self.state.cache.get(), self.settings().cache.clone())
        else {
            return;
        };
        let begun = Instant::now();
        let taken = loop {
            match held.shared.take_folders(id::random(), elder) {
                Err(OpenError::Locked(_)) if begun.elapsed() < patience => park_timeout(LOOK),
                taken => break taken,
            }
        };
        match taken {
            Ok(None) => return,
            Ok(Some(opened)) => say_opened(&settings, opened),
            Err(error) => return self.in_memory_alone(&settings, &error),
        }
        self.state.cache.set_problem(None);
        self.count_cache(Some(&settings), Some(&held));
        let store = held.shared.store().clone();
        let opened = Instant::now();
        while !store.is_recovered() && opened.elapsed() < INDEX {
            park_timeout(LOOK);
        }
        log::info!(
            "the cache's folders are ours: {} objects found in {} ms{}",
            store.objects(),
            begun.elapsed().as_millis(),
            if store.is_recovered() {
                ""
            } else {
                ", and still looking"
            }
        );
    }

    /// Lets the folders go for a process that takes over, and most of the memory. This one serves on from both.
    /// Blocks, for about [`HAND_OVER`] at most.
    pub(super) fn hand_over_folders(&self) {
        let Some(held) = self.state.cache.get() else {
            return;
        };
        let begun = Instant::now();
        let Some(released) = held.shared.release(HAND_OVER) else {
            return;
        };
        let took = begun.elapsed().as_millis();
        // Before the other one fills its own.
        held.shared.make_way();
        allocator::give_back();
        if released.clean {
            log::info!(
                "the cache's folders are handed over with {} objects, in {took} ms",
                released.objects
            );
        } else {
            log::warn!(
                "the cache's folders are handed over after {took} ms, not written to their end: the other process looks through them, and what was not on disk yet is fetched again"
            );
        }
    }

    /// The processes that read the folders as they were have ended.
    pub(super) fn folders_alone(&self) {
        if let Some(held) = self.state.cache.get() {
            held.shared.elder_gone();
        }
    }

    /// Tells the metrics which cache there is from now on.
    pub(super) fn count_cache(&self, settings: Option<&CacheSettings>, held: Option<&Held>) {
        let source = held.map(|held| {
            let source: Weak<dyn CacheSource> = Arc::downgrade(&held.shared) as _;
            source
        });
        let unopened = settings.map(|settings| match held {
            Some(held) if held.shared.is_on_disk() => 0,
            _ => settings.disks.len() as u64,
        });
        self.node.metrics.set_cache(source, unopened);
    }

    /// Lets the folders go, at the end of the process: what waits is written, and the next start finds everything at
    /// once. Takes about [`RELEASE`] at most.
    pub(super) fn release_cache(&self) {
        let Some(held) = self.state.cache.take() else {
            return;
        };
        let Some(released) = held.shared.release(RELEASE) else {
            return;
        };
        if released.clean {
            log::info!("the cache was written to its end");
        } else {
            log::warn!(
                "the cache was not written to its end: the next start looks through its folders, and what was not on disk yet is fetched again"
            );
        }
    }
}

fn say_opened(settings: &CacheSettings, opened: Opened) {
    if opened.purged_all {
        log::warn!(
            "the cache's journal of purges is missing or damaged: everything on disk counts as purged"
        );
    }
    if opened.foreign_disks > 0 {
        log::warn!(
            "{} of the cache's folders belonged to another store, or to none: they were made anew",
            opened.foreign_disks
        );
    }
    log::info!(
        "the cache has {} of memory and {} folders",
        Size::from_bytes(settings.memory_bytes),
        settings.disks.len()
    );
}

/// What is wrong, where, and what to do.
fn why(settings: &CacheSettings, error: &OpenError) -> String {
    let folder = |disk: &usize| match settings.disks.get(*disk) {
        Some(disk) => disk.path.display().to_string(),
        None => format!("disk {disk}"),
    };
    match error {
        OpenError::Locked(disk) => {
            let folder = folder(disk);
            format!(
                "{folder} is written by another process; stop it (`fuser -v {folder}/lock` names it) or give this node a folder of its own, then restart"
            )
        }
        OpenError::Disk(disk, error) => format!(
            "{}: {error}; see that the device works and that the service's user may write there, then restart",
            folder(disk)
        ),
        OpenError::Bounds(disk) => {
            format!("{}: {error}; change cache.disk, then restart", folder(disk))
        }
        OpenError::Thread(_) => {
            format!("{error}; raise the limit of threads (TasksMax), then restart")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::cache::shared::{DiskSettings, Durability};

    #[test]
    fn a_reason_names_the_folder_and_what_to_do() {
        let folder = |path: &str| DiskSettings {
            path: PathBuf::from(path),
            size_bytes: 64 << 20,
        };
        let settings = CacheSettings {
            memory_bytes: 16 << 20,
            disks: vec![folder("/a"), folder("/b")],
            durability: Durability::Interval,
        };
        let told = why(&settings, &OpenError::Locked(1));
        assert!(
            told.starts_with("/b is written by another process; stop it"),
            "{told}"
        );
        assert!(told.contains("/b/lock"), "{told}");
        let error = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        let told = why(&settings, &OpenError::Disk(0, error));
        assert!(
            told.starts_with("/a: read-only") && told.contains("then restart"),
            "{told}"
        );
        // A number that has no folder is told as it is.
        let told = why(&settings, &OpenError::Bounds(7));
        assert!(told.starts_with("disk 7: "), "{told}");
    }
}
