//! The memory of two processes that have one cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{PATIENT, ask, fill, node_with, origin};
use crate::harness::node::joined;

const MEMORY: u64 = 64 << 20;

/// Bytes of a process that are resident and no file's, which the processes share; none once it has ended.
fn resident(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let mut numbers = text.split(' ').skip(1);
    let mut pages = || numbers.next()?.parse::<u64>().ok();
    let (all, files) = (pages()?, pages()?);
    Some((all - files) * 4096)
}

/// At any moment of an upgrade both together have a quarter more than what one may have, and what a process without a
/// cache has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_have_little_more_than_one() {
    let origin = origin().await;
    let mut node = node_with(&origin, PATIENT).await;
    let targets: Vec<String> = (0..900).map(|n| format!("/100000/{n}")).collect();
    let mut warm: Vec<String> = (0..200).map(|n| format!("/100/{n}")).collect();
    fill(&node, &warm, 2).await;
    let empty = resident(node.process()).expect("a process");
    // One after the other: what was used twice goes to disk.
    for target in &targets {
        fill(&node, std::slice::from_ref(target), 2).await;
    }
    let full = resident(node.process()).expect("a process");
    assert!(full > empty + MEMORY * 3 / 4, "{empty} then {full}");
    // It keeps the old process for as long as it is idle.
    let mut idle = node.client().await;
    ask(&node, &mut idle, &warm[0]).await;

    let pid = node.folder().join("pid");
    node.script_for_binary(&format!(
        "[ \"$1\" = check ] || echo $$ > {}\nexec \"$FARMGATE\" \"$@\"",
        pid.display()
    ));
    let (stop, most) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let old = node.process();
    let look = {
        let (stop, most) = (Arc::clone(&stop), Arc::clone(&most));
        tokio::task::spawn_blocking(move || {
            while !stop.load(Ordering::Relaxed) {
                let new = std::fs::read_to_string(&pid).ok();
                let new = new.and_then(|text| resident(text.trim().parse().ok()?));
                let both = resident(old).unwrap_or(0) + new.unwrap_or(0);
                most.fetch_max(both, Ordering::Relaxed);
                // tidy: waits for a condition
                std::thread::park_timeout(std::time::Duration::from_millis(2));
            }
        })
    };
    node.upgrade().await;
    // The new one fills its own.
    fill(&node, &targets, 1).await;
    let mut client = node.client().await;
    warm.truncate(1);
    ask(&node, &mut client, &warm[0]).await;
    stop.store(true, Ordering::Relaxed);
    joined(look).await;
    let most = most.load(Ordering::Relaxed);
    let bound = MEMORY * 5 / 4 + 2 * empty;
    let mib = |bytes: u64| bytes >> 20;
    eprintln!(
        "empty {}, full {}, both at most {} MiB",
        mib(empty),
        mib(full),
        mib(most)
    );
    assert!(
        most <= bound,
        "{} MiB, bound {}: one process was {} MiB empty and {} full\n{}",
        mib(most),
        mib(bound),
        mib(empty),
        mib(full),
        node.errors()
    );
    let answer = idle.get(&warm[0]).await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    drop(client);
    node.stop().await;
}
