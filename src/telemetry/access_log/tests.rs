use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::*;
use crate::telemetry::credentials::Credentials;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::reason::Reason;

const DEADLINE: Duration = Duration::from_secs(20);

fn counted() -> (Arc<Metrics>, AccessLogMetrics) {
    let metrics = Metrics::new(100, "0").unwrap();
    let counters = metrics.access_log().clone();
    (metrics, counters)
}

fn line(id: impl std::fmt::Display) -> Vec<u8> {
    let id = id.to_string();
    let mut record = AccessRecord::new(1_234_567_890_123, Reason::Ok, 200);
    record.set(Text::RequestId, &id);
    let mut line = Vec::new();
    with_line(&record, |own| line.extend_from_slice(own));
    line
}

fn full() -> AccessRecord<'static> {
    let mut r = AccessRecord::new(1_234_567_890_123, Reason::FirstByteTimeout, 504);
    r.generation = 7;
    r.bytes_in = 10;
    r.bytes_out = 2_048;
    r.attempt = 2;
    r.client = Some("2001:db8::1".parse().unwrap());
    r.timings = Timings {
        queue_ns: None,
        connect_ns: Some(1_234_567),
        first_byte_ns: Some(999),
        total_ns: 15_000_000_999,
    };
    for (text, value) in [
        (Text::RequestId, "id-1"),
        (Text::Listener, "web"),
        (Text::Route, "api"),
        (Text::Upstream, "app"),
        (Text::Endpoint, "127.0.0.1:1"),
        (Text::Method, "GET"),
        (Text::Host, "a.test"),
        (Text::Path, "/v1/x?a=1&token=geheim"),
        (Text::Protocol, "HTTP/1.1"),
        (Text::UserAgent, "curl \"8\"\\"),
        (Text::Referer, "https://b.test/?code=geheim"),
        (Text::TraceId, "0af7651916cd43dd8448eb211c80319c"),
        (Text::Consumer, "anna"),
    ] {
        r.set(text, value);
    }
    r.header("x-tenant", b"a");
    r
}

fn json(record: &AccessRecord<'_>) -> String {
    let mut out = String::new();
    with_line(record, |line| {
        out.push_str(std::str::from_utf8(line).unwrap())
    });
    out
}

fn ids(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).expect(line);
            value["request_id"].as_str().unwrap().parse().unwrap()
        })
        .collect()
}

fn options(path: &Path) -> AccessLogOptions {
    AccessLogOptions::new(Output::File(path.to_owned()), 4)
}

#[test]
fn a_line_holds_every_field_in_order_and_no_secret() {
    assert_eq!(
        json(&full()),
        concat!(
            r#"{"time":"2009-02-13T23:31:30.123Z","request_id":"id-1","listener":"web","route":"api","upstream":"app","#,
            r#""endpoint":"127.0.0.1:1","attempt":2,"method":"GET","host":"a.test","path":"/v1/x?a=1&token=REDACTED","#,
            r#""protocol":"HTTP/1.1","status":504,"reason":"upstream_first_byte_timeout","client":"2001:db8::1","#,
            r#""bytes_in":10,"bytes_out":2048,"timings_ms":{"connect":1.234,"first_byte":0.000,"total":15000.000},"#,
            r#""user_agent":"curl \"8\"\\","referer":"https://b.test/?code=REDACTED","#,
            r#""trace_id":"0af7651916cd43dd8448eb211c80319c","generation":7,"consumer":"anna","headers":{"x-tenant":"a"}}"#
        )
    );
}

#[test]
fn a_consumer_is_told_with_plan_and_tags() {
    let tags: Vec<Arc<str>> = ["beta", "a \"b\""].map(Arc::from).into();
    let many: Vec<Arc<str>> = vec!["t".into(); 100];
    let mut r = AccessRecord::new(0, Reason::Ok, 200);
    r.set(Text::Consumer, "anna");
    r.set(Text::Plan, "gold");
    r.tags = &tags;
    let told = r#""consumer":"anna","plan":"gold","tags":["beta","a \"b\""]"#;
    assert!(json(&r).contains(told), "{}", json(&r));
    r.tags = &many;
    assert_eq!(json(&r).matches("\"t\"").count(), 32, "bounded");
}

#[test]
fn what_plugins_call_credentials_is_hidden() {
    let mut hidden = Credentials::default();
    hidden.add_header("x-farm");
    hidden.add_query("mykey");
    let mut r = AccessRecord::new(0, Reason::Ok, 200);
    r.credentials = &hidden;
    r.set(Text::Path, "/a?MyKey=geheim&b=1");
    r.set(Text::Referer, "https://b.test/?%6dykey=geheim");
    r.header("x-farm", b"geheim");
    r.header("x-tenant", b"a");
    let line = json(&r);
    assert!(!line.contains("geheim"), "{line}");
    assert!(
        line.contains("/a?MyKey=REDACTED&b=1") && line.contains(r#"{"x-tenant":"a"}"#),
        "{line}"
    );
}

#[test]
fn addresses_are_written_as_usual() {
    for address in [
        "0.0.0.0",
        "10.0.200.1",
        "255.255.255.255",
        "::1",
        "fe80::1:2",
    ] {
        let mut r = AccessRecord::new(0, Reason::Ok, 200);
        r.client = Some(address.parse().unwrap());
        assert!(json(&r).contains(&format!("\"client\":\"{address}\",")));
    }
}

#[test]
fn any_bytes_make_valid_json_on_one_line() {
    let mut state = 7u64;
    for _ in 0..2_000 {
        let bytes: Vec<u8> = (0..state % 40)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 33) as u8
            })
            .collect();
        state = state.wrapping_add(11);
        let mut r = AccessRecord::new(0, Reason::Ok, 200);
        r.set(Text::Path, &bytes);
        r.set(Text::UserAgent, &bytes);
        r.header("x-a", &bytes);
        let line = json(&r);
        assert!(!line.bytes().any(|b| b < 0x20), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).expect(&line);
        if let Ok(text) = std::str::from_utf8(&bytes)
            && !text.is_empty()
        {
            assert_eq!(value["user_agent"], text);
        }
    }
    let mut r = AccessRecord::new(0, Reason::Ok, 200);
    r.set(Text::Path, b"/\xff\xc3?token=\xfe\n&b=\xc3\xbc");
    assert!(json(&r).contains(r#""path":"/\u00ff\u00c3?token=REDACTED&b=ü""#));
}

#[test]
fn long_texts_are_cut_and_all_fit_at_their_longest() {
    let long = vec![b'a'; 100_000];
    let mut r = AccessRecord::new(0, Reason::Ok, 200);
    for text in [
        Text::Path,
        Text::Referer,
        Text::UserAgent,
        Text::Host,
        Text::RequestId,
    ] {
        r.set(text, &long);
    }
    let names: Vec<String> = (0..100).map(|n| format!("x-{n}")).collect();
    for name in &names {
        r.header(name, &long);
    }
    let value: serde_json::Value = serde_json::from_str(&json(&r)).unwrap();
    let length = |field: &str| value[field].as_str().unwrap().len();
    assert_eq!(length("path"), MAX_PATH_BYTES + 3);
    assert_eq!(length("user_agent"), MAX_TEXT_BYTES + 3);
    assert!(value["user_agent"].as_str().unwrap().ends_with("a..."));
    let headers = value["headers"].as_object().unwrap();
    assert_eq!(headers.len(), MAX_HEADERS);
    let whole = |value: &serde_json::Value| value.as_str().unwrap().len() == MAX_TEXT_BYTES + 3;
    assert!(headers.values().all(whole));
}

#[test]
fn close_writes_everything_from_all_threads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let (_metrics, counters) = counted();
    let log = AccessLog::open(&options(&path), counters.clone()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let log = &log;
            scope.spawn(move || (0..2_000).for_each(|n| log.submit(&line(thread * 10_000 + n))));
        }
    });
    log.close(DEADLINE).unwrap();
    let mut seen = ids(&path);
    assert_eq!(counters.records.get(), seen.len() as u64);
    assert_eq!(seen.len() as u64 + counters.dropped.get(), 8_000);
    assert_eq!(counters.dropped.get(), 0);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 8_000);
    // After the end records are refused and counted.
    log.submit(&line(1));
    assert_eq!(counters.dropped.get(), 1);
    log.close(DEADLINE).unwrap();
}

#[test]
fn records_that_come_during_close_are_written_or_counted() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let path = folder.path().join(format!("{round}.log"));
        let (_metrics, counters) = counted();
        let mut small = options(&path);
        small.buffer_bytes = 300 * 100;
        let log = AccessLog::open(&small, counters.clone()).unwrap();
        let stop = AtomicBool::new(false);
        let submitted = std::thread::scope(|scope| {
            let producer = scope.spawn(|| {
                let mut n = 0u64;
                while !stop.load(SeqCst) {
                    log.submit(&line(n));
                    n += 1;
                }
                n
            });
            log.flush(DEADLINE).unwrap();
            log.close(DEADLINE).unwrap();
            stop.store(true, SeqCst);
            producer.join().unwrap()
        });
        assert_eq!(counters.records.get() + counters.dropped.get(), submitted);
        assert_eq!(ids(&path).len() as u64, counters.records.get());
    }
}

#[test]
fn one_thread_keeps_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::open(&options(&path), counted().1).unwrap();
    (0..5_000).for_each(|n| log.submit(&line(n)));
    log.flush(DEADLINE).unwrap();
    assert_eq!(ids(&path), (0..5_000).collect::<Vec<_>>());
    log.close(DEADLINE).unwrap();
}

#[test]
fn reopen_goes_on_in_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
    let (_metrics, counters) = counted();
    let log = AccessLog::open(&options(&path), counters.clone()).unwrap();
    (0..10).for_each(|n| log.submit(&line(n)));
    std::fs::rename(&path, &old).unwrap();
    log.reopen(DEADLINE).unwrap();
    (10..15).for_each(|n| log.submit(&line(n)));
    log.flush(DEADLINE).unwrap();
    assert_eq!(ids(&old).len(), 10);
    assert_eq!(ids(&path), (10..15).collect::<Vec<_>>());
    // The folder is gone: refused, and the old file goes on.
    drop(std::fs::remove_file(&path));
    std::fs::create_dir(&path).unwrap();
    assert!(log.reopen(DEADLINE).is_err());
    log.submit(&line(99));
    log.close(DEADLINE).unwrap();
    assert_eq!((counters.records.get(), counters.dropped.get()), (16, 0));
}

/// Fails after some bytes, until it is told to work.
struct Flaky {
    room: usize,
    works: Arc<AtomicBool>,
    out: Arc<Mutex<Vec<u8>>>,
}

impl io::Write for Flaky {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = match self.works.load(SeqCst) {
            true => bytes.len(),
            false => bytes.len().min(self.room),
        };
        if n == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= n.min(self.room);
        self.out.lock().extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_counted_and_survived() {
    let (works, out) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let length = line(1).len() + 1;
    let sink = Sink::Stream(Box::new(Flaky {
        room: length * 2 + length / 2,
        works: works.clone(),
        out: Arc::clone(&out),
    }));
    let (_metrics, counters) = counted();
    let log = AccessLog::start(&options(Path::new("")), counters.clone(), sink).unwrap();
    (1..=5).for_each(|n| log.submit(&line(n)));
    log.flush(DEADLINE).unwrap();
    assert_eq!(counters.records.get() + counters.dropped.get(), 5);
    assert_eq!(counters.records.get(), 2);
    assert!(counters.write_errors.get() >= 1);
    works.store(true, SeqCst);
    (6..=7).for_each(|n| log.submit(&line(n)));
    log.close(DEADLINE).unwrap();
    assert_eq!((counters.records.get(), counters.dropped.get()), (4, 3));
    let bytes = out.lock().clone();
    let text = String::from_utf8(bytes).unwrap();
    let whole = text
        .lines()
        .filter(|l| serde_json::from_str::<serde_json::Value>(l).is_ok());
    // Two before, two after; the torn one stands on a line of its own.
    assert_eq!((whole.count(), text.lines().count()), (4, 5));
}

/// Waits in `write` until the test lets it go.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl io::Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_output_drops_and_never_blocks() {
    let (release, wait) = sync_channel::<()>(1);
    let (_metrics, counters) = counted();
    let mut small = options(Path::new(""));
    small.buffer_bytes = 100 * 100;
    let log = AccessLog::start(
        &small,
        counters.clone(),
        Sink::Stream(Box::new(Stuck(wait))),
    )
    .unwrap();
    (0..10_000).for_each(|n| log.submit(&line(n)));
    assert!(counters.dropped.get() > 0);
    let error = log.flush(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(release);
    log.close(DEADLINE).unwrap();
    assert_eq!(counters.records.get() + counters.dropped.get(), 10_000);
}

#[test]
fn the_buffer_is_bounded() {
    let buffer = Buffer::new(2, 64 * 1024);
    let kept = (0..10_000)
        .filter(|n| buffer.push(&line(n)) != Pushed::Refused)
        .count();
    let bytes = kept * (line(0).len() + 1);
    assert!((32 * 1024..=64 * 1024).contains(&bytes), "{kept}");
}

#[test]
fn the_journal_gets_one_entry_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = UnixDatagram::bind(&path).unwrap();
    let (_metrics, counters) = counted();
    let log = AccessLog::start(
        &options(Path::new("")),
        counters.clone(),
        Sink::journal(&path).unwrap(),
    )
    .unwrap();
    log.submit(&line(1));
    log.submit(&line(2));
    log.flush(DEADLINE).unwrap();
    let mut bytes = [0; 4096];
    for id in 1..=2 {
        let n = journal.recv(&mut bytes).unwrap();
        let entry = std::str::from_utf8(&bytes[..n]).unwrap();
        let (fields, message) = entry.split_once("MESSAGE=").unwrap();
        assert_eq!(fields, "PRIORITY=6\nSYSLOG_IDENTIFIER=farmgate\n");
        assert!(message.ends_with("}\n") && message.contains(&format!("\"{id}\"")));
    }
    // The journal goes away: counted, not fatal.
    drop(journal);
    log.submit(&line(3));
    log.close(DEADLINE).unwrap();
    assert_eq!((counters.records.get(), counters.dropped.get()), (2, 1));
}

#[test]
fn outputs_are_words_or_paths() {
    assert_eq!(Output::parse("stdout"), Output::Stdout);
    assert_eq!(Output::parse("journald"), Output::Journald);
    assert_eq!(Output::parse("run/a.log"), Output::File("run/a.log".into()));
    let nowhere = options(Path::new("/nonexistent-folder/a.log"));
    assert!(AccessLog::open(&nowhere, counted().1).is_err());
}
