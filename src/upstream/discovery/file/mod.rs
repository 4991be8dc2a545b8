//! Endpoints out of a file, JSON or TOML by the end of its name, taken again when it changes.
//!
//! Looking (stat) instead of kernel notices: it works on every file system, over renames, over symbolic links that
//! are swapped and over bind mounts. A changed file is read once it held still for a moment, so that somebody who
//! writes it in place is not read half way; renaming a finished file into its place is still the better way.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use tokio::time::{Instant, sleep};

use super::ask::{Next, Said, Source};
use super::source::{Discovered, SourceError};
use super::targets::{Form, MAX_BYTES, decode};
use crate::telemetry::stamp::Stamp;

/// A changed file is read when two looks this far apart see the same.
const STILL: Duration = Duration::from_millis(100);

/// The endpoints are confirmed this often while the file stays as it is.
pub(super) const CONFIRMED: Duration = Duration::from_secs(5);

/// A file of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// The file; it ends in `.json` or `.toml`.
    pub path: PathBuf,
    /// Time between two looks. 1 s is usual; at least 10 ms.
    pub interval: Duration,
}

/// The source of a file.
pub struct FileSource {
    options: FileOptions,
    /// Of the content that was taken last; none when it must be read again whatever the stamp is.
    stamp: Option<Stamp>,
    /// What the last good content says.
    last: Option<Discovered>,
    /// When that was said; none when it is to be said now.
    confirmed: Option<Instant>,
}

/// What one look found.
enum Looked {
    /// `last` is what the file says.
    Same,
    /// Somebody writes it.
    Busy,
}

impl FileSource {
    /// A source that has read nothing yet.
    pub fn new(options: FileOptions) -> Self {
        let options = FileOptions {
            interval: options.interval.max(Duration::from_millis(10)),
            ..options
        };
        Self {
            options,
            stamp: None,
            last: None,
            confirmed: None,
        }
    }

    fn error(&self, why: impl std::fmt::Display) -> SourceError {
        SourceError::new(format!("{}: {why}", self.options.path.display()))
    }

    async fn stat(&self) -> Result<Stamp, SourceError> {
        let path = self.options.path.clone();
        let seen = tokio::task::spawn_blocking(move || std::fs::metadata(path)).await;
        match seen {
            Ok(Ok(seen)) => Ok(Stamp::from(&seen)),
            Ok(Err(error)) => Err(self.error(error)),
            Err(_) => Err(self.error("the process ends")),
        }
    }

    /// The file's content once it holds still; none while somebody writes it.
    async fn read(&self, seen: Stamp) -> Result<Option<Vec<u8>>, SourceError> {
        sleep(STILL).await;
        if self.stat().await? != seen {
            return Ok(None);
        }
        let path = self.options.path.clone();
        let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
        let content = match read {
            Ok(Ok(content)) => content,
            Ok(Err(why)) => return Err(self.error(why)),
            Err(_) => return Err(self.error("the process ends")),
        };
        Ok((self.stat().await? == seen).then_some(content))
    }

    async fn look(&mut self) -> Result<Looked, SourceError> {
        let seen = self.stat().await?;
        if self.stamp == Some(seen) {
            return Ok(Looked::Same);
        }
        let Some(content) = self.read(seen).await? else {
            return Ok(Looked::Busy);
        };
        let Some(form) = self.options.path.to_str().and_then(Form::of_name) else {
            return Err(self.error("the name ends in neither .json nor .toml"));
        };
        let said = decode(&content, form).map_err(|why| self.error(why))?;
        self.stamp = seen.is_settled(SystemTime::now()).then_some(seen);
        if self.last.as_ref() == Some(&said) {
            return Ok(Looked::Same);
        }
        self.last = Some(said);
        self.confirmed = None;
        Ok(Looked::Same)
    }

    async fn wait(&mut self) -> Said {
        let mut busy_until = None;
        loop {
            match self.look().await {
                Ok(Looked::Busy) => {
                    let until = *busy_until.get_or_insert_with(|| Instant::now() + CONFIRMED);
                    if Instant::now() >= until {
                        return Err(self.error("changes faster than it can be read"));
                    }
                }
                Ok(Looked::Same) => {
                    busy_until = None;
                    let is_due = self
                        .confirmed
                        .is_none_or(|then| then.elapsed() >= CONFIRMED);
                    if is_due && let Some(said) = &self.last {
                        self.confirmed = Some(Instant::now());
                        return Ok((said.clone(), self.options.interval));
                    }
                }
                Err(error) => {
                    // Whatever comes next is told, also if it is what was there before.
                    self.stamp = None;
                    self.confirmed = None;
                    return Err(error);
                }
            }
            sleep(self.options.interval).await;
        }
    }
}

impl Source for FileSource {
    fn next(&mut self) -> Next<'_> {
        Box::pin(self.wait())
    }

    /// A look costs nothing: a file that is back is seen at once.
    fn longest_pause(&self) -> Duration {
        self.options.interval
    }
}

/// Reads at most [`MAX_BYTES`] of a regular file. A pipe would hold the thread until somebody writes.
fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| error.to_string())?;
    let seen = file.metadata().map_err(|error| error.to_string())?;
    if !seen.is_file() {
        return Err("is no regular file".to_owned());
    }
    let mut content = Vec::new();
    file.take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut content)
        .map_err(|error| error.to_string())?;
    Ok(content)
}

#[cfg(test)]
mod tests;
