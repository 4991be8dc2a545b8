//! Nothing comes of the new process after the folders were let go: the old one has them again.

use std::path::Path;
use std::process::Command;

use super::{CACHE, ask, fetched, fill, node, origin};
use crate::harness::{Node, eventually};

/// The next process is given a second folder whose lock is a pipe that nobody reads: it takes the first one, and stands
/// still before it serves. Gives its number.
async fn stands_still(node: &mut Node) -> String {
    let second = node.folder().join("run/second");
    let lock = second.join("lock");
    if !lock.exists() {
        std::fs::create_dir_all(&second).expect("a folder");
        let made = Command::new("mkfifo").arg(&lock).status();
        assert!(made.expect("mkfifo").success());
    }
    let first = r#"{ path = "run/cache", size = "512MiB" }"#;
    let both = format!("{first}, {{ path = \"run/second\", size = \"512MiB\" }}");
    node.write(&CACHE.replace(first, &both));
    let pid = node.folder().join("pid");
    let _ = std::fs::remove_file(&pid);
    node.script_for_binary(&format!(
        "[ \"$1\" = check ] || echo $$ > {}\nexec \"$FARMGATE\" \"$@\"",
        pid.display()
    ));
    let before = handed_over(node);
    node.run(&["upgrade", "--no-wait"]).await.expect(0);
    eventually("the hand-over of the folders", || async {
        (handed_over(node) > before).then_some(())
    })
    .await;
    let lock = node.folder().join("run/cache/lock");
    eventually("the new process at its folder", || async {
        is_locked(&lock).then_some(())
    })
    .await;
    let status = node.status().await;
    assert_eq!(status["upgrade"]["phase"], "handing over", "{status}");
    std::fs::read_to_string(&pid).expect("its number")
}

/// Kills it, and gives the reason why nothing came of the upgrade.
async fn is_killed(node: &Node, pid: &str) -> String {
    let killed = Command::new("kill").args(["-9", pid.trim()]).status();
    assert!(killed.expect("kill").success());
    eventually("the end of the upgrade", || async {
        let status = node.status().await;
        let last = &status["upgrade"]["last"]["reason"];
        let over = status["upgrade"]["phase"].is_null();
        last.as_str().filter(|_| over).map(str::to_owned)
    })
    .await
}

fn handed_over(node: &Node) -> usize {
    let told = node.errors();
    told.matches("the cache's folders are handed over with")
        .count()
}

fn is_locked(lock: &Path) -> bool {
    let file = std::fs::File::open(lock).expect("the lock");
    matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock))
}

#[tokio::test]
async fn the_folders_come_back_when_the_new_process_dies() {
    let origin = origin().await;
    let mut node = node(&origin).await;
    let mut targets: Vec<String> = (0..300).map(|n| format!("/2000/{n}")).collect();
    fill(&node, &targets, 2).await;
    let process = node.process();
    let mut kept = node.client().await;
    ask(&node, &mut kept, &targets[0]).await;
    for n in 0..2 {
        let before = fetched(&origin);
        let pid = stands_still(&mut node).await;
        let why = is_killed(&node, &pid).await;
        assert!(why.contains("the new process ended"), "{why}");
        assert_eq!(node.status().await["pid"], process);
        ask(&node, &mut kept, &targets[0]).await;
        fill(&node, &targets, 1).await;
        assert_eq!(fetched(&origin), before, "{}", node.errors());
        let told = node.errors();
        let back = told.matches("the cache's folders are ours").count();
        assert_eq!(back, n + 1, "{told}");
        assert!(!told.contains("in memory alone"), "{told}");
        // It writes them again.
        let new = format!("/2000/new-{n}");
        fill(&node, std::slice::from_ref(&new), 3).await;
        targets.push(new);
    }
    // And they go on to the next one.
    node.write(CACHE);
    node.restore_binary();
    node.upgrade().await;
    drop(kept);
    let before = fetched(&origin);
    fill(&node, &targets, 1).await;
    assert_eq!(fetched(&origin), before, "{}", node.errors());
    node.stop().await;
}

/// What is changed while the folders change hands is not undone by what lies in them.
#[tokio::test]
async fn changes_meanwhile_hold_when_the_folders_come_back() {
    let origin = origin().await;
    let mut node = node(&origin).await;
    let targets: Vec<String> = (0..20).map(|n| format!("/2000/{n}")).collect();
    fill(&node, &targets, 3).await;
    let pid = stands_still(&mut node).await;
    let mut client = node.client().await;
    let purge = "PURGE /2000/0 HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let answer = client.ask(purge).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(client.post("/2000/1", "changed").await.status, 200);
    is_killed(&node, &pid).await;
    assert_eq!(client.ask(purge).await.status, 200);
    let before = fetched(&origin);
    fill(&node, &targets, 1).await;
    assert_eq!(
        fetched(&origin),
        before + 2,
        "the purged and the changed one"
    );
    node.stop().await;
}
