//! Which files there are, and what stands in them.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Place, SourceFile};

use crate::config::codes;

/// Largest file, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Most of all files together, in bytes.
const MAX_ALL_BYTES: u64 = 64 << 20;
/// Most files.
const MAX_FILES: usize = 1000;

/// Reads every file that `paths` name, folders in the order of their file names.
pub(super) fn read(paths: &[PathBuf], diagnostics: &mut Diagnostics) -> Vec<Arc<SourceFile>> {
    if paths.is_empty() {
        diagnostics.error(codes::NOTHING, &Place::none(), "no configuration was named");
    }
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            match folder(path) {
                Ok(found) if found.is_empty() => diagnostics.push(
                    Diagnostic::error(codes::NOTHING, &whole(path), "the folder holds no *.toml")
                        .with_help("folders are not searched recursively"),
                ),
                Ok(found) => files.extend(found),
                Err(error) => unreadable(path, &error, diagnostics),
            }
        } else {
            files.push(path.clone());
        }
    }
    if files.len() > MAX_FILES {
        let message = format!("{} files; at most {MAX_FILES} are read", files.len());
        diagnostics.error(codes::TOO_LARGE, &Place::none(), message);
        files.truncate(MAX_FILES);
    }
    let mut seen = HashMap::new();
    let mut sources = Vec::new();
    let mut left = MAX_ALL_BYTES;
    for path in files {
        let same = path.canonicalize().unwrap_or_else(|_| path.clone());
        if let Some(first) = seen.insert(same, path.clone()) {
            let message = format!(
                "the same file as {}, which is read already",
                first.display()
            );
            diagnostics.error(codes::FILE_TWICE, &whole(&path), message);
        } else if let Some(source) = file(&path, &mut left, diagnostics) {
            sources.push(source);
        }
    }
    sources
}

/// The `*.toml` of a folder by name. Names with a leading dot are editors' own.
fn folder(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in path.read_dir()? {
        let file = entry?.path();
        let hidden = file
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && file.extension().is_some_and(|e| e == "toml") && !file.is_dir() {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

fn file(path: &Path, left: &mut u64, diagnostics: &mut Diagnostics) -> Option<Arc<SourceFile>> {
    let bytes = match bytes(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            unreadable(path, &error, diagnostics);
            return None;
        }
    };
    let size = bytes.len() as u64;
    if size > MAX_FILE_BYTES || size > *left {
        diagnostics.push(
            Diagnostic::error(codes::TOO_LARGE, &whole(path), "the file is too large").with_help(
                "at most 16 MiB each and 64 MiB together; long lists belong in files of their own",
            ),
        );
        return None;
    }
    *left -= size;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    // Relative paths must not change their meaning when the process changes its folder.
    let parent = std::path::absolute(parent).unwrap_or_else(|_| parent.to_owned());
    let name = path.display().to_string();
    match String::from_utf8(bytes) {
        Ok(text) => Some(SourceFile::new(name, text, parent)),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let start = error.as_bytes().get(..good).unwrap_or_default();
            let start = String::from_utf8_lossy(start).into_owned();
            let place = SourceFile::new(name, start, parent).place(good);
            diagnostics.error(
                codes::NOT_UTF8,
                &place,
                "the file is not UTF-8 from here on",
            );
            None
        }
    }
}

/// Reads one byte more than is allowed, so that a file that grows is noticed too.
fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn whole(path: &Path) -> Place {
    Place::file(path.display().to_string())
}

fn unreadable(path: &Path, error: &std::io::Error, diagnostics: &mut Diagnostics) {
    let message = format!("cannot be read: {error}");
    diagnostics.error(codes::UNREADABLE, &whole(path), message);
}
