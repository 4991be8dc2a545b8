//! Hits before, while and after another process takes over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{body_of, fetched, fill, node, origin};
use crate::harness::node::joined;
use crate::harness::{Client, eventually};

/// Objects of an upgrade under load.
const OBJECTS: usize = 2_000;

fn targets(bytes: usize, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("/{bytes}/{n}")).collect()
}

/// A share of the objects in memory and all of them on disk; clients ask all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_under_load_keeps_the_hits() {
    let origin = origin().await;
    let mut node = node(&origin).await;
    let targets = Arc::new(targets(3_000, OBJECTS));
    fill(&node, &targets, 2).await;
    let before = fetched(&origin);
    assert!(before < OBJECTS + OBJECTS / 50, "{before} fetches");
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for start in 0..3 {
        let (web, stop, asked) = (node.at("web"), Arc::clone(&stop), Arc::clone(&asked));
        let targets = Arc::clone(&targets);
        clients.push(tokio::spawn(async move {
            let mut client = Client::connect(web).await;
            let mut at = start * 700;
            while !stop.load(Ordering::Relaxed) {
                let target = &targets[at % OBJECTS];
                let response = client.get(target).await;
                assert_eq!(response.status, 200);
                assert!(response.text() == body_of(target, 3_000), "{target}");
                if response.header("connection") == Some("close") {
                    client = Client::connect(web).await;
                }
                asked.fetch_add(1, Ordering::Relaxed);
                at += 7;
            }
        }));
    }
    for _ in 0..2 {
        node.upgrade().await;
        assert_eq!(node.elder_exit().await, 0, "{}", node.errors());
    }
    let so_far = asked.load(Ordering::Relaxed);
    eventually("more requests", || async {
        (asked.load(Ordering::Relaxed) > so_far + 1_000).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        joined(client).await;
    }
    let (asked, missed) = (asked.load(Ordering::Relaxed), fetched(&origin) - before);
    assert!(
        missed as u64 * 100 <= asked,
        "{missed} of {asked} requests were no hits\n{}",
        node.errors()
    );
    // And each single one is there.
    let before = fetched(&origin);
    fill(&node, &targets, 1).await;
    let missed = fetched(&origin) - before;
    assert!(missed * 100 <= OBJECTS, "{missed} objects are gone");
    let told = node.errors();
    assert!(
        told.contains("the cache's folders are handed over with"),
        "{told}"
    );
    assert!(told.contains("the cache's folders are ours"), "{told}");
    assert!(!told.contains("ERROR"), "{told}");
    node.stop().await;
}

/// A client of the oldest process reads a body through two upgrades; all that is stored is found by each new one.
#[tokio::test]
async fn two_in_a_row_while_the_first_one_drains() {
    let origin = origin().await;
    let mut node = node(&origin).await;
    let all = targets(2_000, 200);
    let large = "/12000000/large".to_owned();
    fill(&node, &all, 2).await;
    fill(&node, std::slice::from_ref(&large), 2).await;
    let mut slow = node.client().await;
    slow.send(format!("GET {large} HTTP/1.1\r\nHost: a.test\r\n\r\n"))
        .await;
    let head = slow.head().await.expect("a head");
    assert_eq!(head.status, 200);
    let whole = body_of(&large, 12_000_000);
    let mut read = slow.exactly(1_000_000).await;
    let mut kept = all;
    kept.push(large);
    for n in 0..2 {
        node.upgrade().await;
        let before = fetched(&origin);
        fill(&node, &kept, 1).await;
        assert_eq!(fetched(&origin), before, "{n}\n{}", node.errors());
        // What is new is kept too, though another one reads the folders still.
        let new = format!("/2000/new-{n}");
        fill(&node, std::slice::from_ref(&new), 3).await;
        assert_eq!(fetched(&origin), before + 1);
        kept.push(new);
        read.extend(slow.exactly(1_000_000).await);
        node.metric_is("farmgate_draining_processes", &[], 1.0)
            .await;
    }
    read.extend(slow.exactly(whole.len() - read.len()).await);
    assert!(read == whole.as_bytes(), "the body is another one");
    drop(slow);
    node.metric_is("farmgate_draining_processes", &[], 0.0)
        .await;
    node.stop().await;
}
