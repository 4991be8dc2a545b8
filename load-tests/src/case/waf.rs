//! `[waf]` of `load.toml`: how a firewall is measured, and the rules it is measured with.

use std::env;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The environment variable that names the rule set's folder.
pub(crate) const CRS_VARIABLE: &str = "FARMGATE_CRS_DIR";

/// `[waf]` of `load.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WafLoad {
    /// Paranoia levels at which the engines judge the request without a proxy around them; none when empty.
    pub(crate) in_process: Vec<u8>,
}

impl WafLoad {
    pub(super) fn check(&self) -> Result<(), String> {
        let wrong = self
            .in_process
            .iter()
            .find(|level| !(1..=4).contains(*level));
        match wrong {
            Some(level) => Err(format!(
                "`waf.in_process` has {level}; levels of paranoia are 1 to 4"
            )),
            None => Ok(()),
        }
    }

    /// Whether the level that budgets are about is among them.
    pub(super) fn judges_level_1(&self) -> bool {
        self.in_process.contains(&1)
    }
}

/// The OWASP Core Rule Set as it is published, which the project does not contain.
#[derive(Clone, Debug)]
pub(crate) struct RuleFolder(pub(crate) PathBuf);

impl RuleFolder {
    /// That of $FARMGATE_CRS_DIR; none where it is not set. Fails when the folder has no such rules.
    pub(crate) fn find() -> Result<Option<Self>, String> {
        let Some(folder) = env::var_os(CRS_VARIABLE).filter(|given| !given.is_empty()) else {
            return Ok(None);
        };
        Self::open(Path::new(&folder)).map(Some)
    }

    fn open(folder: &Path) -> Result<Self, String> {
        let complete =
            folder.join("rules").is_dir() && folder.join("crs-setup.conf.example").is_file();
        let folder = folder
            .canonicalize()
            .ok()
            .filter(|_| complete)
            .ok_or_else(|| {
                format!(
                    "${CRS_VARIABLE} names {}, which has no rules/ or no crs-setup.conf.example: unpack the Core Rule Set there",
                    folder.display()
                )
            })?;
        Ok(Self(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_rules_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = RuleFolder::open(folder.path()).unwrap_err();
        assert!(error.contains("crs-setup.conf.example"), "{error}");
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        std::fs::write(folder.path().join("crs-setup.conf.example"), "").unwrap();
        assert!(RuleFolder::open(folder.path()).is_ok());
    }

    #[test]
    fn levels_of_paranoia_are_checked() {
        let check = |in_process: &[u8]| {
            let in_process = in_process.to_vec();
            WafLoad { in_process }.check()
        };
        assert!(check(&[]).is_ok() && check(&[1, 4]).is_ok());
        assert!(check(&[1, 5]).unwrap_err().contains('5'));
        assert!(check(&[0]).is_err());
    }
}
