//! The last configurations, for `history` and `rollback`, and the last good one for `--last-good`.
//!
//! Kept in memory, and in the state folder when there is one. The files hold the configuration's
//! texts as written: references to secrets, never their values.

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::load::Text;
use crate::telemetry::clock;

/// How many are kept.
const KEPT: usize = 20;
/// A stored configuration over this size is not read back.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// One configuration that was in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub generation: u64,
    /// Seconds since 1970.
    pub at: u64,
    /// `start`, `reload`, `rollback`.
    pub why: String,
    /// What it was read from.
    pub files: Vec<StoredText>,
}

/// A file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredText {
    /// The name in diagnostics.
    pub name: String,
    /// Where relative paths start.
    pub folder: PathBuf,
    /// What it held.
    pub text: String,
}

/// The configurations so far.
#[derive(Debug, Default)]
pub struct History {
    folder: Option<PathBuf>,
    entries: VecDeque<Entry>,
    /// The least number of the next configuration.
    at_least: u64,
    /// Some while the files are another process's: what is to be done with them later.
    held: Option<Vec<Held>>,
}

/// A change of the files that waits.
#[derive(Debug)]
enum Held {
    Store(Entry),
    Remove(u64),
}

impl History {
    /// Reads what earlier processes left in the state folder. What cannot be read is left alone. With `held` the
    /// files stay as they are until [`History::settle`].
    pub fn open(state: Option<&Path>, held: bool) -> Self {
        let folder = state.map(|state| state.join("history"));
        let mut entries: Vec<Entry> = folder
            .as_deref()
            .and_then(|folder| std::fs::read_dir(folder).ok())
            .into_iter()
            .flatten()
            .filter_map(|file| read(&file.ok()?.path()))
            .collect();
        entries.sort_by_key(|entry| entry.generation);
        Self {
            folder,
            entries: entries.into(),
            at_least: 0,
            held: held.then(Vec::new),
        }
    }

    /// The files are ours from now on.
    pub fn settle(&mut self) {
        for held in self.held.take().into_iter().flatten() {
            match held {
                Held::Store(entry) => self.store(entry),
                Held::Remove(generation) => self.remove(generation),
            }
        }
    }

    /// The configurations so far, when no files hold them.
    pub fn in_memory(&self) -> serde_json::Value {
        match self.folder {
            None => serde_json::to_value(&self.entries).unwrap_or_default(),
            Some(_) => serde_json::Value::Null,
        }
    }

    /// Puts those of an old process before our own.
    pub fn adopt(&mut self, earlier: serde_json::Value) {
        let Ok(earlier) = serde_json::from_value::<Vec<Entry>>(earlier) else {
            return;
        };
        let own = std::mem::take(&mut self.entries);
        self.entries.extend(earlier);
        for entry in own {
            let same = |newest: &Entry| newest.files == entry.files;
            if self.entries.back().is_some_and(same) {
                self.entries.pop_back();
            }
            self.entries.push_back(entry);
        }
        while self.entries.len() > KEPT {
            self.entries.pop_front();
        }
    }

    /// Counts on from the generation of an old process.
    pub fn after(&mut self, generation: u64) {
        self.at_least = self.at_least.max(generation + 1);
    }

    /// The number of the next configuration.
    pub fn next_generation(&self) -> u64 {
        let next = self.entries.back().map_or(1, |entry| entry.generation + 1);
        next.max(self.at_least)
    }

    /// Newest last.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The texts of a generation; without a number, of the one before the newest.
    pub fn texts(&self, generation: Option<u64>) -> Option<(u64, Vec<Text>)> {
        let entry = match generation {
            Some(number) => self.entries.iter().find(|e| e.generation == number),
            None => {
                let newest = self.entries.back()?;
                self.entries.iter().rev().find(|e| e.files != newest.files)
            }
        }?;
        Some((entry.generation, texts(entry)))
    }

    /// Notes a configuration that is in force now.
    pub fn add(&mut self, generation: u64, why: &str, texts: &[Text]) {
        let entry = Entry {
            generation,
            at: clock::unix_ms() / 1000,
            why: why.to_owned(),
            files: texts
                .iter()
                .map(|text| StoredText {
                    name: text.name.clone(),
                    folder: std::path::absolute(&text.folder).unwrap_or(text.folder.clone()),
                    text: text.text.clone(),
                })
                .collect(),
        };
        // The same again (a reload to read other files, a restart) is the same entry, renumbered.
        if self
            .entries
            .back()
            .is_some_and(|newest| newest.files == entry.files)
            && let Some(newest) = self.entries.pop_back()
        {
            self.remove(newest.generation);
        }
        self.store(entry.clone());
        self.entries.push_back(entry);
        while self.entries.len() > KEPT {
            if let Some(gone) = self.entries.pop_front() {
                self.remove(gone.generation);
            }
        }
    }

    fn store(&mut self, entry: Entry) {
        let Some(folder) = &self.folder else {
            return;
        };
        if let Some(held) = &mut self.held {
            return held.push(Held::Store(entry));
        }
        if let Err(error) = store(folder, &entry) {
            log::warn!(
                "history is kept in memory only: {}: {error}",
                folder.display()
            );
        }
    }

    fn remove(&mut self, generation: u64) {
        let Some(folder) = &self.folder else {
            return;
        };
        if let Some(held) = &mut self.held {
            return held.push(Held::Remove(generation));
        }
        // A leftover is found and dropped at the next start.
        let _ = std::fs::remove_file(file_of(folder, generation));
    }

    /// The newest configuration an earlier process had in force, for `--last-good`.
    pub fn last_good(&self) -> Option<Vec<Text>> {
        self.entries.back().map(texts)
    }
}

fn texts(entry: &Entry) -> Vec<Text> {
    entry
        .files
        .iter()
        .map(|file| Text {
            name: file.name.clone(),
            folder: file.folder.clone(),
            text: file.text.clone(),
        })
        .collect()
}

fn file_of(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{generation:020}.json"))
}

fn read(path: &Path) -> Option<Entry> {
    if path.extension()? != "json" || std::fs::metadata(path).ok()?.len() > MAX_BYTES {
        return None;
    }
    let text = std::fs::read(path).ok()?;
    match serde_json::from_slice(&text) {
        Ok(entry) => Some(entry),
        Err(error) => {
            log::warn!("{} is no configuration of ours: {error}", path.display());
            None
        }
    }
}

/// Written beside and renamed, so that a crash leaves the old files whole.
fn store(folder: &Path, entry: &Entry) -> std::io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let path = file_of(folder, entry.generation);
    let half = path.with_extension("half");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&half)?;
    file.write_all(&serde_json::to_vec(entry)?)?;
    file.sync_all()?;
    std::fs::rename(&half, &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &str) -> Vec<Text> {
        vec![Text {
            name: "a.toml".to_owned(),
            folder: "/etc/farmgate".into(),
            text: body.to_owned(),
        }]
    }

    #[test]
    fn it_is_found_again_and_bounded() {
        let state = tempfile::tempdir().unwrap();
        let mut history = History::open(Some(state.path()), false);
        assert_eq!(history.next_generation(), 1);
        for generation in 1..=25 {
            history.add(generation, "reload", &text(&format!("# {generation}")));
        }
        let again = History::open(Some(state.path()), false);
        assert_eq!(again.entries().count(), KEPT);
        assert_eq!(again.next_generation(), 26);
        let (generation, texts) = again.texts(None).unwrap();
        assert_eq!((generation, texts[0].text.as_str()), (24, "# 24"));
        assert_eq!(again.last_good().unwrap()[0].text, "# 25");
        assert!(again.texts(Some(3)).is_none());
    }

    #[test]
    fn a_damaged_file_is_passed_over() {
        let state = tempfile::tempdir().unwrap();
        History::open(Some(state.path()), false).add(1, "start", &text(""));
        std::fs::write(state.path().join("history/x.json"), "{").unwrap();
        assert_eq!(
            History::open(Some(state.path()), false).entries().count(),
            1
        );
    }
}
