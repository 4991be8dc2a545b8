//! The repository's own chores: `cargo xtask tidy | gen | new-plugin`.
//!
//! This package does not depend on `farmgate`, so that `tidy` builds in seconds.

mod new_plugin;
mod reference;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  tidy               checks the rules of the house; prints what breaks them
  gen                writes docs/reference and conf/schema from the code
  gen --check        only says which of these files are stale
  new-plugin NAME    makes a plugin room: six files and one line in plugins/lib.rs
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some(root) = repository_root() else {
        eprintln!("xtask: run this inside the repository (no folder above holds xtask/Cargo.toml)");
        return ExitCode::FAILURE;
    };
    let result = match words.as_slice() {
        ["tidy"] => tidy::command(&root),
        ["gen"] => reference::write(&root),
        ["gen", "--check"] => reference::check(&root),
        ["new-plugin", name] => new_plugin::command(&root, name),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(format!(
            "not a command: {}\n\n{HELP}",
            words.join(" ").trim()
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's folder: the nearest one at or above the current folder that holds this package.
fn repository_root() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors()
        .find(|folder| folder.join("xtask/Cargo.toml").is_file())
        .map(Path::to_path_buf)
}
