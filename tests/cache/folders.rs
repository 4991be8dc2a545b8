//! The cache's folders: opened at the start, kept over reloads, let go at the end.

use crate::harness::{Node, Origin, Setup};
use crate::scenarios::PLAIN;

const IN_MEMORY: &str = "[cache]\nmemory = \"64MiB\"\n";
const ON_DISK: &str =
    "[cache]\nmemory = \"64MiB\"\ndisk = [{ path = \"run/cache\", size = \"128MiB\" }]\n";

const ALONE: &str = "the cache is in memory alone";

async fn node(origin: &Origin, cache: &str) -> Node {
    Node::serving(origin.address(), &format!("{cache}{PLAIN}")).await
}

/// A reload that is refused with these words.
#[track_caller]
fn refused(text: &str, word: &str) {
    let found = text.contains(word) && text.contains("needs farmgate upgrade");
    assert!(found, "no {word} in: {text}");
}

#[tokio::test]
async fn folders_are_kept_over_reloads_and_let_go_at_the_end() {
    let origin = Origin::answering("ok").await;
    let mut node = node(&origin, ON_DISK).await;
    let folder = node.folder().join("run/cache");
    assert!(folder.join("superblock").exists());
    node.reload(&format!("{}{PLAIN}", ON_DISK.replace("64MiB", "32MiB")))
        .await;
    assert_eq!(node.get("/").await.status, 200);
    assert!(!folder.join("index").exists(), "it is in use");
    node.stop().await;
    let told = node.errors();
    assert!(told.contains("the cache was written to its end"), "{told}");
    assert!(folder.join("index").exists());
    // The next start takes it again.
    node.spawn();
    node.ready().await;
    assert!(!node.errors().contains(ALONE), "{}", node.errors());
    node.stop().await;
}

#[tokio::test]
async fn what_of_the_cache_cannot_change_here_needs_an_upgrade() {
    let origin = Origin::answering("ok").await;
    let mut with = node(&origin, ON_DISK).await;
    let segment = format!("{ON_DISK}durability = \"segment\"\n");
    for (cache, word) in [
        (ON_DISK.replace("128MiB", "256MiB"), "cache.disk"),
        (ON_DISK.replace("run/cache", "run/other"), "cache.disk"),
        (segment, "cache.durability"),
        (IN_MEMORY.to_owned(), "cache.disk"),
        (String::new(), "cache.disk"),
    ] {
        with.write(&format!("{cache}{PLAIN}"));
        let text = with.run(&["reload"]).await.expect(1).text();
        refused(&text, word);
    }
    assert!(!with.folder().join("run/other").exists());
    // Without folders the cache comes and goes, and there is nothing to bring to a device.
    let mut without = node(&origin, "").await;
    let none = format!("{IN_MEMORY}durability = \"none\"\n");
    for cache in [IN_MEMORY, &none, "", IN_MEMORY] {
        without.reload(&format!("{cache}{PLAIN}")).await;
        assert_eq!(without.get("/").await.status, 200);
    }
    without.write(&format!("{ON_DISK}{PLAIN}"));
    let text = without.run(&["reload"]).await.expect(1).text();
    refused(&text, "cache.disk");
    without.stop().await;
    let told = without.errors();
    assert!(!told.contains("written to its end"), "{told}");
}

/// A second node by mistake, as after a copied configuration.
#[tokio::test]
async fn a_folder_of_another_process_costs_the_folder_alone() {
    let origin = Origin::answering("ok").await;
    let first = node(&origin, ON_DISK).await;
    let folder = first.folder().join("run/cache");
    let shared = ON_DISK.replace("run/cache", &folder.display().to_string());
    let mut second = node(&origin, &shared).await;
    let told = second.errors();
    let locked = format!(
        "{ALONE}: {} is written by another process",
        folder.display()
    );
    assert!(told.contains(&locked), "{told}");
    assert!(
        told.contains("ERROR") && told.contains("then restart"),
        "{told}"
    );
    assert_eq!(second.get("/").await.status, 200);
    // What is written did not change, so reloads go on.
    second.reload(&format!("{shared}{PLAIN}# again\n")).await;
    second.stop().await;
    assert!(!second.errors().contains("written to its end"));
    assert!(!folder.join("index").exists(), "it is the first one's");
}

#[tokio::test]
async fn a_folder_that_does_not_work_costs_the_folder_alone() {
    let origin = Origin::answering("ok").await;
    let setup = Setup::new().with("origin", origin.address());
    let folder = setup.folder().join("run/cache");
    // Where the lock is to be stands something else.
    std::fs::create_dir_all(folder.join("lock")).expect("a folder");
    let mut node = setup.start(&format!("{ON_DISK}{PLAIN}")).await;
    let told = node.errors();
    let broken = format!("{ALONE}: {}: ", folder.display());
    assert!(told.contains(&broken), "{told}");
    assert_eq!(node.get("/").await.status, 200);
    node.stop().await;
}
