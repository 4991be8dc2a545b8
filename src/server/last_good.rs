//! `--last-good`: the configuration to start with when the one on disk is wrong.

use std::path::{Path, PathBuf};

use farmgate_plugin_api::decode::Diagnostics;

use super::bootstrap::dry_settings;
use super::history::History;
use crate::compile::Settings;
use crate::config::load::{Text, load_texts};

/// The last configuration that was in force, when the one on disk is wrong and `--last-good` was
/// given. It is looked for in the state folder that the wrong one names, if it can be read that far,
/// else in `$STATE_DIRECTORY`.
pub(super) fn fall_back(
    paths: &[PathBuf],
    diagnostics: &Diagnostics,
) -> Option<(Vec<Text>, Settings)> {
    let state = state_folder(paths)?;
    let texts = History::open(Some(&state), true).last_good()?;
    let loaded = load_texts(&texts, &|name| std::env::var(name).ok()).ok()?;
    let settings = dry_settings(&loaded).ok()?;
    log::error!("the configuration is wrong, starting with the last good one:");
    for diagnostic in diagnostics.iter() {
        log::error!("{diagnostic}");
    }
    Some((texts, settings))
}

fn state_folder(paths: &[PathBuf]) -> Option<PathBuf> {
    paths
        .iter()
        .find_map(|path| written_state_folder(path))
        .or_else(|| std::env::var_os("STATE_DIRECTORY").map(PathBuf::from))
}

/// `server.state` of a file that may be wrong elsewhere.
fn written_state_folder(path: &Path) -> Option<PathBuf> {
    let files: Vec<PathBuf> = if path.is_dir() {
        let mut files: Vec<_> = std::fs::read_dir(path)
            .ok()?
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|file| file.extension().is_some_and(|e| e == "toml"))
            .collect();
        files.sort();
        files
    } else {
        vec![path.to_owned()]
    };
    files.iter().find_map(|file| {
        let state = state_word(&std::fs::read_to_string(file).ok()?)?;
        Some(file.parent().unwrap_or(Path::new(".")).join(state))
    })
}

/// The word `state` of the table `[server]`, read line by line: the text may not be TOML at all.
fn state_word(text: &str) -> Option<String> {
    let mut in_server = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_server = line.split('#').next().map(str::trim) == Some("[server]");
        } else if in_server
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "state"
        {
            let value = value.trim().strip_prefix('"')?;
            return value.split('"').next().map(str::to_owned);
        }
    }
    None
}
