//! Who orders: a lease that one node holds, renews while it works, and gives back.
//!
//! A lease is a numbered file, `NAME.1`, `NAME.2` and so on; the highest number is the one that counts. Whoever wants it
//! creates the next number with `O_EXCL`, which is atomic on network file systems too (NFS since version 3), and then
//! looks whether a higher number was there all along. Numbers only grow, so a node that was asleep and acts on an old
//! view fails instead of taking the lease from a new holder.
//!
//! The next number may be created when the highest one was given back, or when its holder is gone: its text has not
//! changed for the lease's whole term *as seen by the one who waits*, on its own steady clock. So clocks that disagree
//! do no harm, and a holder that was killed is replaced after one term. Only when the holder's end, written by its clock,
//! is ten minutes past is the wait left out: a lease that lay there while nobody looked.
//!
//! A holder that was stopped (SIGSTOP, a moved machine) finds out by [`Lease::is_held`], which it asks before it writes.
//! If it is stopped just between asking and writing, two orders have happened and both certificates are good.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Storage, create, failed, random_hex, read, write};
use crate::tls::acme::error::AcmeError;

/// How far the clocks of nodes may lie apart before a lease is taken without watching it, in seconds.
const SKEW_S: i64 = 600;
/// Most entries of the folder: each certificate of the farm leaves two.
const MAX_LEASES: usize = 65_536;

/// What stands in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Text {
    /// The node's name.
    holder: String,
    /// Changed by every renewal, and no holder's is another's.
    mark: String,
    /// Seconds since 1970 by the holder's clock.
    expires_at: i64,
    /// Given back.
    released: bool,
}

/// The wish for a lease, kept over attempts: it remembers since when the holder is silent.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    name: String,
    holder: String,
    term: Duration,
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    number: u64,
    text: Option<Vec<u8>>,
    since: Instant,
}

/// What an attempt led to.
#[derive(Debug)]
pub enum Attempt {
    /// It is ours.
    Held(Lease),
    /// Another node has it; its name, if that can be read.
    Busy(String),
}

/// A lease that is held. Dropped, it is given back.
#[derive(Debug)]
pub struct Lease {
    folder: PathBuf,
    name: String,
    holder: String,
    number: u64,
    term: Duration,
    renewed: Instant,
    is_over: bool,
}

impl Claim {
    /// For the lease `name` (letters, digits, `-`) by the node `holder`; it ends `term` after its last renewal.
    pub fn new(storage: &Storage, name: &str, holder: &str, term: Duration) -> Self {
        Self {
            folder: storage.leases(),
            name: name.to_owned(),
            holder: holder.to_owned(),
            term,
            seen: None,
        }
    }

    /// Tries once. `now` is in seconds since 1970; `steady` measures how long the holder is silent.
    ///
    /// # Errors
    /// The file system's.
    pub fn attempt(&mut self, now: i64, steady: Instant) -> Result<Attempt, AcmeError> {
        let highest = self.highest()?;
        if highest > 0 {
            let bytes = read(&self.file(highest))?;
            let text: Option<Text> = bytes
                .as_deref()
                .and_then(|bytes| serde_json::from_slice(bytes).ok());
            let is_free = text
                .as_ref()
                .is_some_and(|text| text.released || text.expires_at.saturating_add(SKEW_S) < now);
            if !is_free && !self.is_silent(highest, bytes, steady) {
                let holder = text.map_or_else(|| "a node".to_owned(), |text| text.holder);
                return Ok(Attempt::Busy(holder));
            }
        }
        self.seen = None;
        self.create(highest.saturating_add(1), now, steady)
    }

    /// True once the same text was seen for a whole term.
    fn is_silent(&mut self, number: u64, text: Option<Vec<u8>>, steady: Instant) -> bool {
        match &self.seen {
            Some(seen) if seen.number == number && seen.text == text => {
                steady.saturating_duration_since(seen.since) > self.term
            }
            _ => {
                self.seen = Some(Seen {
                    number,
                    text,
                    since: steady,
                });
                false
            }
        }
    }

    fn create(&self, number: u64, now: i64, steady: Instant) -> Result<Attempt, AcmeError> {
        let mut lease = Lease {
            folder: self.folder.clone(),
            name: self.name.clone(),
            holder: self.holder.clone(),
            number,
            term: self.term,
            renewed: steady,
            // Until it is known to be ours, dropping it must not touch the file.
            is_over: true,
        };
        let file = self.file(number);
        match create(&file, &lease.text(now, false)?) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(Attempt::Busy("a node that was quicker".to_owned()));
            }
            Err(error) => return Err(failed(&file, &error)),
        }
        if self.highest()? > number {
            let _ = fs::remove_file(&file);
            return Ok(Attempt::Busy("a node that was quicker".to_owned()));
        }
        // The one before stays, so that a node with a view one step old meets it and fails.
        for old in numbers(&self.folder, &self.name)? {
            if old.saturating_add(1) < number {
                let _ = fs::remove_file(self.file(old));
            }
        }
        lease.is_over = false;
        Ok(Attempt::Held(lease))
    }

    fn highest(&self) -> Result<u64, AcmeError> {
        highest(&self.folder, &self.name)
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{}.{number}", self.name))
    }
}

impl Lease {
    /// Holds on to it. False if it is lost: another node has taken it, or it was not renewed for a whole term.
    ///
    /// # Errors
    /// The file system's; the lease then runs on to its end.
    pub fn renew(&mut self, now: i64, steady: Instant) -> Result<bool, AcmeError> {
        if !self.is_held(steady)? {
            return Ok(false);
        }
        write(&self.file(), &self.text(now, false)?)?;
        self.renewed = steady;
        Ok(true)
    }

    /// True if it is still ours.
    ///
    /// # Errors
    /// The file system's.
    pub fn is_held(&mut self, steady: Instant) -> Result<bool, AcmeError> {
        let is_late = steady.saturating_duration_since(self.renewed) > self.term;
        if is_late || highest(&self.folder, &self.name)? != self.number {
            self.is_over = true;
        }
        Ok(!self.is_over)
    }

    /// How often it wants to be renewed.
    pub fn renewal_interval(&self) -> Duration {
        self.term / 4
    }

    fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.{}", self.name, self.number))
    }

    fn text(&self, now: i64, released: bool) -> Result<Vec<u8>, AcmeError> {
        let term = i64::try_from(self.term.as_secs()).unwrap_or(i64::MAX);
        let text = Text {
            holder: self.holder.clone(),
            mark: random_hex()?,
            expires_at: now.saturating_add(term),
            released,
        };
        Ok(serde_json::to_vec(&text).unwrap_or_default())
    }
}

impl Drop for Lease {
    /// Gives it back. The file stays, so that its number is not used again.
    fn drop(&mut self) {
        if self.is_over
            || !highest(&self.folder, &self.name).is_ok_and(|number| number == self.number)
        {
            return;
        }
        if let Ok(text) = self.text(0, true) {
            let _ = write(&self.file(), &text);
        }
    }
}

fn highest(folder: &std::path::Path, name: &str) -> Result<u64, AcmeError> {
    Ok(numbers(folder, name)?.into_iter().max().unwrap_or(0))
}

/// The numbers of a lease. Not to see one would make two holders, so all are looked at or none.
fn numbers(folder: &std::path::Path, name: &str) -> Result<Vec<u64>, AcmeError> {
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    let number =
        |file: &str| -> Option<u64> { file.strip_prefix(name)?.strip_prefix('.')?.parse().ok() };
    let mut found = Vec::new();
    for (place, entry) in entries.enumerate() {
        if place >= MAX_LEASES {
            let full = io::Error::other("holds too many files to be the leases of a farm");
            return Err(failed(folder, &full));
        }
        let entry = entry.map_err(|error| failed(folder, &error))?;
        found.extend(entry.file_name().to_str().and_then(number));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
