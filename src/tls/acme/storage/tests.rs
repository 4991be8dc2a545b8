use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn folders_and_files_are_their_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run/acme");
    let storage = Storage::open(&root).unwrap();
    // Opening it again changes nothing.
    Storage::open(&root).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for part in [
        root.clone(),
        storage.challenges(),
        storage.leases(),
        storage.certificates(),
    ] {
        assert_eq!(mode(&part), 0o700, "{}", part.display());
    }
    let file = root.join("file");
    write(&file, b"one").unwrap();
    write(&file, b"two").unwrap();
    assert_eq!(mode(&file), 0o600);
    assert_eq!(read(&file).unwrap().unwrap(), b"two");
    assert!(
        !names(&root)
            .unwrap()
            .iter()
            .any(|name| name.starts_with('.'))
    );
    assert_eq!(fs::read_dir(&root).unwrap().count(), 5);
}

#[test]
fn what_is_missing_is_none_and_what_is_too_large_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    assert!(read(&file).unwrap().is_none());
    write(&file, &vec![b'x'; 1 << 20]).unwrap();
    assert_eq!(read(&file).unwrap().unwrap().len(), 1 << 20);
    write(&file, &vec![b'x'; (1 << 20) + 1]).unwrap();
    let error = read(&file).unwrap_err();
    assert!(error.message.ends_with("is over 1 MiB"), "{error}");
}

#[test]
fn a_storage_that_cannot_be_made_names_its_folder() {
    let error = Storage::open(Path::new("/dev/null/acme")).unwrap_err();
    assert_eq!(error.stage, Stage::Storage);
    assert!(
        error.message.starts_with("/dev/null/acme/accounts: "),
        "{error}"
    );
}

#[test]
fn an_account_has_a_file_per_directory() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path()).unwrap();
    let one = storage.account_file("https://a.test/dir");
    assert_eq!(one, storage.account_file("https://a.test/dir"));
    assert_ne!(one, storage.account_file("https://b.test/dir"));
    assert_eq!(one.parent(), Some(folder.path().join("accounts").as_path()));
}

#[test]
fn drafts_of_killed_writers_are_removed_later() {
    let folder = tempfile::tempdir().unwrap();
    for name in [".draft", "file"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    remove_old_drafts(folder.path(), SystemTime::now() + STALE / 2);
    assert!(folder.path().join(".draft").exists());
    remove_old_drafts(folder.path(), SystemTime::now() + STALE * 2);
    assert!(!folder.path().join(".draft").exists());
    assert!(folder.path().join("file").exists());
}

#[test]
fn folders_that_were_removed_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("acme");
    let storage = Storage::open(&root).unwrap();
    fs::remove_dir_all(&root).unwrap();
    storage.make().unwrap();
    assert!(names(&storage.leases()).unwrap().is_empty());
}
