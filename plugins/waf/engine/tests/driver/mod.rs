//! Programs in C that ask the installed libmodsecurity, compiled when a test needs one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A compiled driver, in a folder of its own that goes with it.
pub(crate) struct Driver {
    pub(crate) program: PathBuf,
    _folder: tempfile::TempDir,
}

/// Compiles a driver; nothing where the library or a compiler is missing.
pub(crate) fn compile(source: &Path) -> Option<Driver> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let probe = folder.path().join("probe.c");
    let text = "#include <modsecurity/modsecurity.h>\nint main(void){return 0;}\n";
    std::fs::write(&probe, text).expect("a temporary file");
    let program = folder.path().join("driver");
    let run = |source: &Path| -> Option<Output> {
        Command::new("cc")
            .args(["-O1", "-D_GNU_SOURCE", "-o"])
            .args([&program, source])
            .arg("-lmodsecurity")
            .output()
            .ok()
    };
    if !run(&probe)?.status.success() {
        return None;
    }
    let outcome = run(source)?;
    let said = String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.success(), "{said}");
    Some(Driver {
        program,
        _folder: folder,
    })
}
