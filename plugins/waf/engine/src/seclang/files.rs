//! Where rules and their data come from: the disk, or a map in tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Gives the bytes behind a path. Rule files, phrase lists and databases are read through it, so
/// that the engine runs without a disk, and so that every file read can be watched.
pub trait Files {
    /// The whole file, or why it cannot be read.
    fn read(&self, path: &Path) -> Result<Vec<u8>, String>;

    /// The files that a path with `*`, `?` or `[...]` in its names stands for, sorted; empty when
    /// none does. A relative path begins in `beside`, or where the implementation says.
    fn expand(&self, pattern: &str, beside: Option<&Path>) -> Result<Vec<PathBuf>, String>;
}

/// Files of the disk.
#[derive(Clone, Debug)]
pub struct DiskFiles {
    /// The folder in which relative paths begin.
    pub root: PathBuf,
}

/// The most bytes of one file: the largest country databases have about 10 MiB, city databases 70.
const FILE_BYTES: u64 = 256 << 20;

/// The most files that one pattern may stand for.
const EXPANDED: usize = 10_000;

impl Files for DiskFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let path = self.root.join(path);
        let size = fs::metadata(&path).map_err(|error| error.to_string())?;
        if size.len() > FILE_BYTES {
            return Err(format!(
                "the file has {} bytes, the most is {FILE_BYTES}",
                size.len()
            ));
        }
        fs::read(&path).map_err(|error| error.to_string())
    }

    fn expand(&self, pattern: &str, beside: Option<&Path>) -> Result<Vec<PathBuf>, String> {
        let full = match beside {
            Some(folder) => self.root.join(folder).join(pattern),
            None => self.root.join(pattern),
        };
        let mut found = vec![PathBuf::new()];
        for part in full.components() {
            let name = part.as_os_str().as_encoded_bytes();
            let mut next = Vec::new();
            for folder in found {
                if !is_pattern(name) {
                    next.push(folder.join(part));
                    continue;
                }
                let Ok(entries) = fs::read_dir(&folder) else {
                    continue;
                };
                for entry in entries {
                    let entry = entry.map_err(|error| format!("{}: {error}", folder.display()))?;
                    if glob_matches(name, entry.file_name().as_encoded_bytes()) {
                        next.push(folder.join(entry.file_name()));
                    }
                    if next.len() > EXPANDED {
                        return Err(format!("`{pattern}` stands for more than {EXPANDED} files"));
                    }
                }
            }
            found = next;
        }
        found.retain(|path| path.is_file());
        found.sort();
        Ok(found)
    }
}

/// Files of a map: for tests and for rules that are not on a disk.
#[derive(Clone, Debug, Default)]
pub struct MapFiles(pub BTreeMap<PathBuf, Vec<u8>>);

impl Files for MapFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| "no such file".to_owned())
    }

    fn expand(&self, pattern: &str, beside: Option<&Path>) -> Result<Vec<PathBuf>, String> {
        let full = match beside {
            Some(folder) => folder.join(pattern),
            None => PathBuf::from(pattern),
        };
        let names = |path: &Path| -> Vec<Vec<u8>> {
            path.components()
                .map(|part| part.as_os_str().as_encoded_bytes().to_vec())
                .collect()
        };
        let wanted = names(&full);
        let fits = |path: &&PathBuf| {
            let parts = names(path);
            parts.len() == wanted.len()
                && wanted
                    .iter()
                    .zip(&parts)
                    .all(|(pattern, name)| glob_matches(pattern, name))
        };
        Ok(self.0.keys().filter(fits).cloned().collect())
    }
}

/// True if a name of a path stands for several.
pub fn is_pattern(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// Whether a file's name fits a pattern: `*` any bytes, `?` one, `[a-z]` and `[!a-z]` one of a set.
/// A leading dot is only matched by a dot, as in a shell.
pub fn glob_matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    // The last star seen and where its text ended: going back to it alone is enough.
    let mut back: Option<(&[u8], &[u8])> = None;
    let (mut rest, mut text) = (pattern, name);
    loop {
        let step = match (rest.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((b'*', after)), _) => {
                back = Some((after, text));
                rest = after;
                continue;
            }
            (Some((b'?', after)), Some((_, left))) => Some((after, left)),
            (Some((b'[', after)), Some((byte, left))) => match set(after, *byte) {
                Some((true, after)) => Some((after, left)),
                Some((false, _)) => None,
                None => (*byte == b'[').then_some((after, left)),
            },
            (Some((wanted, after)), Some((byte, left))) => {
                (wanted == byte).then_some((after, left))
            }
            (Some(_), None) | (None, Some(_)) => None,
        };
        if let Some((after, left)) = step {
            (rest, text) = (after, left);
            continue;
        }
        let Some((after, from)) = back else {
            return false;
        };
        let Some((_, left)) = from.split_first() else {
            return false;
        };
        back = Some((after, left));
        (rest, text) = (after, left);
    }
}

/// Reads a set behind its `[`: whether the byte is in it, and what follows it. None if it has no end.
fn set(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (negated, mut rest) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    let mut first = true;
    loop {
        rest = match rest {
            [b']', rest @ ..] if !first => return Some((found != negated, rest)),
            [low, b'-', high, rest @ ..] if *high != b']' => {
                found |= (*low..=*high).contains(&byte);
                rest
            }
            [one, rest @ ..] => {
                found |= *one == byte;
                rest
            }
            [] => return None,
        };
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, fits) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", false),
            ("REQUEST-9[0-4]*-*.conf", "REQUEST-932-RCE.conf", true),
            ("REQUEST-9[!0-4]*-*.conf", "REQUEST-932-RCE.conf", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab_", false),
            ("[]a]", "]", true),
            ("[a", "[a", true),
            ("", "", true),
        ] {
            assert_eq!(
                glob_matches(pattern.as_bytes(), name.as_bytes()),
                fits,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_map_expands_and_reads() {
        let files = MapFiles(BTreeMap::from([
            (PathBuf::from("rules/b.conf"), b"B".to_vec()),
            (PathBuf::from("rules/a.conf"), b"A".to_vec()),
            (PathBuf::from("rules/deep/a.conf"), Vec::new()),
        ]));
        let found = files.expand("*.conf", Some(Path::new("rules")));
        assert_eq!(
            found,
            Ok(vec!["rules/a.conf".into(), "rules/b.conf".into()])
        );
        assert_eq!(files.expand("none/*", None), Ok(Vec::new()));
        assert_eq!(files.read(Path::new("rules/a.conf")), Ok(b"A".to_vec()));
        assert!(files.read(Path::new("a.conf")).is_err());
    }

    #[test]
    fn the_disk_expands_and_reads() {
        let files = DiskFiles {
            root: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        };
        let found = files.expand("s?c/seclang/f*.rs", None).unwrap();
        assert_eq!(found, vec![files.root.join("src/seclang/files.rs")]);
        assert!(!files.read(Path::new("Cargo.toml")).unwrap().is_empty());
        assert!(files.read(Path::new("absent")).is_err());
        assert_eq!(files.expand("absent/*.rs", None), Ok(Vec::new()));
    }
}
