//! A purge that was acknowledged anywhere holds everywhere.

use super::{PATIENT, body_of, fetched, fill, node_with, origin};
use crate::harness::{Client, Node, Origin, client::Response, eventually};

/// Clients of the process that serves now, each of which it serves once more when it drains.
async fn clients<const N: usize>(node: &Node) -> [Client; N] {
    let mut clients = Vec::new();
    for _ in 0..N {
        let mut client = node.client().await;
        assert_eq!(client.get("/100/first").await.status, 200);
        clients.push(client);
    }
    clients.try_into().unwrap_or_else(|_| panic!("{N} clients"))
}

/// Another process takes over, and has all that it needs to purge: until then it says to ask again.
async fn upgrade(node: &mut Node) {
    node.upgrade().await;
    eventually("a purge that is taken", || async {
        let mut client = node.client().await;
        let answer = purge(&mut client, "/100/nothing", "").await;
        if answer.status == 503 {
            assert_eq!(answer.header("retry-after"), Some("1"));
            return None;
        }
        assert_eq!(answer.status, 200);
        Some(())
    })
    .await;
}

async fn purge(client: &mut Client, target: &str, fields: &str) -> Response {
    let head = format!("PURGE {target} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
    client.ask(&head).await
}

/// Whether the answer came without the origin.
async fn is_hit(origin: &Origin, client: &mut Client, target: &str) -> bool {
    let before = fetched(origin);
    let response = client.get(target).await;
    assert_eq!(response.status, 200);
    assert!(response.text() == body_of(target, response.body.len()));
    fetched(origin) == before
}

#[tokio::test]
async fn in_the_new_process_it_holds_in_the_old_one() {
    let origin = origin().await;
    let mut node = node_with(&origin, PATIENT).await;
    fill(&node, &["/2000/a".to_owned(), "/2000/b".to_owned()], 3).await;
    let [mut before, mut after, mut other] = clients(&node).await;
    upgrade(&mut node).await;
    let mut new = node.client().await;
    assert!(is_hit(&origin, &mut before, "/2000/a").await);
    assert!(is_hit(&origin, &mut new, "/2000/a").await);
    assert_eq!(purge(&mut new, "/2000/a", "").await.status, 200);
    assert!(!is_hit(&origin, &mut after, "/2000/a").await);
    assert!(!is_hit(&origin, &mut new, "/2000/a").await);
    assert!(is_hit(&origin, &mut other, "/2000/b").await);
    assert!(is_hit(&origin, &mut new, "/2000/b").await);
    drop(new);
    node.stop().await;
}

#[tokio::test]
async fn in_an_old_process_it_holds_in_all_of_them() {
    let origin = origin().await;
    let mut node = node_with(&origin, PATIENT).await;
    let names: Vec<String> = (0..4).map(|n| format!("/2000/{n}")).collect();
    fill(&node, &names, 3).await;
    let [mut orders, mut oldest, mut oldest_again] = clients(&node).await;
    upgrade(&mut node).await;
    let [mut later, mut later_again] = clients(&node).await;
    upgrade(&mut node).await;
    let mut new = node.client().await;
    let done = purge(&mut orders, "/2000/0", "").await;
    assert_eq!(done.status, 200, "{}", node.errors());
    let first = done.json()["number"].as_u64().expect("that of the journal");
    assert!(!is_hit(&origin, &mut new, "/2000/0").await);
    assert!(!is_hit(&origin, &mut oldest, "/2000/0").await);
    assert!(!is_hit(&origin, &mut later, "/2000/0").await);
    // By tag, from the one that serves, to both.
    let done = purge(&mut new, "/2000/0", "Purge-Tag: every\r\n").await;
    assert_eq!(done.json()["number"], first + 1);
    assert!(!is_hit(&origin, &mut oldest_again, "/2000/1").await);
    assert!(!is_hit(&origin, &mut later_again, "/2000/2").await);
    assert!(!is_hit(&origin, &mut new, "/2000/3").await);
    node.metric_is("farmgate_draining_processes", &[], 0.0)
        .await;
    drop(new);
    node.stop().await;
}

#[tokio::test]
async fn what_an_unsafe_request_changes_is_changed_everywhere() {
    let origin = origin().await;
    let mut node = node_with(&origin, PATIENT).await;
    fill(&node, &["/2000/a".to_owned(), "/2000/b".to_owned()], 3).await;
    let [mut old, mut old_again] = clients(&node).await;
    upgrade(&mut node).await;
    let mut new = node.client().await;
    assert!(is_hit(&origin, &mut new, "/2000/a").await);
    assert_eq!(old.post("/2000/a", "changed").await.status, 200);
    // Nobody waits for it.
    eventually("the new process hears of it", || async {
        let mut new = node.client().await;
        (!is_hit(&origin, &mut new, "/2000/a").await).then_some(())
    })
    .await;
    assert_eq!(new.post("/2000/b", "changed").await.status, 200);
    assert!(!is_hit(&origin, &mut new, "/2000/b").await);
    // The order of the channel: what comes before the answer to this was heard.
    assert_eq!(purge(&mut new, "/2000/c", "").await.status, 200);
    assert!(!is_hit(&origin, &mut old_again, "/2000/b").await);
    drop(new);
    node.stop().await;
}

/// An old process that does not answer: in force, and said that it may not be everywhere.
#[tokio::test]
async fn who_does_not_confirm_is_named() {
    let origin = origin().await;
    let mut node = node_with(&origin, PATIENT).await;
    fill(&node, &["/2000/a".to_owned()], 3).await;
    let [mut old] = clients(&node).await;
    let process = node.process();
    upgrade(&mut node).await;
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill")
            .args(["-s", name, &process.to_string()])
            .status();
        assert!(sent.expect("kill").success());
    };
    let mut new = node.client().await;
    signal("STOP");
    let answer = purge(&mut new, "/2000/a", "").await;
    assert_eq!(answer.status, 500);
    let text = answer.text();
    assert!(text.contains("purge_not_confirmed"), "{text}");
    let told = node.errors();
    assert!(
        told.contains(&format!("process {process} did not confirm")),
        "{told}"
    );
    assert!(!is_hit(&origin, &mut new, "/2000/a").await);
    signal("CONT");
    assert_eq!(purge(&mut new, "/2000/a", "").await.status, 200);
    assert!(!is_hit(&origin, &mut old, "/2000/a").await);
    drop(new);
    node.stop().await;
}
