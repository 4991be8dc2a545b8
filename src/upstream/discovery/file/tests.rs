use std::os::unix::fs::symlink;

use tokio::time::timeout;

use super::*;

const LOOKS: Duration = Duration::from_millis(10);

/// A file with this name and content, and its source.
fn with_file(name: &str, content: &str) -> (tempfile::TempDir, PathBuf, FileSource) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let source = source(&path);
    (folder, path, source)
}

fn source(path: &Path) -> FileSource {
    FileSource::new(FileOptions {
        path: path.to_owned(),
        interval: LOOKS,
    })
}

fn list(addresses: &[&str]) -> String {
    serde_json::json!({ "endpoints": addresses }).to_string()
}

async fn next(source: &mut FileSource) -> Result<Vec<String>, String> {
    let said = timeout(Duration::from_secs(20), source.next());
    let said = said.await.expect("nothing is said in 20 s");
    let (said, _) = said.map_err(|error| error.to_string())?;
    let addresses = said.endpoints.iter();
    Ok(addresses.map(|found| found.address.to_string()).collect())
}

/// Waits for the answer with these addresses; others may come before.
async fn reaches(source: &mut FileSource, expected: &[&str]) {
    for _ in 0..1000 {
        if next(source).await.is_ok_and(|said| said == expected) {
            return;
        }
    }
    panic!("{expected:?} is never said");
}

#[tokio::test]
async fn a_renamed_file_is_taken_and_the_same_content_is_not_told_again() {
    let (folder, path, mut source) = with_file("orders.json", &list(&["10.0.0.1:80"]));
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    // The same once more: a new file, nothing new in it. What is told next is the one after.
    for addresses in [&["10.0.0.1:80"][..], &["10.0.0.2:80", "10.0.0.3:80"]] {
        let half = folder.path().join("half");
        std::fs::write(&half, list(addresses)).unwrap();
        std::fs::rename(&half, &path).unwrap();
        if addresses.len() == 1 {
            let quiet = timeout(Duration::from_millis(500), source.next()).await;
            assert!(quiet.is_err(), "{quiet:?}");
        }
    }
    let said = next(&mut source).await.unwrap();
    assert_eq!(said, ["10.0.0.2:80", "10.0.0.3:80"]);
}

#[tokio::test]
async fn toml_is_read_by_its_name() {
    let (_folder, _, mut source) = with_file("orders.toml", "endpoints = [\"[::1]:80\"]\n");
    assert_eq!(next(&mut source).await.unwrap(), ["[::1]:80"]);
    let (_folder, _, mut source) = with_file("orders.txt", &list(&["10.0.0.1:80"]));
    let error = next(&mut source).await.unwrap_err();
    assert!(
        error.contains("orders.txt: the name ends in neither"),
        "{error}"
    );
}

#[tokio::test]
async fn a_half_written_file_is_an_error_and_the_whole_one_is_taken() {
    let whole = list(&["10.0.0.1:80", "10.0.0.2:80"]);
    let (_folder, path, mut source) = with_file("orders.json", &whole[..whole.len() / 2]);
    let error = next(&mut source).await.unwrap_err();
    assert!(error.contains("orders.json: EOF while parsing"), "{error}");
    std::fs::write(&path, &whole).unwrap();
    reaches(&mut source, &["10.0.0.1:80", "10.0.0.2:80"]).await;
}

/// Half a list in TOML may be a list too: while somebody writes, nothing is taken.
#[tokio::test]
async fn a_file_that_is_being_written_is_left_alone() {
    let (_folder, path, mut source) = with_file("orders.toml", "endpoints = [\"10.0.0.1:80\"]\n");
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    let writer = tokio::task::spawn_blocking(move || {
        use std::io::Write as _;
        let mut file = std::fs::File::create(&path).unwrap();
        let start = std::time::Instant::now();
        let mut count = 0;
        while start.elapsed() < Duration::from_secs(1) {
            count += 1;
            let line = format!("[[endpoints]]\naddress = \"10.0.1.1:{count}\"\n");
            file.write_all(line.as_bytes()).unwrap();
            std::thread::park_timeout(Duration::from_millis(10));
        }
        count
    });
    let said = next(&mut source).await.unwrap();
    let written = writer.await.unwrap();
    assert_eq!(said.len(), written, "a part of the list was taken");
}

#[tokio::test]
async fn a_deleted_file_is_told_each_time_and_comes_back() {
    let (_folder, path, mut source) = with_file("orders.json", &list(&["10.0.0.1:80"]));
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    std::fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        let error = next(&mut source).await.unwrap_err();
        assert!(error.contains("No such file"), "{error}");
    }
    // What was there before is told again: it ends the failure.
    std::fs::write(&path, list(&["10.0.0.1:80"])).unwrap();
    reaches(&mut source, &["10.0.0.1:80"]).await;
    // A typo, and its mending.
    std::fs::write(&path, "{\"endpionts\": []}").unwrap();
    let error = next(&mut source).await.unwrap_err();
    assert!(error.contains("unknown field `endpionts`"), "{error}");
    std::fs::write(&path, list(&["10.0.0.2:80"])).unwrap();
    reaches(&mut source, &["10.0.0.2:80"]).await;
}

/// As Kubernetes changes the files of a ConfigMap: the link to the folder is swapped.
#[tokio::test]
async fn a_swapped_link_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, address) in [("v1", "10.0.0.1:80"), ("v2", "10.0.0.2:80")] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("orders.json"), list(&[address])).unwrap();
    }
    symlink("v1", at("data")).unwrap();
    symlink("data/orders.json", at("orders.json")).unwrap();
    let mut source = source(&at("orders.json"));
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    symlink("v2", at("data.new")).unwrap();
    std::fs::rename(at("data.new"), at("data")).unwrap();
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.2:80"]);
}

/// A pipe nobody writes to would hold the thread, a folder cannot be read, a large file is none of ours.
#[tokio::test]
async fn what_is_no_list_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.json");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
    let error = next(&mut source(&pipe)).await.unwrap_err();
    assert!(error.contains("no regular file"), "{error}");
    let inside = folder.path().join("folder.json");
    std::fs::create_dir(&inside).unwrap();
    let error = next(&mut source(&inside)).await.unwrap_err();
    assert!(error.contains("no regular file"), "{error}");
    let large = folder.path().join("large.json");
    std::fs::write(&large, vec![b' '; MAX_BYTES + 1]).unwrap();
    let error = next(&mut source(&large)).await.unwrap_err();
    assert!(error.contains("more than 4194304 bytes"), "{error}");
}

/// The same content is confirmed from time to time: its age stays small while the source lives.
#[tokio::test(start_paused = true)]
async fn an_unchanged_file_is_confirmed() {
    let (_folder, _, mut source) = with_file("orders.json", &list(&["10.0.0.1:80"]));
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    let start = Instant::now();
    let again = timeout(2 * CONFIRMED, source.next()).await;
    assert_eq!(again.unwrap().unwrap().0.endpoints.len(), 1);
    assert!(start.elapsed() >= CONFIRMED);
}
