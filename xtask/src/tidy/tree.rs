//! The repository's text files, read once for all rules.

use std::fs;
use std::path::Path;

use super::code::Code;

/// Folders that are never looked at: built things, other people's code and data.
const SKIPPED: [&str; 6] = [
    "target",
    "third_party",
    "results",
    "corpus",
    "artifacts",
    "node_modules",
];

/// Endings (or whole names) of the files that are read.
const READ: [&str; 6] = [".rs", ".toml", ".md", ".sh", "/dev", "/run"];

/// One text file.
pub(crate) struct SourceFile {
    /// Path from the repository's folder, with `/`.
    pub(crate) path: String,
    /// The text as it stands.
    pub(crate) text: String,
    /// The Rust code of it, without comments and strings; empty for other files.
    pub(crate) code: Code,
}

impl SourceFile {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") {
            Code::of(text)
        } else {
            Code::default()
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// True for a file that holds nothing but tests.
    pub(crate) fn is_test_file(&self) -> bool {
        let path = self.path.as_str();
        let in_tests_folder = path
            .split('/')
            .rev()
            .skip(1)
            .any(|folder| folder == "tests" || folder == "benches");
        in_tests_folder || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
    }

    /// True when `line` (from 1) carries `marker` or stands right under it.
    pub(crate) fn is_marked(&self, line: usize, marker: &str) -> bool {
        self.text
            .lines()
            .skip(line.saturating_sub(2))
            .take(if line > 1 { 2 } else { 1 })
            .any(|text| text.contains(marker))
    }
}

/// All files of the repository that rules look at, sorted by path.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<SourceFile>,
    /// Every folder, from the repository's folder, with `/`.
    pub(crate) folders: Vec<String>,
}

impl Tree {
    /// Reads the tree below `root`; a file that is not UTF-8 is left out.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        tree.finish();
        Ok(tree)
    }

    /// A tree out of texts, for tests of the rules.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.files.push(SourceFile::new(path, text));
            let mut folder = *path;
            while let Some((parent, _)) = folder.rsplit_once('/') {
                tree.folders.push(parent.to_owned());
                folder = parent;
            }
        }
        tree.finish();
        tree
    }

    fn finish(&mut self) {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.folders.sort();
        self.folders.dedup();
        self.mark_test_modules();
    }

    fn read_folder(&mut self, folder: &Path, name: &str) -> Result<(), String> {
        let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for entry in entries {
            let entry = entry.map_err(|e| format!("{}: {e}", folder.display()))?;
            let file_name = entry.file_name().to_string_lossy().into_owned();
            let path = if name.is_empty() {
                file_name.clone()
            } else {
                format!("{name}/{file_name}")
            };
            let kind = entry.file_type().map_err(|e| format!("{path}: {e}"))?;
            if kind.is_dir() {
                let hidden = file_name.starts_with('.') && file_name != ".ci";
                if !hidden && !SKIPPED.contains(&file_name.as_str()) {
                    self.folders.push(path.clone());
                    self.read_folder(&entry.path(), &path)?;
                }
            } else if kind.is_file() && READ.iter().any(|end| format!("/{path}").ends_with(end)) {
                let bytes = fs::read(entry.path()).map_err(|e| format!("{path}: {e}"))?;
                if let Ok(text) = String::from_utf8(bytes) {
                    self.files.push(SourceFile::new(&path, &text));
                }
            }
        }
        Ok(())
    }

    /// `#[cfg(test)] mod name;` makes the file or folder of that module test code as well.
    fn mark_test_modules(&mut self) {
        let mut tests: Vec<String> = Vec::new();
        for file in self.files.iter().filter(|file| file.is_rust()) {
            let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
            let base = match name {
                "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
                _ => file.path.trim_end_matches(".rs").to_owned(),
            };
            for module in &file.code.test_modules {
                tests.push(format!("{base}/{module}.rs"));
                tests.push(format!("{base}/{module}/"));
            }
        }
        for file in &mut self.files {
            if file.is_test_file() || tests.iter().any(|test| file.path.starts_with(test)) {
                file.code.all_is_test();
            }
        }
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.is_rust())
    }

    pub(crate) fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }
}
