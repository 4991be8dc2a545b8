//! What is stored outlives the process: a stop, a kill, and folders that were damaged meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{config, telling};
use crate::harness::{Client, Node, Origin, SOON, Setup};

/// Objects of a run, and bytes of each.
const OBJECTS: usize = 10_000;
const BYTES: usize = 2048;

/// Clients side by side.
const CLIENTS: usize = 8;

/// A second of fills may be lost by a kill; and what the machine of tests is late with.
const LOST: Duration = Duration::from_millis(2500);

const FOLDER: &str = "run/cache";

/// The body of an object, which is no other's.
fn body(target: &str) -> String {
    let mut body = String::with_capacity(BYTES + 32);
    while body.len() < BYTES {
        body.push_str(target);
        body.push(' ');
    }
    body.truncate(BYTES);
    body
}

async fn origin() -> Origin {
    telling(|seen, _| {
        let fields = "Cache-Control: max-age=86400\r\nX-Kind: stored\r\n";
        (200, fields.to_owned(), body(seen.target()))
    })
    .await
}

fn on_disk(policy: &str) -> String {
    let cache =
        format!("memory = \"64MiB\"\ndisk = [{{ path = \"{FOLDER}\", size = \"256MiB\" }}]");
    config(policy, "").replace("memory = \"64MiB\"", &cache)
}

async fn node(origin: &Origin) -> Node {
    let setup = Setup::new().with("origin", origin.address());
    setup.start(&on_disk("")).await
}

fn target(object: usize) -> String {
    format!("/object/{object}")
}

/// Asks for each of the objects once, side by side; what is done with the answer says `each`.
async fn all<R: Send + 'static>(
    node: &Node,
    objects: usize,
    fields: &'static str,
    each: impl Fn(usize, crate::harness::client::Response) -> R + Clone + Send + 'static,
) -> Vec<R> {
    let address = node.at("web");
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|first| {
            let each = each.clone();
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                let mut found = Vec::new();
                for object in (first..objects).step_by(CLIENTS) {
                    let response = client.get_with(&target(object), fields).await;
                    found.push(each(object, response));
                }
                found
            })
        })
        .collect();
    let mut found = Vec::new();
    for task in tasks {
        // Bounded by what each answer is waited for.
        found.extend(task.await.expect("a client"));
    }
    found
}

/// Asks for all of them twice, so that each was used, and says when it was asked for the second time.
async fn filled(node: &Node, objects: usize) -> Arc<Vec<(usize, Instant)>> {
    let mut times = Vec::new();
    for _ in 0..2 {
        times = all(node, objects, "", |object, response| {
            assert_eq!(response.status, 200, "{response:?}");
            assert!(response.text() == body(&target(object)), "{object}");
            (object, Instant::now())
        })
        .await;
    }
    Arc::new(times)
}

/// Those that are there, each with its own bytes. Nobody is asked for the others.
async fn kept(node: &Node, objects: usize) -> Vec<usize> {
    let only = "Cache-Control: only-if-cached\r\n";
    let found = all(node, objects, only, |object, response| {
        match response.status {
            200 => {
                assert!(response.text() == body(&target(object)), "{object}");
                assert_eq!(response.header("x-kind"), Some("stored"));
                Some(object)
            }
            504 => None,
            _ => panic!("{object}: {response:?}"),
        }
    });
    found.await.into_iter().flatten().collect()
}

/// Those that are there once recovery, which runs beside the requests, finds no more.
async fn recovered(node: &Node, objects: usize) -> Vec<usize> {
    let end = Instant::now() + SOON;
    let mut before = kept(node, objects).await;
    loop {
        // tidy: waits for a condition
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = kept(node, objects).await;
        if now.len() == before.len() && !now.is_empty() || Instant::now() > end {
            return now;
        }
        before = now;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_keeps_everything() {
    let origin = origin().await;
    let mut node = node(&origin).await;
    filled(&node, OBJECTS).await;
    let asked = origin.seen().len();
    assert_eq!(asked, OBJECTS);
    node.stop().await;
    drop(origin);
    node.spawn();
    node.ready().await;
    let kept = recovered(&node, OBJECTS).await;
    assert_eq!(kept.len(), OBJECTS);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_about_a_second() {
    let origin = origin().await;
    let mut node = node(&origin).await;
    let times = filled(&node, OBJECTS).await;
    let killed = Instant::now();
    node.signal("KILL");
    node.exit().await;
    drop(origin);
    node.spawn();
    node.ready().await;
    let kept = recovered(&node, OBJECTS).await;
    let mut there = vec![false; OBJECTS];
    for object in &kept {
        there[*object] = true;
    }
    let old = times.iter().filter(|(_, at)| killed - *at > LOST);
    let lost: Vec<_> = old.filter(|(object, _)| !there[*object]).collect();
    println!("{} of {OBJECTS} outlived the kill", kept.len());
    assert!(
        lost.is_empty(),
        "{} of those older than {LOST:?} are lost; {} of {OBJECTS} are there",
        lost.len(),
        kept.len()
    );
    assert!(!node.errors().contains("panicked"), "{}", node.errors());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purges_and_renewals_outlive_a_kill() {
    let origin = origin().await;
    let mut node = node(&origin).await;
    filled(&node, 200).await;
    node.stop().await;
    node.spawn();
    node.ready().await;
    // What lies on disk is purged, and the node killed as soon as it has said so.
    let mut client = node.client().await;
    for object in 0..100 {
        let request = format!("PURGE {} HTTP/1.1\r\nHost: a.test\r\n\r\n", target(object));
        assert_eq!(client.ask(&request).await.status, 200);
    }
    node.signal("KILL");
    node.exit().await;
    node.spawn();
    node.ready().await;
    let mut kept = recovered(&node, 200).await;
    kept.sort_unstable();
    assert_eq!(kept, (100..200).collect::<Vec<_>>());
    node.stop().await;
}

/// The segments of a folder, by number.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).expect("the folder");
    let paths = files.map(|file| file.expect("a file").path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "segment"))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no segment in {}", folder.display());
    found
}

/// What is done to a folder between two starts, and how many of its objects must be left.
type Damage = (&'static str, fn(&Path), fn(usize) -> bool);

fn flip(path: &Path, every: usize) {
    let mut bytes = std::fs::read(path).expect("read");
    for at in (0..bytes.len()).step_by(every) {
        bytes[at] ^= 0x55;
    }
    std::fs::write(path, bytes).expect("write");
}

const DAMAGES: [Damage; 8] = [
    (
        "flipped bits",
        |folder| segments(folder).iter().for_each(|path| flip(path, 50_000)),
        |left| left < 400,
    ),
    (
        "every object flipped",
        |folder| segments(folder).iter().for_each(|path| flip(path, 500)),
        |left| left == 0,
    ),
    (
        "half a segment",
        |folder| {
            for path in segments(folder) {
                let file = std::fs::OpenOptions::new().write(true).open(path);
                let file = file.expect("open");
                let length = file.metadata().expect("a length").len();
                file.set_len(length / 2).expect("truncate");
            }
            // So that the segments are looked through.
            std::fs::remove_file(folder.join("index")).expect("the snapshot");
        },
        |left| left < 400,
    ),
    (
        "empty segments",
        |folder| {
            for path in segments(folder) {
                std::fs::write(path, b"").expect("write");
            }
        },
        |left| left == 0,
    ),
    (
        "foreign files",
        |folder| {
            for name in ["notes.txt", "core", "99999.segment", "x.segment", ".hidden"] {
                std::fs::write(folder.join(name), b"not ours").expect("write");
            }
            std::fs::create_dir(folder.join("lost+found")).expect("a folder");
        },
        |left| left == 400,
    ),
    (
        "a broken snapshot",
        |folder| flip(&folder.join("index"), 100),
        |left| left == 400,
    ),
    (
        "a broken journal",
        |folder| std::fs::write(folder.join("purges"), b"broken").expect("write"),
        |left| left == 0,
    ),
    (
        "another store's superblock",
        |folder| flip(&folder.join("superblock"), 8),
        |left| left == 0,
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_folder_costs_objects_and_never_a_wrong_byte() {
    const SOME: usize = 400;
    let origin = origin().await;
    for (what, damage, left) in DAMAGES {
        let mut node = node(&origin).await;
        filled(&node, SOME).await;
        node.stop().await;
        damage(&node.folder().join(FOLDER));
        node.spawn();
        node.ready().await;
        // What is left is right; each that is not is fetched, and right as well.
        let kept = match left(SOME) {
            true => recovered(&node, SOME).await.len(),
            false => kept(&node, SOME).await.len(),
        };
        assert!(left(kept), "{what}: {kept} of {SOME} are left");
        filled(&node, SOME).await;
        assert!(
            !node.errors().contains("panicked"),
            "{what}: {}",
            node.errors()
        );
        node.stop().await;
        // And the next start finds them.
        node.spawn();
        node.ready().await;
        assert_eq!(recovered(&node, SOME).await.len(), SOME, "{what}");
        node.stop().await;
    }
}

/// A folder on a small device of its own; none where the test may not make one.
struct Device(PathBuf);

impl Device {
    fn new(folder: &Path, size: &str, options: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("a folder");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},{options}")])
            .arg("farmgate-test")
            .arg(folder)
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder.to_owned()))
    }

    fn remount(&self, options: &str) {
        let mut mount = std::process::Command::new("mount");
        let mount = mount
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0);
        assert!(mount.status().expect("mount").success());
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_device_costs_the_copy_on_disk_alone() {
    let origin = origin().await;
    let setup = Setup::new().with("origin", origin.address());
    let folder = setup.folder().join(FOLDER);
    // Less than is allowed to the cache, and less than what is filled.
    let Some(device) = Device::new(&folder, "6m", "rw") else {
        println!("skipped: a device of its own needs root and mount");
        return;
    };
    let mut node = setup.start(&on_disk("")).await;
    let some = OBJECTS / 2;
    filled(&node, some).await;
    // All is in memory, and served from there.
    assert_eq!(kept(&node, some).await.len(), some);
    // What did not fit left nothing behind: an empty file for each try would use up the names of the device.
    let files = std::fs::read_dir(&folder).expect("the folder").count();
    assert!(files < 20, "{files} files");
    node.stop().await;
    // A start without room for a byte serves as well, from memory.
    node.spawn();
    node.ready().await;
    filled(&node, 100).await;
    assert_eq!(kept(&node, 100).await.len(), 100);
    node.stop().await;
    assert!(!node.errors().contains("panicked"), "{}", node.errors());
    // With room again, what had fitted is there.
    device.remount("size=200m");
    node.spawn();
    node.ready().await;
    let kept = recovered(&node, some).await.len();
    assert!(kept > 500 && kept < some, "{kept} of {some} were on 6 MiB");
    filled(&node, some).await;
    node.stop().await;
    node.spawn();
    node.ready().await;
    assert_eq!(recovered(&node, some).await.len(), some);
    node.stop().await;
    drop(device);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_becomes_read_only_costs_the_copy_on_disk_alone() {
    let origin = origin().await;
    let setup = Setup::new().with("origin", origin.address());
    let folder = setup.folder().join(FOLDER);
    let Some(device) = Device::new(&folder, "64m", "rw") else {
        println!("skipped: a device of its own needs root and mount");
        return;
    };
    let mut node = setup.start(&on_disk("")).await;
    filled(&node, 100).await;
    node.stop().await;
    device.remount("ro");
    node.spawn();
    node.ready().await;
    let told = node.errors();
    assert!(told.contains("the cache is in memory alone"), "{told}");
    filled(&node, 200).await;
    assert_eq!(kept(&node, 200).await.len(), 200);
    node.stop().await;
    device.remount("rw");
    node.spawn();
    node.ready().await;
    // What was written before is there, and nothing of what could not be.
    let kept = recovered(&node, 200).await;
    assert_eq!(kept.iter().filter(|object| **object < 100).count(), 100);
    assert_eq!(kept.len(), 100);
    node.stop().await;
}
