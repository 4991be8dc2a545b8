//! Request bodies: kinds, limits, encodings, and what the origin gets.

use std::io::Write;

use super::{ENGINE_ON, before, node};
use crate::harness::{Node, Origin, eventually};

/// A request with a length.
fn with_length(target: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "POST {target} HTTP/1.1\r\nHost: a.test\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(body);
    out
}

/// The same in chunks.
fn chunked(target: &str, fields: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut out = format!(
        "POST {target} HTTP/1.1\r\nHost: a.test\r\n{fields}Transfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for piece in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

async fn status(node: &Node, request: &[u8]) -> u16 {
    let mut client = node.client().await;
    client.send(request).await;
    client.response().await.expect("a response").status
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";
const XML: &str = "Content-Type: text/xml\r\n";
const MULTIPART: &str = "Content-Type: multipart/form-data; boundary=x\r\n";

fn part(name: &str, extra: &str, content: &str) -> String {
    format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"{extra}\r\n\r\n{content}\r\n")
}

#[tokio::test]
async fn every_kind_is_looked_at_and_what_is_broken_is_refused() {
    let (node, _demo) = node(ENGINE_ON).await;
    let deep = "[".repeat(2000);
    let broken_part = "--x\r\nContent-Disposition: form-data; name=\"a\r\n\r\nb\r\n--x--\r\n";
    let good_part = part("a", "", "b") + "--x--\r\n";
    let evil_part = part("a", "", "evil-arg") + "--x--\r\n";
    let entity = "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>";
    for (fields, body, expected) in [
        (FORM, "a=fine", 200),
        (FORM, "a=evil%2Darg", 406),
        (JSON, "{\"a\":\"fine\"}", 200),
        (JSON, "{\"a\":[{\"b\":\"evil-arg\"}]}", 406),
        (JSON, "{\"a\":\"fine\",\"a\":\"evil-arg\"}", 406),
        (JSON, "{\"a\":", 400),
        (JSON, deep.as_str(), 400),
        (XML, "<a>fine</a>", 200),
        (XML, "<a>", 400),
        // Neither expanded nor fetched.
        (XML, entity, 200),
        (MULTIPART, good_part.as_str(), 200),
        (MULTIPART, evil_part.as_str(), 406),
        (MULTIPART, broken_part, 400),
        (MULTIPART, "no part at all", 400),
    ] {
        let whole = with_length("/echo", fields, body.as_bytes());
        assert_eq!(status(&node, &whole).await, expected, "{fields}{body}");
        let pieces = chunked("/echo", fields, body.as_bytes(), 3);
        assert_eq!(
            status(&node, &pieces).await,
            expected,
            "in chunks: {fields}{body}"
        );
    }
}

#[tokio::test]
async fn uploads_arrive_byte_for_byte() {
    let origin = Origin::answering("ok").await;
    let node = before(
        origin.address(),
        "engine = \"on\"\nrequest_body = { upload = \"20MiB\" }",
    )
    .await;
    // Content that is no text, 10 MiB of it, and a word that rules would refuse elsewhere.
    let mut body = part("file", "; filename=\"a.bin\"", "").into_bytes();
    body.truncate(body.len() - 2);
    let start = body.len();
    body.extend((0..10 * 1024 * 1024_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8));
    body.splice(start..start, b"evil-arg".iter().copied());
    body.extend_from_slice(b"\r\n--x--\r\n");
    assert_eq!(
        status(&node, &with_length("/a", MULTIPART, &body)).await,
        200
    );
    assert!(origin.last().body == body, "with a length");
    assert_eq!(
        status(&node, &chunked("/a", MULTIPART, &body, 100_000)).await,
        200
    );
    assert!(origin.last().body == body, "in chunks");
    // What was held is given back.
    node.metric_is("farmgate_body_memory_bytes", &[], 0.0).await;
}

#[tokio::test]
async fn longer_bodies_are_refused_or_seen_in_part() {
    let origin = Origin::answering("ok").await;
    let limits = "request_body = { inspect = \"1KiB\", upload = \"4KiB\", over_limit = ";
    let node = before(
        origin.address(),
        &format!("{ENGINE_ON}\n{limits}\"reject\" }}"),
    )
    .await;
    let long = |length: usize, end: &str| format!("a={}{end}", "b".repeat(length)).into_bytes();
    assert_eq!(
        status(&node, &with_length("/", FORM, &long(900, ""))).await,
        200
    );
    assert_eq!(
        status(&node, &with_length("/", FORM, &long(1100, ""))).await,
        413
    );
    assert_eq!(
        status(&node, &chunked("/", FORM, &long(1100, ""), 100)).await,
        413
    );
    // A file may be longer than what rules look at, but not than `upload`.
    let upload = |length: usize| {
        let file = part("f", "; filename=\"a\"", &"b".repeat(length));
        (file + "--x--\r\n").into_bytes()
    };
    assert_eq!(
        status(&node, &with_length("/", MULTIPART, &upload(3000))).await,
        200
    );
    assert_eq!(
        status(&node, &with_length("/", MULTIPART, &upload(5000))).await,
        413
    );
    let field = part("f", "", &"b".repeat(2000)) + "--x--\r\n";
    assert_eq!(
        status(&node, &with_length("/", MULTIPART, field.as_bytes())).await,
        413
    );
    node.metric_is(
        "farmgate_plugin_waf_bodies_total",
        &[("why", "too_large")],
        4.0,
    )
    .await;

    let node = before(
        origin.address(),
        &format!("{ENGINE_ON}\n{limits}\"partial\" }}"),
    )
    .await;
    let unseen = long(2000, "&b=evil-arg");
    assert_eq!(status(&node, &with_length("/", FORM, &unseen)).await, 200);
    assert!(origin.last().body == unseen);
    let seen = [b"b=evil-arg&".to_vec(), long(2000, "")].concat();
    assert_eq!(status(&node, &with_length("/", FORM, &seen)).await, 406);
}

#[tokio::test]
async fn compressed_bodies_are_decoded_for_the_rules_alone() {
    let origin = Origin::answering("ok").await;
    let node = before(origin.address(), ENGINE_ON).await;
    let gzip = |bytes: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(bytes).expect("compress");
        out.finish().expect("compress")
    };
    let fields = format!("{FORM}Content-Encoding: gzip\r\n");
    let fine = gzip(b"a=fine");
    assert_eq!(status(&node, &with_length("/", &fields, &fine)).await, 200);
    assert!(origin.last().body == fine, "as it came");
    assert_eq!(
        status(&node, &with_length("/", &fields, &gzip(b"a=evil-arg"))).await,
        406
    );
    let bomb = gzip(&vec![b'a'; 100 << 20]);
    assert_eq!(status(&node, &with_length("/", &fields, &bomb)).await, 413);
    assert_eq!(
        status(&node, &with_length("/", &fields, b"no gzip")).await,
        400
    );
    let fields = format!("{FORM}Content-Encoding: gzip, gzip\r\n");
    assert_eq!(
        status(&node, &with_length("/", &fields, &gzip(&fine))).await,
        415
    );
}

#[tokio::test]
async fn a_slow_body_is_waited_for_and_judged_as_one() {
    let origin = Origin::answering("ok").await;
    let node = before(origin.address(), ENGINE_ON).await;
    let mut client = node.client().await;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{FORM}Content-Length: 10\r\n\r\n");
    client.send(head).await;
    for byte in b"a=evil-ar" {
        client.send([*byte]).await;
    }
    assert!(!client.has_input().await && origin.seen().is_empty());
    client.send(b"g").await;
    assert_eq!(client.response().await.expect("a response").status, 406);
    assert!(origin.seen().is_empty(), "the origin was never asked");
}

#[tokio::test]
async fn held_bodies_share_one_bound() {
    let origin = Origin::answering("ok").await;
    let setup = crate::harness::Setup::new().with("origin", origin.address());
    let setup = setup.preamble(SMALL);
    super::write_rules(setup.folder(), super::RULES);
    let words = "engine = \"on\"\nrequest_body = { inspect = \"2MiB\" }";
    let node = setup.start(&super::config(words)).await;
    let body = vec![b'a'; 700 * 1024];
    // One that is not finished holds most of the room.
    let mut first = node.client().await;
    let whole = with_length("/", FORM, &body);
    let (most, last) = whole.split_at(whole.len() - 1);
    first.send(most).await;
    eventually("the first body", || async {
        let held = node.metric("farmgate_body_memory_bytes", &[]).await;
        (held >= 600_000.0).then_some(())
    })
    .await;
    let mut second = node.client().await;
    second.send(&with_length("/", FORM, &body)).await;
    let refused = second.response().await.expect("a response");
    assert_eq!(
        (refused.status, refused.json()["detail"].as_str()),
        (503, Some("body_memory"))
    );
    first.send(last).await;
    assert_eq!(first.response().await.expect("a response").status, 200);
    node.metric_is("farmgate_body_memory_bytes", &[], 0.0).await;
    assert_eq!(status(&node, &with_length("/", FORM, &body)).await, 200);
}

const SMALL: &str = r#"
[server]
threads = 2
control = "run/control.sock"
state = "run/state"
drain = { idle_grace = "50ms", deadline = "2s" }
body_memory = "1MiB"

[admin]
address = "@admin"

[telemetry]
access_log = { path = "run/access.log", format = "json" }
"#;

#[tokio::test]
async fn a_million_arguments_cost_a_bounded_time() {
    let (node, _demo) = node("engine = \"on\"\nrequest_body = { inspect = \"4MiB\" }").await;
    let many = "a&".repeat(1_000_000);
    let begin = std::time::Instant::now();
    let got = status(&node, &with_length("/", FORM, many.as_bytes())).await;
    // More arguments than the bound are refused by the rules that stand in every set, or at the budget.
    assert!(matches!(got, 400 | 403 | 503), "{got}");
    assert!(begin.elapsed() < crate::harness::SOON);
}

#[tokio::test]
async fn a_stream_is_never_waited_for() {
    let origin = Origin::start(|mut peer: crate::harness::Peer| async move {
        if peer.head().await.is_some() {
            peer.answer(200, "", "early").await;
            peer.gone().await;
        }
    })
    .await;
    let node = before(origin.address(), ENGINE_ON).await;
    let mut client = node.client().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 10\r\n\r\nhello";
    client.send(head).await;
    assert_eq!(client.response().await.expect("a response").text(), "early");
    assert_eq!(node.get("/evil-path").await.status, 403, "heads are judged");
}
