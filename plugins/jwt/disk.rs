//! The keys of a provider on disk, for a restart while the provider is down.
//!
//! One line (version, seconds since 1970, checksum), then the document. The checksum also covers
//! where the keys came from, so that a file is never taken for those of another provider.

use std::fs::{self, File, OpenOptions};
use std::hash::Hasher;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use siphasher::sip128::{Hasher128, SipHasher13};

use super::jwks::MAX_DOCUMENT_BYTES;

/// The first word of a file.
const VERSION: &str = "farmgate-jwks-1";
/// Longest first line, with room.
const MAX_LINE_BYTES: usize = 128;
/// A file that somebody else is writing may be this old; an older one was left behind.
const WRITING: Duration = Duration::from_secs(60);

/// Keys as they were found.
pub(super) struct Saved {
    /// The document.
    pub(super) document: Vec<u8>,
    /// When the provider confirmed it.
    pub(super) confirmed: SystemTime,
}

/// The place of one provider's keys. All calls block.
#[derive(Clone)]
pub(super) struct Shelf {
    file: PathBuf,
    /// What tells the provider from others.
    identity: Box<str>,
}

impl Shelf {
    /// In this folder, for this provider.
    pub(super) fn new(folder: &Path, identity: &str) -> Self {
        Self {
            file: folder.join(name(identity)),
            identity: identity.into(),
        }
    }

    /// The keys; none if there is no file.
    ///
    /// # Errors
    /// Why they cannot be trusted, or read.
    pub(super) fn read(&self) -> Result<Option<Saved>, String> {
        let mut file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let seen = file.metadata().map_err(|error| error.to_string())?;
        if !seen.is_file() || seen.mode() & 0o022 != 0 {
            return Err("others may write it".to_owned());
        }
        let mut bytes = Vec::new();
        let most = u64::try_from(MAX_DOCUMENT_BYTES + MAX_LINE_BYTES).unwrap_or(u64::MAX);
        let read = (&mut file).take(most + 1).read_to_end(&mut bytes);
        read.map_err(|error| error.to_string())?;
        self.parse(&bytes).map(Some)
    }

    fn parse(&self, bytes: &[u8]) -> Result<Saved, String> {
        let whole = || -> Option<Saved> {
            let end = bytes
                .iter()
                .take(MAX_LINE_BYTES)
                .position(|b| *b == b'\n')?;
            let (line, rest) = bytes.split_at_checked(end)?;
            let document = rest.get(1..)?;
            let mut words = std::str::from_utf8(line).ok()?.split(' ');
            let (version, seconds, sum) = (words.next()?, words.next()?, words.next()?);
            let right = version == VERSION
                && words.next().is_none()
                && document.len() <= MAX_DOCUMENT_BYTES
                && sum == self.sum(seconds, document);
            let since = Duration::from_secs(seconds.parse().ok()?);
            right.then_some(Saved {
                document: document.to_vec(),
                confirmed: SystemTime::UNIX_EPOCH.checked_add(since)?,
            })
        };
        whole().ok_or_else(|| "it is not whole, or not of this provider".to_owned())
    }

    fn sum(&self, seconds: &str, document: &[u8]) -> String {
        let sum = digest(&[self.identity.as_bytes(), seconds.as_bytes(), document]);
        format!("{sum:032x}")
    }

    /// Replaces the keys in one step: after a crash there are the old ones or the new ones.
    ///
    /// # Errors
    /// They cannot be written; the old ones stay.
    pub(super) fn write(&self, document: &[u8], confirmed: SystemTime) -> io::Result<()> {
        let since = confirmed.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.unwrap_or_default().as_secs().to_string();
        let line = format!("{VERSION} {seconds} {}\n", self.sum(&seconds, document));
        let fresh = self.file.with_extension("new");
        let mut file = create(&fresh)?;
        let written = file
            .write_all(line.as_bytes())
            .and_then(|()| file.write_all(document))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&fresh, &self.file));
        if written.is_err() {
            let _ = fs::remove_file(&fresh);
            return written;
        }
        // The name is on disk, too.
        match self.file.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// A new file for us alone. During an upgrade two processes may write: the second one leaves it.
fn create(path: &Path) -> io::Result<File> {
    let open = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(path)
    };
    open().or_else(|error| {
        let age = fs::symlink_metadata(path).and_then(|seen| seen.modified());
        let age = age.ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age < WRITING) {
            return Err(error);
        }
        fs::remove_file(path)?;
        open()
    })
}

/// The name of a provider's keys, on disk and among what is kept.
pub(super) fn name(identity: &str) -> String {
    format!("keys-{:032x}", digest(&[identity.as_bytes()]))
}

/// A checksum, each part with its length. It finds damage, not forgery: who may write the folder is
/// trusted.
fn digest(parts: &[&[u8]]) -> u128 {
    let mut hasher = SipHasher13::new();
    for part in parts {
        hasher.write(&part.len().to_le_bytes());
        hasher.write(part);
    }
    hasher.finish128().as_u128()
}
