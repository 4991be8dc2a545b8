//! The folder of account, certificates, leases and pending challenges, which several nodes may share.
//!
//! Every file appears by a rename, so that nobody ever reads half of one. Nothing here relies on locks of the file
//! system, which network file systems keep badly: see [`lease`].
//!
//! ```text
//! accounts/ID.json                  our account with one directory, with its key
//! certificates/NAME-ID/record.json  what is served and what was tried: the one file that is replaced
//! certificates/NAME-ID/VERSION/     chain.pem and key.pem of one order; written once
//! challenges/                       what the authority will ask any of the nodes
//! leases/ID.NUMBER                  who orders
//! ```

pub mod lease;
pub mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::error::{AcmeError, Stage};

/// Largest file that is read here, in bytes; a chain of ten certificates has 20 KiB.
const MAX_BYTES: u64 = 1 << 20;
/// Most entries of a folder that are looked at.
pub(super) const MAX_ENTRIES: usize = 1_024;
/// What an order or a writer that was killed left is removed after this time.
pub(super) const STALE: Duration = Duration::from_secs(3_600);

/// The folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage {
    root: PathBuf,
}

impl Storage {
    /// Makes the folder, readable to its owner alone, and the folders in it.
    ///
    /// # Errors
    /// Names the folder and the system's reason.
    pub fn open(root: &Path) -> Result<Self, AcmeError> {
        let storage = Self::at(root);
        storage.make()?;
        Ok(storage)
    }

    /// The folder, whether it is there or not.
    pub(super) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Makes what is missing of the folders: they may be removed, or mounted late, while nodes run. Takes away what
    /// killed writers left.
    ///
    /// # Errors
    /// Names the folder and the system's reason.
    pub(super) fn make(&self) -> Result<(), AcmeError> {
        for folder in self.folders() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|error| failed(&folder, &error))?;
            remove_old_drafts(&folder, SystemTime::now());
        }
        Ok(())
    }

    fn folders(&self) -> [PathBuf; 4] {
        ["accounts", "certificates", "challenges", "leases"].map(|part| self.root.join(part))
    }

    pub(super) fn account_file(&self, directory: &str) -> PathBuf {
        let name = format!("{}.json", digest_hex(&[directory]));
        self.root.join("accounts").join(name)
    }

    pub(super) fn certificates(&self) -> PathBuf {
        self.root.join("certificates")
    }

    pub(super) fn challenges(&self) -> PathBuf {
        self.root.join("challenges")
    }

    pub(super) fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }
}

/// An error with the file and the system's reason.
pub(super) fn failed(path: &Path, error: &io::Error) -> AcmeError {
    AcmeError::new(Stage::Storage, format!("{}: {error}", path.display()))
}

/// The first 64 bits of a SHA-256 over `parts`, in hexadecimal: a name that is safe in paths.
pub(super) fn digest_hex(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex(hash.finalize().get(..8).unwrap_or_default())
}

/// Sixteen hexadecimal digits that nobody else has.
pub(super) fn random_hex() -> Result<String, AcmeError> {
    let mut bytes = [0; 8];
    boring::rand::rand_bytes(&mut bytes).map_err(|error| AcmeError::new(Stage::Storage, error))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file, for its owner alone, so that it is there as a whole or not at all, and stays after a power cut.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), AcmeError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The name begins with a dot: readers of folders pass over it.
    let draft = path.with_file_name(format!(".{name}.{}", random_hex()?));
    let written = create(&draft, bytes)
        .and_then(|()| fs::rename(&draft, path))
        .and_then(|()| path.parent().map_or(Ok(()), sync_folder));
    written.map_err(|error| {
        let _ = fs::remove_file(&draft);
        failed(path, &error)
    })
}

/// Writes a file that must not be there yet. On a full disk nothing of it is left.
pub(super) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

/// Makes names in a folder last. Some network file systems refuse this and do it anyway.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// A whole file of at most 1 MiB; none if it is not there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, AcmeError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, &error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(path, &error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(AcmeError::new(
            Stage::Storage,
            format!("{}: is over 1 MiB", path.display()),
        ));
    }
    Ok(Some(bytes))
}

/// Removes the drafts that killed writers left, an hour after they were written.
pub(super) fn remove_old_drafts(folder: &Path, now: SystemTime) {
    let entries = fs::read_dir(folder).into_iter().flatten().take(MAX_ENTRIES);
    for entry in entries.flatten() {
        let is_draft = entry.file_name().as_encoded_bytes().starts_with(b".");
        if is_draft && is_older(&entry.path(), now) {
            // Another node may be quicker.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// True if the file was written more than an hour before.
pub(super) fn is_older(path: &Path, now: SystemTime) -> bool {
    let written = fs::metadata(path).and_then(|found| found.modified());
    written.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > STALE))
}

/// Names in a folder, without drafts; at most 1,024 of them.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, AcmeError> {
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    Ok(entries
        .take(MAX_ENTRIES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect())
}

#[cfg(test)]
mod tests;
