use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[derive(Default)]
struct Count(AtomicU64);

impl Counter for Count {
    fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

/// A file whose good versions begin with `ok`, and what became of it.
struct Case {
    folder: tempfile::TempDir,
    path: PathBuf,
    errors: Arc<Count>,
    versions: Arc<Mutex<Vec<String>>>,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "ok 1").unwrap();
        Self {
            folder,
            path,
            errors: Arc::default(),
            versions: Arc::default(),
        }
    }

    fn open(&self) -> Result<Watched, String> {
        let versions = Arc::clone(&self.versions);
        let parse = move |content: &[u8]| {
            let text = String::from_utf8_lossy(content).into_owned();
            assert!(text != "panic", "a parser's own mistake");
            if !text.starts_with("ok") {
                return Err("is wrong".to_owned());
            }
            versions.lock().push(text);
            Ok(())
        };
        let errors = Arc::clone(&self.errors) as Arc<dyn Counter>;
        Watched::open("test".into(), &self.path, 100, Box::new(parse), errors)
    }

    fn write(&self, content: &str) {
        std::fs::write(&self.path, content).unwrap();
    }

    fn seen(&self) -> Vec<String> {
        self.versions.lock().clone()
    }

    fn errors(&self) -> u64 {
        self.errors.0.load(Ordering::Relaxed)
    }
}

fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(60)
}

#[test]
fn every_version_is_parsed_once() {
    let case = Case::new();
    let file = case.open().unwrap();
    file.look(later());
    case.write("ok 2");
    file.look(later());
    file.look(later());
    assert_eq!(case.seen(), ["ok 1", "ok 2"]);
    // Its stamp is old enough: the file is not even opened any more.
    assert!(file.seen.lock().stamp.is_some());
    assert_eq!(case.errors(), 0);
}

#[test]
fn a_change_without_a_new_stamp_is_found_while_the_file_is_young() {
    let case = Case::new();
    let file = case.open().unwrap();
    file.look(SystemTime::now());
    assert!(file.seen.lock().stamp.is_none());
    case.write("ok 2");
    file.look(SystemTime::now());
    assert_eq!(case.seen(), ["ok 1", "ok 2"]);
}

#[test]
fn a_wrong_version_leaves_the_last_good_and_counts_once() {
    let case = Case::new();
    let file = case.open().unwrap();
    for (content, errors) in [("bad 1", 1), ("bad 2", 2), ("panic", 3), ("ok 2", 3)] {
        case.write(content);
        file.look(SystemTime::now());
        file.look(SystemTime::now());
        file.look(later());
        assert_eq!(case.errors(), errors, "{content}");
    }
    assert_eq!(case.seen(), ["ok 1", "ok 2"]);
}

#[test]
fn a_file_that_is_gone_or_too_large_counts_once_until_it_is_back() {
    let case = Case::new();
    let file = case.open().unwrap();
    std::fs::remove_file(&case.path).unwrap();
    file.look(later());
    file.look(later());
    assert_eq!(case.errors(), 1);
    case.write("ok 1");
    file.look(later());
    assert_eq!(
        case.seen(),
        ["ok 1"],
        "the same content is not parsed again"
    );
    case.write(&"ok".repeat(51));
    file.look(later());
    file.look(later());
    assert_eq!(case.errors(), 2);
}

#[test]
fn renames_and_swapped_links_are_changes() {
    let case = Case::new();
    let other = case.folder.path().join("other");
    std::fs::remove_file(&case.path).unwrap();
    std::fs::write(&other, "ok a").unwrap();
    std::os::unix::fs::symlink(&other, &case.path).unwrap();
    let file = case.open().unwrap();
    file.look(later());
    let next = case.folder.path().join("next");
    std::fs::write(&next, "ok b").unwrap();
    std::fs::rename(&next, &other).unwrap();
    file.look(later());
    let third = case.folder.path().join("third");
    std::fs::write(&third, "ok c").unwrap();
    std::os::unix::fs::symlink(&third, &next).unwrap();
    std::fs::rename(&next, &case.path).unwrap();
    file.look(later());
    assert_eq!(case.seen(), ["ok a", "ok b", "ok c"]);
}

#[test]
fn a_first_version_must_be_good() {
    let case = Case::new();
    for content in ["bad", "panic"] {
        case.write(content);
        assert!(case.open().is_err());
    }
    std::fs::remove_file(&case.path).unwrap();
    assert!(case.open().is_err());
    assert_eq!(case.errors(), 0, "the diagnostic says it all");
}

#[tokio::test(start_paused = true)]
async fn one_task_looks_until_nobody_is_interested() {
    let case = Case::new();
    let watcher = Watcher::new(Handle::current(), Duration::from_secs(1));
    let alive = Arc::default();
    watcher.add(Arc::new(case.open().unwrap()), &alive).unwrap();
    case.write("ok 2");
    while case.seen().len() < 2 {
        // tidy: waits for a condition
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    drop(alive);
    while watcher.files.lock().running {
        // tidy: waits for a condition
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(watcher.files.lock().watched.is_empty());
    // And again from the start.
    let alive = Arc::default();
    watcher.add(Arc::new(case.open().unwrap()), &alive).unwrap();
    case.write("ok 3");
    while case.seen().len() < 4 {
        // tidy: waits for a condition
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(case.seen(), ["ok 1", "ok 2", "ok 2", "ok 3"]);
}
