//! Ranges, conditions and HEAD from what is stored and from what is just coming; HTTP/1.0 and HTTP/2 on both sides.

use super::{Hand, ask, asking, get, is_hit, node, status, stored, telling, waiting};
use crate::harness::Client;
use crate::harness::http2::Http2;
use crate::harness::origin::Seen;

const FIELDS: &str = "Cache-Control: max-age=600\r\nETag: \"one\"\r\nContent-Type: text/plain\r\n\
    Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n";

fn page(_: &Seen, _: usize) -> (u16, String, String) {
    // With a Date of its own: without one, Last-Modified is no strong validator (RFC 9110 section 8.8.2.2).
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    (
        200,
        format!("{FIELDS}Date: {date}\r\n"),
        "0123456789abcdefghij".to_owned(),
    )
}

#[tokio::test]
async fn ranges_of_what_is_stored() {
    let origin = telling(page).await;
    let node = node(&origin, "").await;
    get(&node, "/file", "").await;
    stored(&node, "/file").await;
    let one = [
        ("bytes=0-3", "bytes 0-3/20", "0123"),
        ("bytes=16-", "bytes 16-19/20", "ghij"),
        ("bytes=-2", "bytes 18-19/20", "ij"),
        ("bytes=18-400", "bytes 18-19/20", "ij"),
        ("bytes=-400", "bytes 0-19/20", "0123456789abcdefghij"),
        ("bytes=30-40, 5-6", "bytes 5-6/20", "56"),
    ];
    for (range, told, body) in one {
        let response = get(&node, "/file", &format!("Range: {range}\r\n")).await;
        assert_eq!(response.status, 206, "{range}: {response:?}");
        assert_eq!(response.header("content-range"), Some(told), "{range}");
        assert_eq!(response.text(), body, "{range}");
        assert!(is_hit(&response), "{range}");
    }
    let several = get(&node, "/file", "Range: bytes=0-1,5-6, -1\r\n").await;
    assert_eq!(several.status, 206);
    let kind = several.header("content-type").expect("a type").to_owned();
    let (_, boundary) = kind.split_once("boundary=").expect("a boundary");
    let text = several.text();
    let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 5, "{text}");
    assert_eq!(parts[4].trim(), "--", "{text}");
    for (part, (told, body)) in parts[1..4].iter().zip([
        ("bytes 0-1/20", "01"),
        ("bytes 5-6/20", "56"),
        ("bytes 19-19/20", "j"),
    ]) {
        let (head, rest) = part.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.to_lowercase()
                .contains(&format!("content-range: {told}")),
            "{part}"
        );
        assert!(
            head.to_lowercase().contains("content-type: text/plain"),
            "{part}"
        );
        assert_eq!(rest.trim_end(), body, "{part}");
    }
    let beyond = get(&node, "/file", "Range: bytes=20-\r\n").await;
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), Some("bytes */20"));
    for whole in ["items=0-3", "bytes=3-1", "bytes=0-9,5-12", "bytes=x"] {
        let response = get(&node, "/file", &format!("Range: {whole}\r\n")).await;
        assert_eq!((response.status, response.body.len()), (200, 20), "{whole}");
    }
    for (condition, status) in [
        ("\"one\"", 206),
        ("\"two\"", 200),
        ("W/\"one\"", 200),
        ("Mon, 01 Jan 2024 00:00:00 GMT", 206),
        ("Mon, 01 Jan 2024 00:00:01 GMT", 200),
    ] {
        let fields = format!("Range: bytes=0-3\r\nIf-Range: {condition}\r\n");
        let response = get(&node, "/file", &fields).await;
        assert_eq!(response.status, status, "{condition}");
    }
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn conditions_and_head_are_answered_here() {
    let origin = telling(page).await;
    let node = node(&origin, "").await;
    get(&node, "/page", "").await;
    stored(&node, "/page").await;
    for condition in [
        "If-None-Match: \"one\"",
        "If-None-Match: \"zero\", W/\"one\"",
        "If-None-Match: *",
        "If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT",
        // A condition on the tag goes before one on the date, and before a range.
        "If-None-Match: \"one\"\r\nIf-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT",
        "If-None-Match: \"one\"\r\nRange: bytes=0-1",
    ] {
        let response = get(&node, "/page", &format!("{condition}\r\n")).await;
        assert_eq!(response.status, 304, "{condition}");
        assert_eq!(response.header("etag"), Some("\"one\""), "{condition}");
        assert!(is_hit(&response), "{condition}");
    }
    for condition in [
        "If-None-Match: \"two\"",
        "If-Modified-Since: Sun, 31 Dec 2023 23:59:59 GMT",
    ] {
        let response = get(&node, "/page", &format!("{condition}\r\n")).await;
        assert_eq!(
            (response.status, response.body.len()),
            (200, 20),
            "{condition}"
        );
    }
    let head = ask(&node, "HEAD", "/page", "").await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("20"))
    );
    assert!(is_hit(&head), "{head:?}");
    // Nothing behind it: the connection goes on with the next answer.
    let mut client = node.client().await;
    let both =
        "HEAD /page HTTP/1.1\r\nHost: a.test\r\n\r\nGET /page HTTP/1.1\r\nHost: a.test\r\n\r\n";
    client.send(both).await;
    assert_eq!(client.response_to("HEAD").await.expect("one").status, 200);
    assert_eq!(client.response().await.expect("two").body.len(), 20);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn clients_of_http10_and_http2_get_hits() {
    let origin = telling(page).await;
    let node = node(&origin, "").await;
    let first = get(&node, "/page", "").await;
    assert_eq!(first.body.len(), 20);
    stored(&node, "/page").await;
    let mut old = node.client().await;
    old.send("GET /page HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    let response = old.response().await.expect("a response");
    assert!(
        is_hit(&response) && response.body.len() == 20,
        "{response:?}"
    );
    let mut h2 = Http2::connect(node.at("web")).await;
    for _ in 0..2 {
        let response = h2.get("/page").await;
        assert_eq!(response.head.status(), 200);
        assert_eq!(response.body, b"0123456789abcdefghij");
        let said = response.head.headers()["cache-status"]
            .to_str()
            .expect("text");
        assert!(said.starts_with("farmgate; hit"), "{said}");
    }
    for (method, range, length, status) in [
        ("GET", "bytes=2-4", 3, 206),
        ("HEAD", "bytes=2-4", 0, 200),
        ("GET", "bytes=90-", 0, 416),
    ] {
        let mut request = h2.request(method, "/page");
        let range = range.parse().expect("a value");
        request.headers_mut().insert("range", range);
        let response = h2.ask(request, &[], None).await.expect("a response");
        assert_eq!(
            (response.head.status().as_u16(), response.body.len()),
            (status, length)
        );
    }
    assert_eq!(origin.seen().len(), 1);
    // A body of unknown length, to all three.
    let mut hand = Hand::start().await;
    let node = super::node(&hand.origin, "").await;
    let mut client = asking(&node, "/chunked", "").await;
    let mut asked = hand.next().await;
    asked
        .peer
        .send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.response().await.expect("one").text(), "hello");
    assert_eq!(
        stored(&node, "/chunked").await.header("content-length"),
        Some("5")
    );
    let mut old = node.client().await;
    old.send("GET /chunked HTTP/1.0\r\nHost: a.test\r\n\r\n")
        .await;
    assert_eq!(old.response().await.expect("one").text(), "hello");
    let mut h2 = Http2::connect(node.at("web")).await;
    assert_eq!(h2.get("/chunked").await.body, b"hello");
    assert_eq!(hand.times(), 1);
}

/// The body that a test's range is cut from.
const LONG: usize = 1_000_000;

fn long() -> Vec<u8> {
    (0..LONG).map(|at| b'a' + (at % 23) as u8).collect()
}

async fn ranged(client: &mut Client, first: usize, last: usize) {
    let response = client.response().await.expect("a response");
    assert_eq!(response.status, 206, "{:?}", response.headers);
    assert!(response.body == long()[first..=last], "{first}-{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_of_what_is_just_coming() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    let mut first = asking(&node, "/long", "").await;
    let mut asked = hand.next().await;
    asked
        .peer
        .send(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {LONG}\r\n\r\n"
        ))
        .await;
    let body = long();
    asked.peer.send(&body[..100_000]).await;
    assert_eq!(first.head().await.expect("a head").status, 200);
    // Behind what has come already.
    let mut there = asking(&node, "/long", "Range: bytes=10-99999\r\n").await;
    ranged(&mut there, 10, 99_999).await;
    // Ahead of it, to the end, and across.
    let mut ahead = asking(&node, "/long", "Range: bytes=600000-600999\r\n").await;
    let mut suffix = asking(&node, "/long", "Range: bytes=-5\r\n").await;
    let mut across = asking(&node, "/long", "Range: bytes=50000-150000\r\n").await;
    for client in [&mut ahead, &mut suffix, &mut across] {
        assert!(client.head_is(206).await);
    }
    asked.peer.send(&body[100_000..200_000]).await;
    assert!(across.exactly(100_001).await == body[50_000..=150_000]);
    asked.peer.send(&body[200_000..]).await;
    assert!(ahead.exactly(1000).await == body[600_000..601_000]);
    assert!(suffix.exactly(5).await == body[LONG - 5..]);
    assert!(first.exactly(LONG).await == body);
    assert_eq!(hand.times(), 1);
}

#[tokio::test]
async fn a_range_that_waits_for_a_fetch_is_cut_from_it() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    let mut first = asking(&node, "/part", "Range: bytes=2-4\r\n").await;
    let asked = hand.next().await;
    // The whole is asked for, once for all ranges.
    assert_eq!(asked.seen.header("range"), None);
    let mut second = asking(&node, "/part", "Range: bytes=-1\r\n").await;
    waiting(&node, 2).await;
    asked
        .answer(200, "Cache-Control: max-age=600\r\n", "0123456789")
        .await;
    for (client, body) in [(&mut first, "234"), (&mut second, "9")] {
        let response = client.response().await.expect("one");
        assert_eq!((response.status, response.text()), (206, body.to_owned()));
    }
    assert_eq!(hand.times(), 1);
}

#[tokio::test]
async fn a_range_of_what_is_not_stored_is_the_origins() {
    let origin = telling(|seen, _| match seen.header("range") {
        Some(_) => (
            206,
            "Cache-Control: no-store\r\nContent-Range: bytes 0-1/10\r\n".to_owned(),
            "01".to_owned(),
        ),
        None => (
            200,
            "Cache-Control: no-store\r\n".to_owned(),
            "0123456789".to_owned(),
        ),
    })
    .await;
    let node = node(&origin, "").await;
    for _ in 0..2 {
        let response = get(&node, "/part", "Range: bytes=0-1\r\n").await;
        assert_eq!((response.status, response.text()), (206, "01".to_owned()));
        assert!(!is_hit(&response), "{}", status(&response));
    }
}
