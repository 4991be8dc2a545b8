//! Patched crates: the copy must be the published crate plus our patches, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Finding;

/// A patch is small, or it is a fork: changed lines (`+` and `-`) of one patch file.
const MAX_CHANGED_LINES: usize = 60;

/// Cargo's own notes in a published crate; they are no part of its sources.
const IGNORED: [&str; 5] = [
    "target",
    ".cargo-ok",
    ".cargo_vcs_info.json",
    "Cargo.lock",
    "Cargo.toml.orig",
];

/// Checks every crate below `third_party/`.
pub(super) fn check(
    root: &Path,
    found: &mut Vec<Finding>,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    let folder = root.join("third_party");
    if !folder.is_dir() {
        return Ok(());
    }
    for copy in sorted_entries(&folder)? {
        if copy.join("Cargo.toml").is_file() {
            check_copy(&copy, found, notes)?;
        }
    }
    Ok(())
}

fn check_copy(
    copy: &Path,
    found: &mut Vec<Finding>,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    let name = file_name(copy);
    let here = format!("third_party/{name}");
    let patches = patches_of(copy, &name)?;
    if patches.is_empty() {
        found.push(Finding::new(
            &here,
            1,
            "a copied crate without patches",
            "use the published crate, or add third_party/patches/NAME-NNNN-what.patch",
        ));
    }
    for patch in &patches {
        let changed = changed_lines(
            &fs::read_to_string(patch).map_err(|e| format!("{}: {e}", patch.display()))?,
        );
        if changed >= MAX_CHANGED_LINES {
            found.push(Finding::new(
                &format!("third_party/patches/{}", file_name(patch)),
                1,
                format!("{changed} changed lines; a patch stays under {MAX_CHANGED_LINES}"),
                "solve it on our side of the fence, or split it into patches with a test each",
            ));
        }
    }
    let version = version_of(&copy.join("Cargo.toml"))?;
    let Some(published) = published_crate(&format!("{name}-{version}")) else {
        notes.push(format!(
            "{here} was not compared: {name} {version} is not in cargo's registry folder"
        ));
        return Ok(());
    };
    let work = std::env::temp_dir().join(format!("farmgate-tidy-{}-{name}", std::process::id()));
    let result =
        patched(&published, &patches, &work).and_then(|()| compare(copy, &work, &here, found));
    // A failed clean-up of a temporary folder changes nothing about the verdict.
    drop(fs::remove_dir_all(&work));
    result
}

/// The patches of a crate in the order of their numbers: `third_party/patches/NAME-NNNN-what.patch`.
fn patches_of(copy: &Path, name: &str) -> Result<Vec<PathBuf>, String> {
    let folder = copy.with_file_name("patches");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    Ok(sorted_entries(&folder)?
        .into_iter()
        .filter(|path| is_patch_of(name, &file_name(path)))
        .collect())
}

/// True for `NAME-0001-what.patch`; a number follows, so that `a-b` has none of the patches of `a`.
pub(super) fn is_patch_of(name: &str, file: &str) -> bool {
    file.strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_digit()) && rest.ends_with(".patch")
        })
}

/// Lines a patch adds or removes.
pub(super) fn changed_lines(patch: &str) -> usize {
    patch
        .lines()
        .filter(|line| !line.starts_with("+++") && !line.starts_with("---"))
        .filter(|line| line.starts_with('+') || line.starts_with('-'))
        .count()
}

fn version_of(manifest: &Path) -> Result<String, String> {
    let text = fs::read_to_string(manifest).map_err(|e| format!("{}: {e}", manifest.display()))?;
    let table: toml::Table = text
        .parse()
        .map_err(|e| format!("{}: {e}", manifest.display()))?;
    table
        .get("package")
        .and_then(|package| package.get("version"))
        .and_then(toml::Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| format!("{}: no package.version", manifest.display()))
}

/// The unpacked crate in cargo's registry folder, from whatever registry.
fn published_crate(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))?;
    sorted_entries(&home.join("registry/src"))
        .ok()?
        .into_iter()
        .map(|registry| registry.join(name))
        .find(|folder| folder.is_dir())
}

/// A copy of the published crate at `work`, with the patches applied in the order of their names.
fn patched(published: &Path, patches: &[PathBuf], work: &Path) -> Result<(), String> {
    copy_tree(published, work)?;
    for patch in patches {
        let input = fs::File::open(patch).map_err(|e| format!("{}: {e}", patch.display()))?;
        let output = Command::new("patch")
            .args(["-p1", "--silent", "--no-backup-if-mismatch"])
            .current_dir(work)
            .stdin(Stdio::from(input))
            .output()
            .map_err(|e| format!("the command `patch` does not run: {e}"))?;
        if !output.status.success() {
            return Err(format!(
                "{} does not apply: {}",
                patch.display(),
                String::from_utf8_lossy(&output.stdout).trim()
            ));
        }
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|e| format!("{}: {e}", to.display()))?;
    for entry in sorted_entries(from)? {
        let target = to.join(file_name(&entry));
        if entry.is_dir() {
            copy_tree(&entry, &target)?;
        } else {
            // Read and write, not copy: cargo's files may be read-only and patch must change them.
            let bytes = fs::read(&entry).map_err(|e| format!("{}: {e}", entry.display()))?;
            fs::write(&target, bytes).map_err(|e| format!("{}: {e}", target.display()))?;
        }
    }
    Ok(())
}

fn compare(
    copy: &Path,
    expected: &Path,
    here: &str,
    found: &mut Vec<Finding>,
) -> Result<(), String> {
    let instead = "make the change a patch file, and the copy the crate with its patches applied";
    let ours = relevant(copy)?;
    let theirs = relevant(expected)?;
    for name in theirs.iter().filter(|name| !ours.contains(name)) {
        if name.starts_with("src") {
            found.push(Finding::new(
                &format!("{here}/{name}"),
                1,
                "missing in the copy",
                instead,
            ));
        }
    }
    for name in &ours {
        let path = format!("{here}/{name}");
        let (a, b) = (copy.join(name), expected.join(name));
        if !theirs.contains(name) {
            found.push(Finding::new(
                &path,
                1,
                "not in the published crate",
                instead,
            ));
        } else if a.is_dir() {
            compare(&a, &b, &path, found)?;
        } else {
            let mine = fs::read(&a).map_err(|e| format!("{path}: {e}"))?;
            let other = fs::read(&b).map_err(|e| format!("{path}: {e}"))?;
            if mine != other {
                let line = 1 + mine
                    .split(|byte| *byte == b'\n')
                    .zip(other.split(|byte| *byte == b'\n'))
                    .take_while(|(x, y)| x == y)
                    .count();
                found.push(Finding::new(
                    &path,
                    line,
                    "differs from crate + patches",
                    instead,
                ));
            }
        }
    }
    Ok(())
}

fn relevant(folder: &Path) -> Result<Vec<String>, String> {
    Ok(sorted_entries(folder)?
        .iter()
        .map(|path| file_name(path))
        .filter(|name| !IGNORED.contains(&name.as_str()))
        .collect())
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| format!("{}: {e}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
