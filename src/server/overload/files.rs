//! How many descriptors are open.

use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::Usage;

const FOLDER: &str = "/proc/self/fd";
/// Between two counts at least, where they must be counted; and a count's own time so many times over: 2 % of a thread.
const COUNT_EVERY: Duration = Duration::from_secs(1);
const COUNT_SHARE: u32 = 50;

/// The meter.
#[derive(Debug, Default)]
pub(super) struct Files {
    counted: Option<Counted>,
}

#[derive(Debug)]
struct Counted {
    open: u64,
    next: Instant,
}

impl Files {
    /// Descriptors now. None when there is no limit, or no `/proc`.
    #[expect(clippy::cast_precision_loss, reason = "there are not so many")]
    pub(super) async fn read(&mut self, now: Instant) -> Option<Usage> {
        let of = getrlimit(Resource::Nofile).current?;
        // Since Linux 6.2 the folder's size is their number, for one system call that needs no descriptor.
        let open = match std::fs::metadata(FOLDER).ok()?.len() {
            0 => self.count(now, of).await?,
            open => open,
        };
        Some(Usage {
            used: open as f64,
            of: of as f64,
        })
    }

    /// Counts them one by one, off this thread: with very many that takes a while.
    async fn count(&mut self, now: Instant, limit: u64) -> Option<u64> {
        if let Some(counted) = self.counted.as_ref().filter(|counted| now < counted.next) {
            return Some(counted.open);
        }
        let (open, took) = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            (count(limit), began.elapsed())
        })
        .await
        .ok()?;
        let open = open?;
        let next = now + COUNT_EVERY.max(took * COUNT_SHARE);
        self.counted = Some(Counted { open, next });
        Some(open)
    }
}

/// None left to look with is all of them.
pub(super) fn count(limit: u64) -> Option<u64> {
    match std::fs::read_dir(FOLDER) {
        // One of them is the look's own.
        Ok(entries) => u64::try_from(entries.count().saturating_sub(1)).ok(),
        Err(error) if is_out_of_files(&error) => Some(limit),
        Err(_) => None,
    }
}

fn is_out_of_files(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::MFILE.raw_os_error())
}
