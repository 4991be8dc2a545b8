//! Reload when the configuration's files change. Off unless `[server] watch` says so.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Server;

/// How often the files are looked at. Looking is cheap and, unlike notifications, sees symlink swaps
/// and network file systems alike.
const LOOK: Duration = Duration::from_millis(500);

/// What the files looked like: time of change, length and inode of each; none for what is not there.
#[derive(PartialEq, Eq)]
pub struct Seen(BTreeMap<PathBuf, Option<(SystemTime, u64, u64)>>);

/// Watches for ever. A change is taken once nothing changed for the configured debounce. `known` was seen before the
/// configuration in force was read, so that a change while the node starts is not missed.
pub async fn run(server: Arc<Server>, mut known: Seen) {
    let mut changed_at = None;
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let Some(debounce) = server.settings().watch else {
            known = look(&server.paths);
            changed_at = None;
            continue;
        };
        let now = look(&server.paths);
        if now != known {
            known = now;
            changed_at = Some(tokio::time::Instant::now());
        } else if changed_at.is_some_and(|at| at.elapsed() >= debounce) {
            changed_at = None;
            // The result is in the log, the metrics and `status`.
            let _ = server.reload().await;
        }
    }
}

/// Looks at the files and folders of a configuration.
pub fn look(paths: &[PathBuf]) -> Seen {
    use std::os::unix::fs::MetadataExt;
    let mut seen = BTreeMap::new();
    let mut note = |path: PathBuf| {
        let found = std::fs::metadata(&path).ok();
        let print = found.and_then(|meta| Some((meta.modified().ok()?, meta.len(), meta.ino())));
        seen.insert(path, print);
    };
    for path in paths {
        if path.is_dir() {
            for file in std::fs::read_dir(path).into_iter().flatten().flatten() {
                if file.path().extension().is_some_and(|e| e == "toml") {
                    note(file.path());
                }
            }
        }
        note(path.clone());
    }
    Seen(seen)
}
