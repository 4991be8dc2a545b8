//! What plugins make of many files: made again when one of them changes, or a folder among them does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use farmgate_plugin_api::services::{Counter, Files, Load};
use parking_lot::Mutex;

use super::watch::Look;
use crate::compile::dry::{list_folder, read_file};
use crate::tls::files::Stamp;

/// Files and folders that one thing may be made of.
const MAX_SOURCES: usize = 4_096;

/// A source as it was when it was used.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Used {
    /// None: it was not there, or so new that its stamp proves nothing.
    stamp: Option<Stamp>,
    /// Hash of what was read, or of the error.
    content: u64,
    /// A folder that was listed.
    folder: bool,
    max_bytes: u64,
}

type Sources = BTreeMap<PathBuf, Used>;

/// Reads, and notes what it reads.
struct Noting<'a> {
    hasher: &'a RandomState,
    sources: RefCell<Sources>,
}

impl Noting<'_> {
    fn note(&self, path: &Path, used: Used) -> Result<(), String> {
        let mut sources = self.sources.borrow_mut();
        if sources.len() >= MAX_SOURCES && !sources.contains_key(path) {
            return Err(format!(
                "is one too many: {MAX_SOURCES} files and folders are read"
            ));
        }
        sources.insert(path.to_owned(), used);
        Ok(())
    }
}

impl Files for Noting<'_> {
    fn read(&self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
        let stamp = Stamp::of(path);
        let content = read_file(path, max_bytes);
        self.note(
            path,
            Used {
                stamp: settled(stamp),
                content: self.hasher.hash_one(&content),
                folder: false,
                max_bytes,
            },
        )?;
        content
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, String> {
        let names = list_folder(folder);
        self.note(
            folder,
            Used {
                // A folder is listed at every look: its time says little on some file systems.
                stamp: None,
                content: self.hasher.hash_one(&names),
                folder: true,
                max_bytes: 0,
            },
        )?;
        names
    }
}

fn settled(stamp: Option<Stamp>) -> Option<Stamp> {
    stamp.filter(|stamp| stamp.is_settled(SystemTime::now()))
}

/// Something made of files.
pub(super) struct Made {
    name: String,
    load: Load,
    errors: Arc<dyn Counter>,
    hasher: RandomState,
    sources: Mutex<Sources>,
}

impl Made {
    /// Makes it for the first time, on the calling thread.
    ///
    /// # Errors
    /// What the maker says.
    pub(super) fn open(name: String, load: Load, errors: Arc<dyn Counter>) -> Result<Self, String> {
        let made = Self {
            name,
            load,
            errors,
            hasher: RandomState::new(),
            sources: Mutex::default(),
        };
        let result = made.run(&mut made.sources.lock());
        result.map(|()| made)
    }

    fn run(&self, sources: &mut Sources) -> Result<(), String> {
        let files = Noting {
            hasher: &self.hasher,
            sources: RefCell::default(),
        };
        let call = catch_unwind(AssertUnwindSafe(|| (self.load)(&files)));
        *sources = files.sources.into_inner();
        call.unwrap_or_else(|_| Err("reading the files panicked".to_owned()))
    }

    /// True if the source is not what it was.
    fn is_new(&self, path: &Path, used: &mut Used) -> bool {
        if used.folder {
            return self.hasher.hash_one(list_folder(path)) != used.content;
        }
        let stamp = Stamp::of(path);
        if stamp.is_some() && stamp == used.stamp {
            return false;
        }
        let content = self.hasher.hash_one(read_file(path, used.max_bytes));
        if content == used.content && Stamp::of(path) == stamp {
            used.stamp = settled(stamp);
        }
        content != used.content
    }
}

impl Look for Made {
    fn look(&self, _now: SystemTime) {
        let mut sources = self.sources.lock();
        let mut changed = false;
        for (path, used) in sources.iter_mut() {
            changed |= self.is_new(path, used);
        }
        if !changed {
            return;
        }
        match self.run(&mut sources) {
            Ok(()) => log::info!("{}: its files were read again", self.name),
            Err(error) => {
                self.errors.add(1);
                log::warn!("{}: {error}; the last good version stays", self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Count(AtomicU64);

    impl Counter for Count {
        fn add(&self, n: u64) {
            self.0.fetch_add(n, Ordering::Relaxed);
        }
    }

    struct Case {
        folder: tempfile::TempDir,
        errors: Arc<Count>,
        versions: Arc<Mutex<Vec<String>>>,
    }

    impl Case {
        fn new() -> Self {
            let case = Self {
                folder: tempfile::tempdir().unwrap(),
                errors: Arc::default(),
                versions: Arc::default(),
            };
            case.write("a", "1");
            case
        }

        fn write(&self, name: &str, content: &str) {
            std::fs::write(self.folder.path().join(name), content).unwrap();
        }

        /// All files of the folder, one after the other; `bad` is none, `panic` is worse.
        fn open(&self) -> Result<Made, String> {
            let folder = self.folder.path().to_owned();
            let versions = Arc::clone(&self.versions);
            let load = move |files: &dyn Files| {
                let mut all = String::new();
                for name in files.list(&folder)? {
                    let content = files.read(&folder.join(name), 10)?;
                    all += &String::from_utf8_lossy(&content);
                }
                assert!(all != "panic", "a maker's own mistake");
                if all.contains("bad") {
                    return Err("is bad".to_owned());
                }
                versions.lock().push(all);
                Ok(())
            };
            let errors = Arc::clone(&self.errors) as Arc<dyn Counter>;
            Made::open("test".into(), Box::new(load), errors)
        }

        fn look(&self, made: &Made) -> (Vec<String>, u64) {
            made.look(SystemTime::now());
            (
                self.versions.lock().clone(),
                self.errors.0.load(Ordering::Relaxed),
            )
        }
    }

    #[test]
    fn it_is_made_again_when_a_file_or_the_folder_changes() {
        let case = Case::new();
        let made = case.open().unwrap();
        let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(case.look(&made), (all(&["1"]), 0));
        case.write("a", "2");
        assert_eq!(case.look(&made), (all(&["1", "2"]), 0));
        case.write("b", "3");
        assert_eq!(case.look(&made), (all(&["1", "2", "23"]), 0));
        // The same content again, or a look without a change, makes nothing.
        case.write("b", "3");
        assert_eq!(case.look(&made), (all(&["1", "2", "23"]), 0));
        std::fs::remove_file(case.folder.path().join("a")).unwrap();
        assert_eq!(case.look(&made), (all(&["1", "2", "23", "3"]), 0));
    }

    #[test]
    fn a_bad_version_is_counted_once_and_a_good_one_follows() {
        let case = Case::new();
        let made = case.open().unwrap();
        case.write("a", "bad");
        assert_eq!(case.look(&made).1, 1);
        assert_eq!(case.look(&made), (vec!["1".to_owned()], 1));
        case.write("a", "panic");
        assert_eq!(case.look(&made).1, 2);
        case.write("a", "much too long");
        assert_eq!(case.look(&made).1, 3);
        case.write("a", "2");
        assert_eq!(case.look(&made).0, ["1", "2"]);
    }

    #[test]
    fn the_first_version_must_be_good() {
        let case = Case::new();
        case.write("a", "bad");
        assert_eq!(case.open().err(), Some("is bad".to_owned()));
    }
}
