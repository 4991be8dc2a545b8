//! The cache's folders, looked at and not touched.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::units::Size;
use rustix::fs::{Access, access, statvfs};

use crate::compile::codes;
use crate::config::words::cache::CacheDiskConfig;

/// Files of a folder that are counted as the cache's; a folder of 256 TiB has that many in segments of 64 MiB.
const MOST_FILES: usize = 1 << 22;

/// A device, and what is asked of it.
struct Device<'a> {
    /// The first folder on it.
    place: &'a Place,
    folders: Vec<String>,
    wanted: u64,
    held: u64,
    free: u64,
}

/// Looks whether the folders are apart, can be written, and have room.
pub(super) fn check(disks: &[Located<CacheDiskConfig>], diagnostics: &mut Diagnostics) {
    let folders: Vec<PathBuf> = disks
        .iter()
        .map(|disk| resolved(disk.value.path.value.path()))
        .collect();
    let mut devices: BTreeMap<u64, Device<'_>> = BTreeMap::new();
    for (at, (disk, folder)) in disks.iter().zip(&folders).enumerate() {
        let place = &disk.value.path.place;
        let written = disk.value.path.value.written();
        let before = folders.iter().zip(disks).take(at);
        if let Some((_, other)) = before
            .filter(|(other, _)| other.starts_with(folder) || folder.starts_with(other))
            .min_by_key(|(other, _)| *other != folder)
        {
            let message = format!(
                "{written:?} and {:?} are one folder, or one lies in the other",
                other.value.path.value.written()
            );
            diagnostics.push(
                Diagnostic::error(codes::CACHE_DISKS, place, message)
                    .with_help("give each a folder of its own; a device needs one only"),
            );
            continue;
        }
        let there = match nearest(folder) {
            Ok(there) => there,
            Err(error) => {
                let message = format!("{written:?} cannot be a folder of the cache: {error}");
                diagnostics.push(
                    Diagnostic::error(codes::CACHE_FOLDER, place, message)
                        .with_help("name a folder, or one that can be made"),
                );
                continue;
            }
        };
        if let Err(error) = access(&there, Access::WRITE_OK | Access::EXEC_OK) {
            let message = format!(
                "{written:?} cannot be a folder of the cache: {} cannot be written to ({error}); the cache would be in memory alone",
                there.display()
            );
            diagnostics.push(
                Diagnostic::warning(codes::CACHE_FOLDER, place, message)
                    .with_help("give the service's user leave to write there"),
            );
        }
        // What cannot be asked is no finding: the store tells when it writes.
        let (Ok(device), Ok(room)) = (there.metadata(), statvfs(&there)) else {
            continue;
        };
        let device = devices.entry(device.dev()).or_insert_with(|| Device {
            place: &disk.value.size.place,
            folders: Vec::new(),
            wanted: 0,
            held: 0,
            free: room.f_bavail.saturating_mul(room.f_frsize),
        });
        device.folders.push(format!("{written:?}"));
        device.wanted = device.wanted.saturating_add(disk.value.size.value.bytes());
        device.held = device.held.saturating_add(held(folder));
    }
    for device in devices.values() {
        let room = device.free.saturating_add(device.held);
        if room >= device.wanted {
            continue;
        }
        let message = format!(
            "{} may take {} of a device that has {} for it",
            device.folders.join(" and "),
            Size::from_bytes(device.wanted),
            mebibytes(room),
        );
        diagnostics.push(
            Diagnostic::warning(codes::CACHE_ROOM, device.place, message)
                .with_help("make room there, or write a smaller `size`"),
        );
    }
}

/// Down to whole MiB, so that the text stays short.
fn mebibytes(bytes: u64) -> Size {
    Size::mib(bytes >> 20)
}

/// A path without `.`, `..` and links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => {
                out.push(part);
                if let Ok(real) = out.canonicalize() {
                    out = real;
                }
            }
        }
    }
    out
}

/// The folder, or the one in which it would be made.
fn nearest(path: &Path) -> io::Result<PathBuf> {
    for part in path.ancestors() {
        match part.metadata() {
            Ok(found) if found.is_dir() => return Ok(part.to_owned()),
            Ok(_) => {
                let what = format!("{} is no folder", part.display());
                return Err(io::Error::other(what));
            }
            // Whoever may not look there learns it by `access` on what he can see.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::NotADirectory
                        | io::ErrorKind::PermissionDenied
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Bytes of the device that the cache has in this folder.
fn held(folder: &Path) -> u64 {
    let Ok(files) = folder.read_dir() else {
        return 0;
    };
    let bytes = files
        .take(MOST_FILES)
        .filter_map(|file| file.ok()?.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|file| file.blocks().saturating_mul(512));
    bytes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_compared_by_where_they_lead() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("real/inner")).expect("folders");
        std::os::unix::fs::symlink(at("real"), at("link")).expect("a link");
        let real = at("real").canonicalize().expect("it is there");
        assert_eq!(resolved(&at("link/new")), real.join("new"));
        assert_eq!(
            resolved(&at("link/inner/../new/./x/../y")),
            real.join("new/y")
        );
        assert_eq!(nearest(&real.join("a/b")).expect("a folder"), real);
        std::fs::write(at("file"), b"x").expect("a file");
        for path in ["file", "file/a/b"] {
            let why = nearest(&at(path)).expect_err("no folder").to_string();
            assert!(why.ends_with("file is no folder"), "{why}");
        }
    }

    #[test]
    fn what_the_cache_has_is_counted_as_room() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(held(root.path()), 0);
        assert_eq!(held(&root.path().join("none")), 0);
        std::fs::write(root.path().join("a.segment"), vec![1; 100_000]).expect("a file");
        std::fs::create_dir(root.path().join("folder")).expect("a folder");
        // A file system may round up, or write later: what is certain is the order of magnitude.
        std::fs::File::open(root.path().join("a.segment"))
            .and_then(|file| file.sync_all())
            .expect("on the device");
        let found = held(root.path());
        assert!((50_000..1_000_000).contains(&found), "{found}");
    }
}
