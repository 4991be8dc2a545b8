//! Files that are read again when they change, and the certificates that were read.
//!
//! Looking (stat) instead of kernel notices: it works on every file system, over renames, over symbolic links that
//! are swapped and over bind mounts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

pub use crate::telemetry::stamp::Stamp;

use super::certificate::{Certificate, CertificateError, Problem};

/// A certificate's file and its key's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// PEM file of the chain.
    pub certificate: PathBuf,
    /// PEM file of the key.
    pub key: PathBuf,
}

impl Pair {
    fn stamps(&self) -> [Option<Stamp>; 2] {
        [Stamp::of(&self.certificate), Stamp::of(&self.key)]
    }
}

struct Known {
    /// Of what was read; none when it must be read again whatever the stamps are.
    stamps: Option<[Option<Stamp>; 2]>,
    certificate: Arc<Certificate>,
}

/// The certificates of the process by their files: read once, and again when the files change. A file with ten
/// thousand certificates beside it costs a reload two looks, not two reads.
#[derive(Default)]
pub struct Certificates(Mutex<HashMap<Pair, Known>>);

impl Certificates {
    /// The certificate as its files are now.
    ///
    /// # Errors
    /// The files cannot be used. What was read before is still there as [`Certificates::known`]. One that has
    /// expired is an error only where a valid one was read before: it must not take its place.
    pub fn open(&self, pair: &Pair, now: SystemTime) -> Result<Arc<Certificate>, CertificateError> {
        let before = pair.stamps();
        let known = self
            .0
            .lock()
            .get(pair)
            .map(|known| (known.stamps, Arc::clone(&known.certificate)));
        if let Some((stamps, certificate)) = &known
            && *stamps == Some(before)
        {
            return Ok(Arc::clone(certificate));
        }
        let read = Certificate::open(&pair.certificate, &pair.key)?;
        let seconds = seconds(now);
        if read.not_after() <= seconds
            && known.is_some_and(|(_, old)| {
                old.not_after() > seconds && old.fingerprint() != read.fingerprint()
            })
        {
            return Err(CertificateError {
                file: pair.certificate.clone(),
                problem: Problem::Expired,
            });
        }
        let settled = before
            .iter()
            .all(|stamp| stamp.is_some_and(|stamp| stamp.is_settled(now)));
        // Somebody may be writing: then it is read once more at the next look.
        let stamps = (settled && before == pair.stamps()).then_some(before);
        let mut all = self.0.lock();
        let certificate = match all.get(pair) {
            // The same content under a new stamp stays the same object.
            Some(old) if old.certificate.is_same(&read) => Arc::clone(&old.certificate),
            _ => Arc::new(read),
        };
        let known = Known {
            stamps,
            certificate: Arc::clone(&certificate),
        };
        all.insert(pair.clone(), known);
        Ok(certificate)
    }

    /// What was read from these files last.
    pub fn known(&self, pair: &Pair) -> Option<Arc<Certificate>> {
        Some(Arc::clone(&self.0.lock().get(pair)?.certificate))
    }

    /// Forgets certificates nobody uses any more. Call after a reload.
    pub fn purge(&self) {
        let mut all = self.0.lock();
        all.retain(|_, known| Arc::strong_count(&known.certificate) > 1);
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificates({})", self.0.lock().len())
    }
}

/// Seconds since 1970.
pub fn seconds(now: SystemTime) -> i64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// Tells apart what must be reported from what was only seen while somebody wrote: a problem counts once it is seen
/// twice with the same text, and is told once.
#[derive(Debug, Default)]
pub struct Problems(HashMap<PathBuf, Seen>);

#[derive(Debug)]
struct Seen {
    text: String,
    told: bool,
}

impl Problems {
    /// The file cannot be used for this reason. True if it is time to tell.
    pub fn seen(&mut self, file: &Path, text: String) -> bool {
        let entry = self.0.entry(file.to_owned()).or_insert_with(|| Seen {
            text: String::new(),
            told: false,
        });
        if entry.text != text {
            *entry = Seen { text, told: false };
            return false;
        }
        !std::mem::replace(&mut entry.told, true)
    }

    /// The file is fine again. True if something else had been told.
    pub fn cleared(&mut self, file: &Path) -> bool {
        self.0.remove(file).is_some_and(|seen| seen.told)
    }

    /// Files whose problem was told, and the problem.
    pub fn told(&self) -> impl Iterator<Item = (&Path, &str)> {
        let told = self.0.iter().filter(|(_, seen)| seen.told);
        told.map(|(file, seen)| (file.as_path(), seen.text.as_str()))
    }
}

#[cfg(test)]
mod tests;
