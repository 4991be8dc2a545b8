//! `xtask gen`: documents and the schema that the binary itself writes, so that they cannot lie.
//!
//! The functions that write them live in the `farmgate` library next to what they describe. This
//! package runs the binary built in the same profile instead of linking it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Generated Markdown, written by `farmgate docs --out`.
const DOCS: &str = "docs/reference";

/// Generated JSON Schema of the configuration, printed by `farmgate schema`.
const SCHEMA: &str = "conf/schema/farmgate.json";

/// Writes the generated files into the repository.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let binary = binary()?;
    let docs = root.join(DOCS);
    // Emptied first, so that the page of a thing that is gone goes too.
    if docs.is_dir() {
        fs::remove_dir_all(&docs).map_err(|e| format!("{DOCS}: {e}"))?;
    }
    generate(&binary, root)?;
    println!("gen: wrote {DOCS} and {SCHEMA}");
    Ok(())
}

/// Says which generated files differ from what the binary writes now.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let binary = binary()?;
    let fresh = std::env::temp_dir().join(format!("farmgate-gen-{}", std::process::id()));
    let result = generate(&binary, &fresh).and_then(|()| stale(root, &fresh));
    // A failed clean-up of a temporary folder changes nothing about the verdict.
    drop(fs::remove_dir_all(&fresh));
    let stale = result?;
    if stale.is_empty() {
        println!("gen: {DOCS} and {SCHEMA} are fresh");
        return Ok(());
    }
    Err(format!(
        "stale or missing: {}\n    instead: run `cargo xtask gen` after `cargo build` and commit the result",
        stale.join(", ")
    ))
}

/// The `farmgate` beside this program: the same target folder and profile.
fn binary() -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|e| format!("where this program stands: {e}"))?;
    let binary = here.with_file_name("farmgate");
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(format!(
            "{} is not there; build it first in the same profile (`cargo build`)",
            binary.display()
        ))
    }
}

fn generate(binary: &Path, root: &Path) -> Result<(), String> {
    let docs = root.join(DOCS);
    fs::create_dir_all(&docs).map_err(|e| format!("{}: {e}", docs.display()))?;
    let out = docs.to_string_lossy();
    run(binary, &["docs", "--out", &out])?;
    let schema = run(binary, &["schema"])?;
    let path = root.join(SCHEMA);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    fs::write(&path, schema).map_err(|e| format!("{SCHEMA}: {e}"))
}

fn run(binary: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let command = format!("farmgate {}", arguments.join(" "));
    let output = Command::new(binary)
        .args(arguments)
        .output()
        .map_err(|e| format!("{command}: {e}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!(
        "{command} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

/// Generated files that are missing, differ, or are no longer generated.
fn stale(root: &Path, fresh: &Path) -> Result<Vec<String>, String> {
    let mut names = files_below(fresh, DOCS)?;
    names.extend(files_below(root, DOCS)?);
    names.push(SCHEMA.to_owned());
    names.sort();
    names.dedup();
    Ok(names
        .into_iter()
        .filter(|name| {
            let (kept, wanted) = (fs::read(root.join(name)), fs::read(fresh.join(name)));
            !matches!((kept, wanted), (Ok(kept), Ok(wanted)) if kept == wanted)
        })
        .collect())
}

fn files_below(root: &Path, folder: &str) -> Result<Vec<String>, String> {
    let path = root.join(folder);
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    let entries = fs::read_dir(&path).map_err(|e| format!("{folder}: {e}"))?;
    for entry in entries {
        let entry = entry.map_err(|e| format!("{folder}: {e}"))?;
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            names.extend(files_below(root, &name)?);
        } else {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_names_what_differs_is_missing_or_is_gone() {
        let base = std::env::temp_dir().join(format!("farmgate-stale-{}", std::process::id()));
        let (root, fresh) = (base.join("root"), base.join("fresh"));
        let put = |folder: &Path, name: &str, text: &str| {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(&root, "docs/reference/same.md", "a");
        put(&fresh, "docs/reference/same.md", "a");
        put(&root, "docs/reference/old/gone.md", "a");
        put(&fresh, "docs/reference/new.md", "a");
        put(&root, SCHEMA, "{}");
        put(&fresh, SCHEMA, "{ }");
        let found = stale(&root, &fresh);
        fs::remove_dir_all(&base).unwrap();
        assert_eq!(
            found.unwrap(),
            [
                SCHEMA,
                "docs/reference/new.md",
                "docs/reference/old/gone.md"
            ]
        );
    }
}
