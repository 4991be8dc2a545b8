//! The cache of the process: opened before the first picture that has it, let go at the end.

use std::sync::{Arc, Weak};
use std::time::Duration;

use farmgate_plugin_api::units::Size;
use farmgate_store::OpenError;

use super::Server;
use crate::cache::SharedCache;
use crate::cache::shared::CacheSettings;
use crate::proxy::id;
use crate::state::cache::Held;
use crate::telemetry::metrics::CacheSource;

/// How long what waits for the folders may take to be written at the end. With the other waits of the end it stays
/// below the time that the service manager was asked for.
const RELEASE: Duration = Duration::from_secs(8);

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
        // In an heir the old process must have let its folders go by now (`Store::release`), else they are locked.
        let elder = self.listeners.lock().is_held();
        match open(settings, elder) {
            Ok(held) => {
                self.state.cache.set_problem(None);
                return Some(held);
            }
            Err(error) => {
                let why = format!("the cache is in memory alone: {}", why(settings, &error));
                log::error!("{why}");
                self.state.cache.set_problem(Some(why));
            }
        }
        let memory = CacheSettings {
            disks: Vec::new(),
            ..settings.clone()
        };
        match open(&memory, elder) {
            Ok(held) => Some(held),
            Err(error) => {
                let why = format!("there is no cache: {}", why(&memory, &error));
                log::error!("{why}");
                self.state.cache.set_problem(Some(why));
                None
            }
        }
    }

    /// Tells the metrics which cache there is from now on.
    pub(super) fn count_cache(&self, settings: Option<&CacheSettings>, held: Option<&Held>) {
        let source = held.map(|held| {
            let source: Weak<dyn CacheSource> = Arc::downgrade(&held.shared) as _;
            source
        });
        let unopened = settings.map(|settings| match held {
            Some(held) if held.on_disk => 0,
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
        if !held.on_disk {
            return;
        }
        if held.shared.store().release(RELEASE) {
            log::info!("the cache was written to its end");
        } else {
            log::warn!(
                "the cache was not written to its end: the next start looks through its folders, and what was not on disk yet is fetched again"
            );
        }
    }
}

fn open(settings: &CacheSettings, elder: bool) -> Result<Held, OpenError> {
    let (cache, opened) = SharedCache::open(settings, id::random(), elder)?;
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
    Ok(Held {
        shared: cache,
        on_disk: !settings.disks.is_empty(),
    })
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
