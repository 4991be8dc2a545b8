//! A load case: a folder with what to send, Farmgate's configuration and the budget.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What the generator sends and the origin answers: `load.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Load {
    /// Path and query of the request.
    pub(crate) target: String,
    /// Value of the Host header.
    pub(crate) host: String,
    /// Further header lines, `name: value`.
    pub(crate) headers: Vec<String>,
    /// Connections the generator keeps open, one request at a time on each.
    pub(crate) connections: u32,
    /// Bytes of the answer's body.
    pub(crate) response_bytes: usize,
}

/// What Farmgate may spend: `budget.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budget {
    /// Farmgate's CPU time per request divided by bare Pingora's, at most.
    pub(crate) ratio_to_bare_pingora: f64,
    /// Requests of Farmgate's that may fail in the whole run.
    pub(crate) losses: u64,
}

/// One case, read and checked.
#[derive(Debug)]
pub(crate) struct Case {
    /// The folder's name.
    pub(crate) name: String,
    /// The folder.
    pub(crate) folder: PathBuf,
    /// What is sent.
    pub(crate) load: Load,
    /// What it may cost.
    pub(crate) budget: Budget,
}

impl Case {
    /// Reads the case `name` below `cases`. The error names the file and what is wrong with it.
    pub(crate) fn open(cases: &Path, name: &str) -> Result<Self, String> {
        let folder = cases.join(name);
        if !folder.is_dir() {
            let known = names(cases)?.join(", ");
            return Err(format!("no case `{name}`; there are: {known}"));
        }
        Ok(Self {
            name: name.to_owned(),
            load: read(&folder.join("load.toml"))?,
            budget: read(&folder.join("budget.toml"))?,
            folder,
        })
    }
}

/// The names of all cases, sorted.
pub(crate) fn names(cases: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(cases).map_err(|error| format!("{}: {error}", cases.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
    }

    #[test]
    fn every_case_opens_and_is_complete() {
        let names = names(&cases()).unwrap();
        assert!(names.contains(&"proxy".to_owned()));
        for name in names {
            let case = Case::open(&cases(), &name).unwrap();
            assert!(case.budget.ratio_to_bare_pingora > 0.0, "{name}");
            assert!(case.load.connections > 0, "{name}");
            for file in ["README.md", "farmgate.toml"] {
                assert!(case.folder.join(file).is_file(), "{name}/{file}");
            }
        }
    }

    #[test]
    fn an_unknown_case_names_the_known_ones() {
        let error = Case::open(&cases(), "nothing").unwrap_err();
        assert!(error.contains("proxy"), "{error}");
    }

    #[test]
    fn an_unknown_word_is_refused() {
        assert!(toml::from_str::<Budget>("ratio_to_bare_pingora = 1.0\nlosses = 0\n").is_ok());
        assert!(toml::from_str::<Budget>("ratio = 1.0\nlosses = 0\n").is_err());
    }
}
