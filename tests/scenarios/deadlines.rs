//! Until when an answer is of use: said by trusted proxies and by callers, said to origins.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::harness::client::Response;
use crate::harness::{Client, Node, Origin, Peer, about};

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "@web"
trusted_proxies = ["127.0.0.1/32"]
timeouts = { request = "20s" }

[[route]]
name = "any"
upstream = "app"

[[upstream]]
name = "app"
endpoints = ["@origin"]
"#;

const OWN_MS: u64 = 20_000;

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_millis()).expect("milliseconds")
}

/// A client whom nobody trusts.
async fn stranger(node: &Node) -> Client {
    Client::connect_from(node.at("web"), "127.0.0.2").await
}

fn deadline(origin: &Origin) -> u64 {
    let seen = origin.last();
    let values: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| name.replace('_', "-") == "x-request-deadline")
        .collect();
    assert_eq!(values.len(), 1, "{values:?}");
    values[0].1.parse().expect("a number")
}

/// An origin that takes requests and never answers.
async fn silent() -> Origin {
    Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.gone().await;
    })
    .await
}

#[tokio::test]
async fn every_origin_is_told_and_strangers_cannot_say() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let mut client = stranger(&node).await;
    for fields in [
        "",
        "X-Request-Deadline: 1\r\n",
        "X_Request_Deadline: 1\r\n",
        "X-Request-Deadline: 99999999999999\r\n",
        "x-request-deadline: 1\r\nX-Request_Deadline: 2\r\n",
    ] {
        let before = now_ms();
        assert_eq!(client.get_with("/", fields).await.status, 200, "{fields:?}");
        let (said, after) = (deadline(&origin), now_ms());
        // A millisecond may be lost on each side.
        assert!(
            said + 2 >= before + OWN_MS && said <= after + OWN_MS,
            "{fields:?}: {said} is not {OWN_MS} ms after {before} to {after}"
        );
        assert_eq!(origin.last().header("grpc-timeout"), None);
    }
}

#[tokio::test]
async fn a_trusted_proxy_shortens_and_never_lengthens() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let mut client = node.client().await;
    let sooner = now_ms() + 7_000;
    let field = format!("X-Request-Deadline: {sooner}\r\n");
    assert_eq!(client.get_with("/", &field).await.status, 200);
    let said = deadline(&origin);
    assert!(said <= sooner + 1 && said + 3 >= sooner, "{said} {sooner}");
    // Later than our own, malformed, twice: our own holds.
    let later = format!("X-Request-Deadline: {}\r\n", now_ms() + 900_000);
    for fields in [
        later.as_str(),
        "X-Request-Deadline: 18446744073709551615\r\n",
        "X-Request-Deadline: soon\r\n",
        "X-Request-Deadline: -1\r\n",
        "X-Request-Deadline:\r\n",
        "X-Request-Deadline: 1\r\nX-Request-Deadline: 1\r\n",
    ] {
        let before = now_ms();
        assert_eq!(client.get_with("/", fields).await.status, 200, "{fields:?}");
        let said = deadline(&origin);
        assert!(
            said + 2 >= before + OWN_MS && said <= now_ms() + OWN_MS,
            "{fields:?}: {said}"
        );
    }
}

async fn timed(client: &mut Client, fields: &str) -> (Response, Duration) {
    let begun = Instant::now();
    let response = client.get_with("/stall", fields).await;
    (response, begun.elapsed())
}

#[tokio::test]
async fn what_was_said_ends_the_request() {
    let origin = silent().await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let limit = Duration::from_millis(400);
    let field = format!("X-Request-Deadline: {}\r\n", now_ms() + 400);
    let (response, took) = timed(&mut node.client().await, &field).await;
    assert_eq!(response.status, 504);
    assert_eq!(response.json()["detail"], "request_timeout");
    about(took, limit, "the deadline of the hop before");
    // A caller's own word counts from anybody.
    let (response, took) = timed(&mut stranger(&node).await, "grpc-timeout: 400m\r\n").await;
    assert_eq!(response.json()["detail"], "request_timeout");
    about(took, limit, "the caller's own time");
    // The sooner of both.
    let field = format!(
        "X-Request-Deadline: {}\r\ngrpc-timeout: 30S\r\n",
        now_ms() + 400
    );
    let (_, took) = timed(&mut node.client().await, &field).await;
    about(took, limit, "the sooner one");
}

#[tokio::test]
async fn what_is_over_is_not_asked_for() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let past = format!("X-Request-Deadline: {}\r\n", now_ms() - 1);
    for fields in [
        past.as_str(),
        "X-Request-Deadline: 0\r\n",
        "grpc-timeout: 0n\r\n",
    ] {
        let mut client = node.client().await;
        let response = client.get_with("/over", fields).await;
        assert_eq!(response.status, 504, "{fields:?}");
        assert_eq!(response.json()["detail"], "request_timeout");
    }
    assert_eq!(origin.connections(), 0);
}

/// In nanoseconds.
fn call_time(origin: &Origin) -> u64 {
    let seen = origin.last();
    let text = seen.header("grpc-timeout").expect("a time");
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().expect("a number");
    number
        * match unit {
            "n" => 1,
            "u" => 1_000,
            "m" => 1_000_000,
            "S" => 1_000_000_000,
            "M" => 60_000_000_000,
            "H" => 3_600_000_000_000,
            other => panic!("no unit: {other}"),
        }
}

#[tokio::test]
async fn a_call_hands_on_what_is_left_of_its_time() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), CONFIG).await;
    let mut client = stranger(&node).await;
    for (field, nanos) in [
        ("5S", 5_000_000_000_u64),
        ("9000m", 9_000_000_000),
        // Longer than our own time to the head of the answer: a call may stream for as long as it says.
        ("1H", 3_600_000_000_000),
    ] {
        let said = format!("grpc-timeout: {field}\r\n");
        assert_eq!(client.get_with("/", &said).await.status, 200);
        let left = call_time(&origin);
        // Some of it was spent, and not much.
        assert!(
            left < nanos && left > nanos - 2_000_000_000,
            "{field}: {left}"
        );
        assert!(deadline(&origin) <= now_ms() + OWN_MS);
    }
    // What is no time is the origin's to refuse.
    assert_eq!(
        client.get_with("/", "grpc-timeout: 5x\r\n").await.status,
        200
    );
    assert_eq!(origin.last().header("grpc-timeout"), Some("5x"));
    // The hop before knows of less.
    let field = format!(
        "grpc-timeout: 1H\r\nX-Request-Deadline: {}\r\n",
        now_ms() + 5_000
    );
    assert_eq!(node.client().await.get_with("/", &field).await.status, 200);
    assert!(call_time(&origin) <= 5_000_000_000);
}

#[tokio::test]
async fn another_attempt_has_the_same_deadline_and_less_time() {
    let origin = Origin::start(|mut peer: Peer| async move {
        peer.request().await;
        if peer.number == 0 {
            return;
        }
        peer.answer(200, "", "ok").await;
        peer.gone().await;
    })
    .await;
    let retry = "retry = { attempts = 2, on = [\"reset_before_response\"] }\n";
    let node = Node::serving(origin.address(), &format!("{CONFIG}{retry}")).await;
    let mut client = stranger(&node).await;
    let response = client.get_with("/again", "grpc-timeout: 5S\r\n");
    assert_eq!(response.await.status, 200);
    let seen = origin.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].header("x-attempt"), Some("2"));
    let of = |at: usize, name: &str| -> u64 {
        let value = seen[at].header(name).expect(name);
        value.trim_end_matches('u').parse().expect("a number")
    };
    let deadlines = [0, 1].map(|at| of(at, "x-request-deadline"));
    assert!(deadlines[0].abs_diff(deadlines[1]) <= 2, "{deadlines:?}");
    let times = [0, 1].map(|at| of(at, "grpc-timeout"));
    assert!(times[1] < times[0] && times[0] < 5_000_000, "{times:?}");
}
