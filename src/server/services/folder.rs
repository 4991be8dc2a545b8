//! A plugin's own folder below the state folder.

use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::upstream::hash::stable_hash;

/// Longer file names are cut; most file systems take 255 bytes.
const MAX_NAME_BYTES: usize = 200;

/// The folder `<state>/plugins/<name>`, made with mode 0700 if there is none. `None` if it cannot be
/// made; the reason goes to the event log.
pub(super) fn open(state: &Path, plugin: &str) -> Option<PathBuf> {
    let folder = state.join("plugins").join(file_name(plugin));
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder);
    match made {
        Ok(()) => Some(folder),
        Err(error) => {
            let path = folder.display();
            log::warn!("the state folder {path} of plugin {plugin} cannot be made: {error}");
            None
        }
    }
}

/// A name that is one path segment, different for different plugins. Names of inline plugins have
/// slashes, and nobody may write `..`.
fn file_name(plugin: &str) -> String {
    let mut name = String::with_capacity(plugin.len());
    for (at, byte) in plugin.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if plain || (byte == b'.' && at > 0) {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02X}");
        }
    }
    if name.len() > MAX_NAME_BYTES {
        name.truncate(MAX_NAME_BYTES);
        let _ = write!(name, "~{:016x}", stable_hash(plugin.as_bytes()));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn names_become_one_segment() {
        for (plugin, name) in [
            ("edge-limit", "edge-limit"),
            ("api/rate_limit#0", "api%2Frate_limit%230"),
            ("..", "%2E."),
            ("v1.2", "v1.2"),
            ("", ""),
        ] {
            assert_eq!(file_name(plugin), name);
        }
        let long = file_name(&"ä".repeat(300));
        assert!(long.len() <= 255 && long != file_name(&"ä".repeat(301)));
    }

    #[test]
    fn the_folder_is_made_once_for_us_alone() {
        let state = tempfile::tempdir().unwrap();
        let folder = open(state.path(), "a/b").unwrap();
        std::fs::write(folder.join("x"), "1").unwrap();
        assert_eq!(open(state.path(), "a/b").unwrap(), folder);
        assert!(folder.join("x").exists());
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_none() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(state.path().join("plugins"), "a file").unwrap();
        assert_eq!(open(state.path(), "a"), None);
    }
}
