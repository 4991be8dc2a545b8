//! What is stale: sent at once, sent instead of an error, or never. Nothing here waits for a lifetime to pass: the
//! origin sends what has been stale for long already, by its Age.

use super::{Hand, ask, asking, get, is_hit, node, status, telling, waiting};
use crate::harness::{Node, Origin, eventually, free_address, http2::Http2};

/// Stale since ten seconds, with these words too.
fn old(words: &str) -> String {
    format!("Cache-Control: max-age=10{words}\r\nAge: 20\r\nETag: \"one\"\r\n")
}

/// Stores one answer, stale as it comes.
async fn seeded(hand: &mut Hand, node: &Node, target: &str, fields: &str) {
    let mut client = asking(node, target, "").await;
    hand.next().await.answer(200, fields, "old").await;
    assert_eq!(client.response().await.expect("one").text(), "old");
}

#[tokio::test]
async fn while_it_is_renewed_the_stale_one_is_sent_at_once() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    let fields = old(", stale-while-revalidate=600");
    seeded(&mut hand, &node, "/", &fields).await;
    // Ten ask, none waits, one fetch renews.
    for _ in 0..10 {
        let response = get(&node, "/", "").await;
        assert_eq!(response.text(), "old");
        assert!(
            status(&response).contains("detail=stale-while-revalidate"),
            "{response:?}"
        );
    }
    let asked = hand.next().await;
    assert_eq!(asked.seen.header("if-none-match"), Some("\"one\""));
    hand.idle();
    asked
        .answer(200, "Cache-Control: max-age=600\r\n", "new")
        .await;
    eventually("the new one", || async {
        let response = get(&node, "/", "").await;
        (response.text() == "new").then_some(())
    })
    .await;
    assert_eq!(hand.times(), 2);
}

#[tokio::test]
async fn a_confirmation_in_the_background_renews_every_field() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    let fields = old(", stale-while-revalidate=600") + "X-Kept: one\r\nX-Changed: one\r\n";
    seeded(&mut hand, &node, "/", &fields).await;
    assert_eq!(get(&node, "/", "").await.text(), "old");
    let mut asked = hand.next().await;
    asked
        .peer
        .send("HTTP/1.1 304 Not Modified\r\nConnection: close\r\nCache-Control: max-age=600\r\nAge: 0\r\nX-Changed: two\r\nX-New: two\r\n\r\n")
        .await;
    let renewed = eventually("the confirmed one", || async {
        let response = get(&node, "/", "").await;
        (response.header("x-new").is_some()).then_some(response)
    })
    .await;
    assert!(is_hit(&renewed), "{renewed:?}");
    assert_eq!(renewed.text(), "old");
    assert_eq!(renewed.header("cache-control"), Some("max-age=600"));
    assert_eq!(renewed.all("x-changed"), ["two"]);
    assert_eq!(renewed.header("x-kept"), Some("one"));
    assert_eq!(hand.times(), 2);
}

#[tokio::test]
async fn a_question_is_asked_once_for_all_who_wait() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "").await;
    seeded(&mut hand, &node, "/", &old("")).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(asking(&node, "/", "").await);
    }
    let mut asked = hand.next().await;
    assert_eq!(asked.seen.header("if-none-match"), Some("\"one\""));
    waiting(&node, 5).await;
    asked
        .peer
        .send("HTTP/1.1 304 Not Modified\r\nConnection: close\r\nCache-Control: max-age=600\r\nAge: 0\r\nETag: \"one\"\r\n\r\n")
        .await;
    let mut confirmed = 0;
    for mut client in clients {
        let response = client.response().await.expect("one");
        assert_eq!((response.status, response.text()), (200, "old".to_owned()));
        confirmed += usize::from(status(&response).contains("fwd-status=304"));
    }
    assert_eq!((hand.times(), confirmed), (2, 1));
    // A 304 for a client's own condition is ours to make: the origin is not asked.
    let response = get(&node, "/", "If-None-Match: \"one\"\r\n").await;
    assert_eq!((response.status, hand.times()), (304, 2));
}

/// What stands in for an error, sent to the one who asked and those who waited.
async fn all_get(hand: &mut Hand, node: &Node, error: Option<&str>, expected: (u16, &str)) {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(asking(node, "/", "").await);
    }
    let mut asked = hand.next().await;
    waiting(node, 4).await;
    match error {
        Some(bytes) => asked.peer.send(bytes).await,
        None => asked.peer.reset(),
    }
    for mut client in clients {
        let response = client.response().await.expect("one");
        assert_eq!(response.status, expected.0, "{response:?}");
        if expected.0 == 200 {
            assert_eq!(response.text(), expected.1);
            assert!(status(&response).contains("stale-if-error"), "{response:?}");
        }
    }
}

const ERROR: &str = "HTTP/1.1 503 Sorry\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy";

#[tokio::test]
async fn it_stands_in_for_an_error_for_waiters_too() {
    let mut hand = Hand::start().await;
    let node = node(&hand.origin, "stale_if_error = \"1h\"").await;
    seeded(&mut hand, &node, "/", &old("")).await;
    all_get(&mut hand, &node, Some(ERROR), (200, "old")).await;
    all_get(&mut hand, &node, None, (200, "old")).await;
    assert_eq!(hand.times(), 3);
    // An answer that is no error is sent, and what is stored goes.
    let mut client = asking(&node, "/", "").await;
    hand.next().await.answer(404, "", "gone").await;
    assert_eq!(client.response().await.expect("one").status, 404);
    let mut client = asking(&node, "/", "").await;
    let asked = hand.next().await;
    assert_eq!(asked.seen.header("if-none-match"), None);
    asked.answer(200, "", "other").await;
    assert_eq!(client.response().await.expect("one").text(), "other");
}

#[tokio::test]
async fn must_revalidate_is_never_sent_stale() {
    for words in [
        ", must-revalidate",
        ", proxy-revalidate",
        ", no-cache",
        ", s-maxage=10",
    ] {
        let mut hand = Hand::start().await;
        let policy = "stale_if_error = \"1h\"\nstale_while_revalidate = \"1h\"";
        let node = node(&hand.origin, policy).await;
        seeded(&mut hand, &node, "/", &old(words)).await;
        let fields = "Cache-Control: max-stale\r\n";
        let mut client = asking(&node, "/", fields).await;
        hand.next().await.peer.reset();
        let response = client.response().await.expect("one");
        assert_eq!(response.status, 502, "{words}: {response:?}");
        let mut client = asking(&node, "/", "").await;
        hand.next().await.answer(503, "", "busy").await;
        assert_eq!(client.response().await.expect("one").status, 503, "{words}");
    }
}

#[tokio::test]
async fn it_stands_in_when_nobody_can_be_reached() {
    let address = free_address();
    let origin = Origin::start_at(address, |mut peer| async move {
        if peer.request().await.is_some() {
            let fields = format!("Connection: close\r\n{}", old(", stale-if-error=600"));
            peer.answer(200, &fields, "old").await;
        }
    })
    .await;
    let node = node(&origin, "").await;
    assert_eq!(get(&node, "/", "").await.text(), "old");
    drop(origin);
    eventually("a closed port", || async {
        let refused = tokio::net::TcpStream::connect(address).await.is_err();
        refused.then_some(())
    })
    .await;
    let response = get(&node, "/", "").await;
    assert_eq!((response.status, response.text()), (200, "old".to_owned()));
    assert!(status(&response).contains("stale-if-error"), "{response:?}");
    assert_eq!(response.header("age").map(|age| age >= "20"), Some(true));
    // Of what was never stored there is nothing to send.
    assert_eq!(get(&node, "/other", "").await.status, 502);
}

#[tokio::test]
async fn only_if_cached_never_asks() {
    let origin = telling(|seen, _| match seen.target() {
        "/old" => (200, old(""), "old".to_owned()),
        _ => (
            200,
            "Cache-Control: max-age=600\r\n".to_owned(),
            "new".to_owned(),
        ),
    })
    .await;
    let node = node(&origin, "").await;
    const ONLY: &str = "Cache-Control: only-if-cached\r\n";
    let missing = get(&node, "/fresh", ONLY).await;
    assert_eq!(missing.status, 504, "{missing:?}");
    for target in ["/fresh", "/old"] {
        get(&node, target, "").await;
    }
    super::stored(&node, "/fresh").await;
    let hit = get(&node, "/fresh", ONLY).await;
    assert_eq!((hit.status, hit.text()), (200, "new".to_owned()));
    assert_eq!(get(&node, "/old", ONLY).await.status, 504);
    let line = node.log.with("reason", "only_if_cached").await;
    assert_eq!(
        (&line["path"], &line["status"]),
        (&"/fresh".into(), &504.into())
    );
    let stale = get(
        &node,
        "/old",
        "Cache-Control: only-if-cached, max-stale\r\n",
    )
    .await;
    assert_eq!((stale.status, stale.text()), (200, "old".to_owned()));
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn the_date_of_the_origin_is_kept() {
    // An hour ago: nothing that we would write ourselves.
    let now = std::time::SystemTime::now();
    let date = httpdate::fmt_http_date(now - std::time::Duration::from_secs(3600));
    let sent = date.clone();
    let origin = telling(move |seen, _| {
        let rule = match seen.target() {
            "/stored" => "Cache-Control: max-age=7200",
            _ => "Cache-Control: no-store",
        };
        (
            200,
            format!("{rule}\r\nDate: {sent}\r\n"),
            "page".to_owned(),
        )
    })
    .await;
    let node = node(&origin, "").await;
    for target in ["/stored", "/passed", "/stored", "/passed"] {
        let response = get(&node, target, "").await;
        assert_eq!(response.all("date"), [&date], "{target}");
        let mut h2 = Http2::connect(node.at("web")).await;
        let response = h2.get(target).await;
        let dates: Vec<_> = response.head.headers().get_all("date").iter().collect();
        assert_eq!(dates, [&date], "{target}");
    }
    let head = ask(&node, "HEAD", "/stored", "").await;
    assert_eq!(head.all("date"), [&date]);
    assert!(is_hit(&head), "{head:?}");
}
