use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::disk::{Disk, FileDisk, FileName};

fn mode(path: &Path) -> u32 {
    let made = std::fs::metadata(path).expect("made");
    made.permissions().mode() & 0o777
}

#[test]
fn what_is_made_is_for_the_owner_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("a/cache");
    let disk = FileDisk::open(&folder).expect("a disk");
    assert!(disk.lock().expect("a lock"));
    disk.write_at(FileName::Segment(1), 0, b"body")
        .expect("a file");
    assert_eq!(mode(&folder), 0o700);
    for entry in std::fs::read_dir(&folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
}
