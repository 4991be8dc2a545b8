//! A folder of the file system.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, FileName, HeldFile};

/// Descriptors that are kept open; more are opened and closed as they are used.
const OPEN_FILES: usize = 512;

/// The files of one folder.
#[derive(Debug)]
pub struct FileDisk {
    folder: PathBuf,
    open: Mutex<HashMap<FileName, Arc<File>>>,
    lock: Mutex<Option<File>>,
}

impl FileDisk {
    /// Opens a folder, creating it. What is made here is for the owner alone: bodies may be meant for few.
    ///
    /// # Errors
    /// It cannot be created or is not a folder.
    pub fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            open: Mutex::default(),
            lock: Mutex::default(),
        })
    }

    fn path(&self, file: FileName) -> PathBuf {
        self.folder.join(match file {
            FileName::Superblock => "superblock".to_owned(),
            FileName::Journal => "purges".to_owned(),
            FileName::JournalNew => "purges.new".to_owned(),
            FileName::Snapshot => "index".to_owned(),
            FileName::SnapshotNew => "index.new".to_owned(),
            FileName::Segment(number) => format!("{number:016x}.segment"),
        })
    }

    fn name(file: &str) -> Option<FileName> {
        Some(match file {
            "superblock" => FileName::Superblock,
            "purges" => FileName::Journal,
            "purges.new" => FileName::JournalNew,
            "index" => FileName::Snapshot,
            "index.new" => FileName::SnapshotNew,
            segment => {
                let digits = segment
                    .strip_suffix(".segment")
                    .filter(|digits| digits.len() == 16)?;
                FileName::Segment(u64::from_str_radix(digits, 16).ok()?)
            }
        })
    }

    fn file(&self, file: FileName, create: bool) -> io::Result<Arc<File>> {
        if let Some(open) = self.open.lock().get(&file) {
            return Ok(Arc::clone(open));
        }
        let path = self.path(file);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create).mode(0o600);
        let opened = match options.open(&path) {
            // A disk that became read-only can still be read.
            Err(error) if !create && error.kind() != io::ErrorKind::NotFound => File::open(&path)?,
            opened => opened?,
        };
        let opened = Arc::new(opened);
        let mut open = self.open.lock();
        if open.len() >= OPEN_FILES {
            // Any one will do: they are opened again when they are wanted.
            let victim = open.keys().next().copied();
            victim.and_then(|victim| open.remove(&victim));
        }
        open.insert(file, Arc::clone(&opened));
        Ok(opened)
    }
}

impl Disk for FileDisk {
    fn read_at(&self, file: FileName, at: u64, out: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self.file(file, false)?.as_ref(), out, at)
    }

    fn write_at(&self, file: FileName, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.file(file, true)?.write_at(bytes, at)
    }

    fn sync(&self, file: FileName) -> io::Result<()> {
        self.file(file, false)?.sync_data()
    }

    fn len(&self, file: FileName) -> io::Result<u64> {
        Ok(self.file(file, false)?.metadata()?.len())
    }

    fn set_len(&self, file: FileName, len: u64) -> io::Result<()> {
        self.file(file, false)?.set_len(len)
    }

    fn remove(&self, file: FileName) -> io::Result<()> {
        self.open.lock().remove(&file);
        match fs::remove_file(self.path(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        let mut open = self.open.lock();
        open.remove(&from);
        open.remove(&to);
        drop(open);
        fs::rename(self.path(from), self.path(to))?;
        // The name is as durable as the folder.
        File::open(&self.folder)?.sync_all()
    }

    fn list(&self) -> io::Result<Vec<FileName>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            // Files of others are left alone.
            files.extend(entry?.file_name().to_str().and_then(Self::name));
        }
        files.sort_unstable();
        Ok(files)
    }

    fn hold(&self, file: FileName) -> io::Result<Arc<dyn HeldFile>> {
        Ok(self.file(file, false)?)
    }

    fn lock(&self) -> io::Result<bool> {
        let mut lock = self.lock.lock();
        if lock.is_some() {
            return Ok(true);
        }
        let path = self.folder.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {
                *lock = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        // Closing the file ends the lock, as the end of the process does.
        self.lock.lock().take();
        Ok(())
    }
}

impl HeldFile for File {
    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, out, at)
    }
}
