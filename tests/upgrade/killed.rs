//! `kill -9` of either process at the steps of an upgrade.

use crate::harness::{Demo, Node, eventually};
use crate::scenarios::PLAIN;

/// A new binary that does something between its start and its first word.
fn begins_with(node: &Node, script: &str) {
    node.script_for_binary(&format!(
        "[ \"$1\" = check ] && exec \"$FARMGATE\" \"$@\"\n{script}\nexec \"$FARMGATE\" \"$@\""
    ));
}

#[tokio::test]
async fn the_new_one_before_it_serves() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), PLAIN).await;
    let process = node.process();
    let mut kept = node.client().await;
    for _ in 0..3 {
        begins_with(&node, "kill -9 $$");
        let ran = node.try_upgrade().await.expect(1);
        assert!(
            ran.text().contains("ended before it was ready"),
            "{}",
            ran.text()
        );
        assert_eq!(kept.get("/bytes/10").await.status, 200);
    }
    assert_eq!(node.status().await["pid"], process);
    node.stop().await;
}

/// The old process dies while the new one gets ready: it takes over at once, and connections that came in between wait
/// in the queue of the socket.
#[tokio::test]
async fn the_old_one_before_the_hand_over() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), PLAIN).await;
    let old = node.process();
    // The old process's first word is in the channel before it is killed.
    let met = node.folder().join("met");
    begins_with(
        &node,
        &format!(
            "while [ ! -e {} ]; do :; done; kill -9 {old}",
            met.display()
        ),
    );
    node.run(&["upgrade", "--no-wait"]).await.expect(0);
    eventually("the start of the new process", || async {
        let status = node.status().await;
        let phase = status["upgrade"]["phase"].as_str().unwrap_or_default();
        phase.starts_with("waiting").then_some(())
    })
    .await;
    std::fs::write(&met, "").expect("write");
    // By a signal.
    assert_eq!(node.exit().await, -1);
    let answer = node.get("/bytes/10").await;
    assert_eq!(answer.status, 200);
    node.follow().await;
    assert!(node.errors().contains("taking over without its state"));
    node.restore_binary();
    node.upgrade().await;
    node.stop().await;
}

/// The old process dies while it drains: only what it had is lost.
#[tokio::test]
async fn the_old_one_while_it_drains() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), PLAIN).await;
    let mut slow = super::slow(&node, 5000).await;
    let old = node.process();
    node.upgrade().await;
    node.metric_is("farmgate_draining_processes", &[], 1.0)
        .await;
    let killed = std::process::Command::new("kill")
        .args(["-9", &old.to_string()])
        .status();
    assert!(killed.expect("kill").success());
    assert!(slow.response().await.is_none());
    node.metric_is("farmgate_draining_processes", &[], 0.0)
        .await;
    assert!(node.errors().contains("ended without a word"));
    assert_eq!(node.get("/bytes/10").await.status, 200);
    node.stop().await;
}
