use std::sync::atomic::AtomicU64;

use super::*;

const SOON: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Count(AtomicU64);

impl Counter for Count {
    fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

impl Count {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn count() -> (Arc<Count>, Arc<dyn Counter>) {
    let count = Arc::new(Count::default());
    (Arc::clone(&count), count)
}

#[test]
fn lines_are_appended_in_order_and_a_file_is_shared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    std::fs::write(&path, "before\n").unwrap();
    let logs = Logs::default();
    let (_, counter) = count();
    let one = logs.open(&path, Arc::clone(&counter)).unwrap();
    let two = logs.open(&path, counter).unwrap();
    for n in 0..2_000 {
        assert!(one.write(format!("{n}").as_bytes()));
    }
    assert!(two.write(b"ended\n"));
    logs.flush(SOON).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut expected = vec!["before".to_owned()];
    expected.extend((0..2_000).map(|n| n.to_string()));
    expected.push("ended".to_owned());
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    let inner = logs.0.lock();
    assert_eq!(inner.files.len(), 1);
    let file = inner.files[0].upgrade().unwrap();
    assert_eq!(file.waiting.load(Ordering::Relaxed), 0);
}

#[test]
fn reopening_follows_logrotate_also_for_a_quiet_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let old = folder.path().join("audit.log.1");
    let logs = Logs::default();
    logs.reopen(SOON).unwrap();
    let (_, counter) = count();
    let log = logs.open(&path, counter).unwrap();
    std::fs::rename(&path, &old).unwrap();
    logs.reopen(SOON).unwrap();
    log.write(b"new");
    logs.flush(SOON).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
    // A file that cannot be opened again stays open where it is.
    std::fs::rename(&path, &old).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(logs.reopen(SOON).is_err());
    log.write(b"more");
    logs.flush(SOON).unwrap();
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "new\nmore\n");
}

#[test]
fn what_does_not_fit_is_dropped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let logs = Logs::default();
    let (dropped, counter) = count();
    let log = logs.open(&path, counter).unwrap();
    assert!(!log.write(&vec![b'x'; MAX_LINE_BYTES + 1]));
    assert_eq!(dropped.get(), 1);
    // The thread is held up, as by a disk that hangs: the queue fills.
    let file = logs.0.lock().files[0].upgrade().unwrap();
    let held = file.open.lock();
    let lines = (0..20)
        .filter(|_| log.write(&vec![b'x'; MAX_LINE_BYTES]))
        .count();
    assert_eq!(lines, MAX_WAITING_BYTES / MAX_LINE_BYTES);
    assert_eq!(dropped.get(), 1 + 20 - 8);
    drop(held);
    logs.flush(SOON).unwrap();
    let written = std::fs::metadata(&path).unwrap().len();
    assert_eq!(written, 8 * (MAX_LINE_BYTES as u64 + 1));
}

#[test]
fn many_small_lines_are_bounded_too() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::default();
    let (dropped, counter) = count();
    let log = logs.open(&folder.path().join("a"), counter).unwrap();
    let file = logs.0.lock().files[0].upgrade().unwrap();
    let held = file.open.lock();
    let kept = (0..MAX_LINES * 2).filter(|_| log.write(b"x")).count();
    assert!(
        (MAX_LINES..=MAX_LINES + BATCH_LINES).contains(&kept),
        "{kept}"
    );
    assert_eq!(dropped.get() as usize, MAX_LINES * 2 - kept);
    drop(held);
    // The queue is full for a moment, and then the answer comes.
    // tidy: waits for a condition
    while logs.flush(SOON).is_err() {
        thread::yield_now();
    }
}

#[test]
fn a_file_that_cannot_be_written_counts_its_lines() {
    let logs = Logs::default();
    let (dropped, counter) = count();
    let log = logs.open(Path::new("/dev/full"), counter).unwrap();
    assert!(log.write(b"one") && log.write(b"two"));
    logs.flush(SOON).unwrap();
    assert_eq!(dropped.get(), 2);
    let (_, counter) = count();
    let error = logs.open(Path::new("/no/such/folder/x"), counter).err();
    assert!(error.unwrap().contains("cannot be opened"));
}
