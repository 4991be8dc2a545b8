//! Stages whose expectation does not hold here, each with its reason: `overrides.toml`.

use std::path::Path;

use serde::Deserialize;

use crate::schema::Output;

/// More than this is no list of exceptions any more.
pub const LIMIT: usize = 25;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// In any order.
    #[serde(default, rename = "override")]
    pub entries: Vec<Override>,
}

/// One exception.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The stage: `920100-8`.
    pub id: String,
    /// Where it holds.
    pub on: On,
    /// What is expected instead, in the words of a test's `output`.
    pub verdict: Output,
    /// Why.
    pub reason: String,
}

/// Which runs an override is for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// The engine in process.
    Engine,
    /// The proxy over sockets.
    Proxy,
    /// Both.
    Both,
}

impl Overrides {
    /// Reads the file.
    ///
    /// # Errors
    /// Unreadable, a word that is unknown, more than [`LIMIT`] entries, one twice, one without reason.
    pub fn read(path: &Path) -> Result<Self, String> {
        let told = |error: String| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
        Self::parse(&text).map_err(told)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let overrides: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let entries = &overrides.entries;
        if entries.len() > LIMIT {
            return Err(format!(
                "{} overrides; at most {LIMIT} are allowed",
                entries.len()
            ));
        }
        for (at, entry) in entries.iter().enumerate() {
            if entry.reason.trim().len() < 20 {
                return Err(format!("{}: the reason is missing", entry.id));
            }
            let meets = |other: &Override| {
                other.id == entry.id
                    && (other.on == entry.on || other.on == On::Both || entry.on == On::Both)
            };
            if entries.iter().skip(at + 1).any(meets) {
                return Err(format!("{} is overridden twice", entry.id));
            }
        }
        Ok(overrides)
    }

    /// Those for one kind of run.
    pub fn on(&self, on: On) -> impl Iterator<Item = &Override> {
        self.entries
            .iter()
            .filter(move |entry| entry.on == on || entry.on == On::Both)
    }
}

#[cfg(test)]
mod tests {
    use super::{On, Overrides};

    const ENTRY: &str = "[[override]]\nid = \"1-1\"\non = \"engine\"\nverdict = { status = 200 }\n\
        reason = \"the origin of this suite takes it\"\n";

    #[test]
    fn an_entry_has_all_words() {
        let read = Overrides::parse(ENTRY).unwrap();
        assert_eq!(read.on(On::Engine).count(), 1);
        assert_eq!(read.on(On::Proxy).count(), 0);
        assert_eq!(read.entries[0].verdict.status, Some(200));
    }

    #[test]
    fn what_is_no_exception_is_an_error() {
        assert!(
            Overrides::parse(&ENTRY.repeat(2))
                .unwrap_err()
                .contains("twice")
        );
        let unknown = ENTRY.replace("status", "state");
        assert!(Overrides::parse(&unknown).is_err());
        let bare = ENTRY.replace("the origin of this suite takes it", " ");
        assert!(Overrides::parse(&bare).unwrap_err().contains("reason"));
        let many: String = (0..26)
            .map(|at| ENTRY.replace("1-1", &format!("1-{at}")))
            .collect();
        assert!(Overrides::parse(&many).unwrap_err().contains("at most 25"));
    }
}
