//! What is seen of a file from outside, for whoever reads it again when it changes: certificates, plugins' files, endpoints.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file this young may change once more without a new time stamp: stamps are that coarse on some
/// file systems (FAT: 2 s). It is read again until it is older.
const SETTLED: Duration = Duration::from_secs(2);

/// What tells one version of a file from another without reading it. Symbolic links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file as it is now; none if there is none.
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::from)
    }

    /// True if a change of the file must have given it another stamp by `now`.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let age = i64::try_from(now).unwrap_or(i64::MAX) - self.changed.0;
        // A clock that was set back makes the stamp lie in the future: no use in waiting for that.
        age.unsigned_abs() > SETTLED.as_secs()
    }
}

impl From<&Metadata> for Stamp {
    fn from(seen: &Metadata) -> Self {
        Self {
            device: seen.dev(),
            inode: seen.ino(),
            bytes: seen.size(),
            modified: (seen.mtime(), seen.mtime_nsec()),
            changed: (seen.ctime(), seen.ctime_nsec()),
        }
    }
}
