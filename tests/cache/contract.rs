//! The contract's cache.toml.

use std::path::Path;

use crate::harness::cli::check;

/// What a machine may lack, and what the contract itself asks for: 1 GiB of 512 MiB.
const KNOWN: [&str; 3] = ["E-LIMIT-001", "E-CACHE-007", "E-CACHE-009"];

#[test]
fn it_loads() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/cache.toml");
    let path = folder.path().join("cache.toml");
    std::fs::copy(source, &path).expect("copy the contract");
    let ran = check(&path).expect(0);
    assert!(ran.out.contains("E-CACHE-009"), "{}", ran.out);
    let warnings = ran.out.lines().filter(|line| line.contains(": warning "));
    let odd: Vec<&str> = warnings
        .filter(|line| !KNOWN.iter().any(|known| line.contains(known)))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
    // Looking makes nothing.
    assert!(!folder.path().join("run").exists());
}
