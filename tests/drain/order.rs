//! What happens when: health first, the listeners then, connections last.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::net::{TcpStream, UnixDatagram};
use tokio_tungstenite::tungstenite::Message;

use super::{PATIENT, drain, serving};
use crate::harness::{Client, Demo, Node, Origin, SOON, Setup, about, eventually, soon};
use crate::scenarios::PLAIN;
use crate::scenarios::websocket::open;

const GRACE: &str = r#"idle_grace = "2s", deadline = "9s", lb_grace = "1s""#;

fn healthy() -> String {
    PLAIN.replace(
        "name = \"web\"",
        "name = \"web\"\nhealth_path = \"/farmgate/ready\"",
    )
}

async fn closed(node: &Node) {
    eventually("a closed door", || async {
        TcpStream::connect(node.at("web")).await.err()
    })
    .await;
}

/// A load balancer sees the 503 while it still sends; nothing that it sends meanwhile is lost, and all of it is told
/// to go elsewhere.
#[tokio::test]
async fn health_fails_first_and_new_connections_are_still_served() {
    let origin = Origin::answering("ok").await;
    let mut node = serving(GRACE, origin.address(), &healthy()).await;
    let mut old = node.client().await;
    assert_ne!(old.get("/").await.header("connection"), Some("close"));
    assert_eq!(node.get("/farmgate/ready").await.status, 200);
    let begun = Instant::now();
    node.signal("TERM");
    eventually("not ready", || async {
        (node.admin("/readyz").await.status == 503).then_some(())
    })
    .await;
    let ready = node.admin("/readyz").await.json();
    assert_eq!(ready["reasons"], serde_json::json!(["draining"]));
    // Each on a connection of its own, for as long as the grace lasts.
    let mut served = 0;
    while begun.elapsed() < Duration::from_millis(700) {
        let answer = node.get("/").await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close"))
        );
        let health = node.get("/farmgate/ready").await;
        assert_eq!((health.status, health.text()), (503, "draining\n".into()));
        served += 1;
    }
    assert!(served > 0);
    let status = node.run(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["drain"]["stage"], "lb_grace", "{status}");
    closed(&node).await;
    about(begun.elapsed(), Duration::from_secs(1), "lb_grace");
    let answer = old.get("/last").await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert_eq!(node.exit().await, 0);
}

/// A process that has nothing left to do ends at once, whatever the deadline.
#[tokio::test]
async fn it_ends_with_its_last_connection() {
    let (origin, go) = Origin::held("late").await;
    let mut node = serving(PATIENT, origin.address(), PLAIN).await;
    let mut client = node.client().await;
    client
        .send("GET /late HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    eventually("the request at the origin", || async {
        (origin.seen().len() == 1).then_some(())
    })
    .await;
    let draining = drain(&node);
    closed(&node).await;
    // Those that looked for the door may have come in.
    let status = eventually("one connection left", || async {
        let status = node.run(&["status", "--json"]).await.expect(0).json();
        (status["drain"]["connections"] == 1).then_some(status)
    })
    .await;
    assert_eq!(status["drain"]["occasion"], "stop");
    assert_eq!(status["drain"]["stage"], "draining");
    let left = status["drain"]["seconds_left"].as_u64();
    assert!(
        left.is_some_and(|left| (50..60).contains(&left)),
        "{left:?}"
    );
    let text = node.run(&["status"]).await.expect(0).out;
    assert!(
        text.contains("drain (stop): draining: 1 connections, 1 requests, 0 tunnels"),
        "{text}"
    );
    let begun = Instant::now();
    go.send(true).expect("the origin");
    assert_eq!(client.response().await.expect("a response").text(), "late");
    drop(client);
    draining.cut(&mut node, &[]).await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

/// The second signal does not wait, and says the same words.
#[tokio::test]
async fn a_second_signal_cuts_at_once() {
    let demo = Demo::start().await;
    let mut node = serving(PATIENT, demo.address(), PLAIN).await;
    let mut socket = open(&node).await;
    node.signal("TERM");
    closed(&node).await;
    let begun = Instant::now();
    node.signal("TERM");
    let last = soon("the last message", socket.next()).await;
    assert!(
        matches!(&last, Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) == 1001),
        "{last:?}"
    );
    while soon("the end", socket.next()).await.is_some() {}
    assert_eq!(node.exit().await, 0);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    let said = node.errors();
    assert!(said.contains("a second signal: stopping at once"), "{said}");
    assert!(
        said.contains("1 were cut at the end: 1 websocket"),
        "{said}"
    );
}

/// systemd waits for as long as it is told that there is something to wait for.
#[tokio::test]
async fn the_service_manager_is_asked_for_time() {
    let (origin, go) = Origin::held("late").await;
    let setup = Setup::new().with("origin", origin.address()).drain(PATIENT);
    let path = setup.folder().join("notify");
    let manager = UnixDatagram::bind(&path).expect("bind");
    let setup = setup.env("NOTIFY_SOCKET", path.to_str().expect("a UTF-8 path"));
    let mut node = setup.start(PLAIN).await;
    let mut client = node.client().await;
    client
        .send("GET /late HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    eventually("the request at the origin", || async {
        (origin.seen().len() == 1).then_some(())
    })
    .await;
    node.signal("TERM");
    let mut asked = Vec::new();
    let mut message = vec![0; 4096];
    while asked.len() < 3 {
        let length = soon("a notification", manager.recv(&mut message)).await;
        let text = String::from_utf8_lossy(&message[..length.expect("receive")]).into_owned();
        if text.contains("STOPPING=1") {
            asked.push(text);
        }
    }
    for text in &asked {
        assert!(text.contains("EXTEND_TIMEOUT_USEC=20000000"), "{text}");
    }
    // The listeners close in the moment of the first one.
    let status = "STATUS=stopping, draining: 1 connections, 1 requests, 0 tunnels, ";
    assert!(
        asked[1].contains(status) && asked[2].contains(status),
        "{asked:?}"
    );
    go.send(true).expect("the origin");
    assert_eq!(client.response().await.expect("a response").text(), "late");
    drop(client);
    assert_eq!(node.exit().await, 0);
}

/// What the kernel has accepted for us before the end is served, not reset.
#[tokio::test]
async fn connections_in_the_queue_are_served() {
    let origin = Origin::answering("ok").await;
    let mut node = serving(PATIENT, origin.address(), PLAIN).await;
    assert_eq!(node.get("/").await.status, 200);
    // The node stands still: what comes now waits in the queue of its socket, and so does the signal.
    node.signal("STOP");
    let mut queued = Vec::new();
    for _ in 0..50 {
        let mut client = Client::connect(node.at("web")).await;
        client
            .send("GET /queued HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await;
        queued.push(client);
    }
    node.signal("TERM");
    node.signal("CONT");
    for client in &mut queued {
        let answer = client.response().await.expect("an answer");
        assert_eq!(answer.status, 200);
        client.closes_within(SOON).await;
    }
    assert_eq!(node.exit().await, 0);
}
