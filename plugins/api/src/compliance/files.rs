//! Files in memory, for what is made of many of them.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::services::{Files, MAX_LISTED};

/// The files of a fake host as they are now, and which of them were asked for.
pub(super) struct FakeFiles {
    files: HashMap<PathBuf, Vec<u8>>,
    asked: RefCell<Vec<PathBuf>>,
}

impl FakeFiles {
    /// A copy of these.
    pub(super) fn of(files: &HashMap<PathBuf, Vec<u8>>) -> Self {
        Self {
            files: files.clone(),
            asked: RefCell::default(),
        }
    }

    /// What was read and listed since the last call.
    pub(super) fn take(&self) -> Vec<PathBuf> {
        self.asked.take()
    }
}

impl Files for FakeFiles {
    fn read(&self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
        self.asked.borrow_mut().push(path.to_owned());
        match self.files.get(path) {
            None => Err("cannot be read: no such file".to_owned()),
            Some(content) if u64::try_from(content.len()).is_ok_and(|len| len <= max_bytes) => {
                Ok(content.clone())
            }
            Some(_) => Err(format!("is larger than {max_bytes} bytes")),
        }
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, String> {
        self.asked.borrow_mut().push(folder.to_owned());
        let below = |path: &PathBuf| {
            let rest = path.strip_prefix(folder).ok()?;
            rest.components()
                .next()
                .map(|first| PathBuf::from(first.as_os_str()))
        };
        let names: BTreeSet<PathBuf> = self.files.keys().filter_map(below).collect();
        if names.is_empty() {
            return Err("cannot be read: no such folder".to_owned());
        }
        Ok(names.into_iter().take(MAX_LISTED).collect())
    }
}
