//! What stands in when there is no answer to give.

use super::{node, status};
use crate::harness::cli::check;
use crate::harness::{Origin, Setup, free_address};

const STATUS: &str = "[[upstream.fallback]]\nstatus = 503\nbody = \"orders are down\"\nheaders = { \"retry-after\" = \"5\" }\n";

#[tokio::test]
async fn an_answer_made_here() {
    let node = node(&[free_address()], STATUS).await;
    let response = node.get("/").await;
    assert_eq!(
        (response.status, response.text()),
        (503, "orders are down".to_owned())
    );
    assert_eq!(response.header("retry-after"), Some("5"));
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let line = node.log.of("/").await;
    assert_eq!(line["reason"], "upstream_connect_refused");
    let labels = [("upstream", "app"), ("to", "reply")];
    assert_eq!(
        node.metric("farmgate_upstream_fallbacks_total", &labels)
            .await,
        1.0
    );
    // The connection goes on.
    let mut client = node.client().await;
    assert_eq!(client.get("/").await.status, 503);
}

#[tokio::test]
async fn another_upstream_and_then_an_answer() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nbackup";
    let second = Origin::closing(answer).await;
    let words = format!(
        "[[upstream.fallback]]\nupstream = \"backup\"\n{STATUS}[[upstream]]\nname = \"backup\"\nendpoints = [\"{}\"]\n",
        second.address()
    );
    let node = node(&[free_address()], &words).await;
    let response = node.get("/one").await;
    assert_eq!(
        (response.status, response.text()),
        (200, "backup".to_owned())
    );
    assert_eq!(node.log.of("/one").await["upstream"], "backup");
    let labels = [("upstream", "backup"), ("code", "2xx")];
    assert_eq!(node.metric("farmgate_requests_total", &labels).await, 1.0);
    assert_eq!(node.log.of("/one").await["reason"], "ok");
    second.stop();
    let response = node.client().await.get("/two").await;
    assert_eq!(
        (response.status, response.text()),
        (503, "orders are down".to_owned())
    );
}

#[tokio::test]
async fn an_origins_answer_is_passed_on_unless_it_is_one_of_the_list() {
    let bad = status(500, "", "own words").await;
    let plain = node(&[bad.address()], STATUS).await;
    assert_eq!(plain.get("/").await.text(), "own words");
    let words = format!("retry = {{ attempts = 1, on = [\"5xx\"] }}\n{STATUS}");
    let node = node(&[bad.address()], &words).await;
    assert_eq!(node.get("/").await.text(), "orders are down");
}

#[tokio::test]
async fn what_was_done_is_not_done_again_elsewhere() {
    let first = Origin::start(|mut peer: crate::harness::Peer| async move {
        peer.request().await;
        peer.reset();
    })
    .await;
    let second = Origin::answering("backup").await;
    let words = format!(
        "[[upstream.fallback]]\nupstream = \"backup\"\n{STATUS}[[upstream]]\nname = \"backup\"\nendpoints = [\"{}\"]\n",
        second.address()
    );
    let node = node(&[first.address()], &words).await;
    let response = node.client().await.post("/", "pay").await;
    assert_eq!(
        (response.status, response.text()),
        (503, "orders are down".to_owned())
    );
    assert!(second.seen().is_empty());
}

#[tokio::test]
async fn circles_and_unknown_names_are_errors() {
    let mut setup = Setup::new().prepare(
        "[[listener]]\nname = \"web\"\naddress = \"@web\"\n[[route]]\nname = \"any\"\nupstream = \"a\"\n\
         [[upstream]]\nname = \"a\"\nendpoints = [\"127.0.0.1:1\"]\n[[upstream.fallback]]\nupstream = \"b\"\n\
         [[upstream]]\nname = \"b\"\nendpoints = [\"127.0.0.1:1\"]\n[[upstream.fallback]]\nupstream = \"a\"\n\
         [[upstream.fallback]]\nupstream = \"nobody\"\n[[upstream.fallback]]\nstale = true\nstatus = 500\n",
    );
    let _ = &mut setup;
    let text = check(setup.config()).expect(78).text();
    for expected in [
        "go in a circle: a -> b -> a",
        "no upstream is named \"nobody\"",
        "is one of stale",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

/// What the cache holds is sent while the breaker keeps requests from the origin, and where it holds nothing the next one
/// of the list stands in.
#[tokio::test]
async fn what_the_cache_holds_while_the_breaker_is_open() {
    let stale = "Cache-Control: max-age=10\r\nAge: 20\r\n";
    let origin = status(200, stale, "old").await;
    let config = super::config(
        &[origin.address()],
        "breaker = { min_requests = 20 }\n[[upstream.fallback]]\nstale = true\n\
         [[upstream.fallback]]\nstatus = 503\nbody = \"down\"\n\
         [cache]\nmemory = \"64MiB\"\n[[cache_policy]]\nname = \"all\"\nstale_if_error = \"1h\"\n",
    )
    .replace("name = \"any\"\n", "name = \"any\"\ncache = \"all\"\n");
    let node = Setup::new().start(&config).await;
    assert_eq!(node.get("/page").await.text(), "old");
    node.run(&["breaker", "app", "open"]).await.expect(0);
    let response = node.get("/page").await;
    assert_eq!((response.status, response.text()), (200, "old".to_owned()));
    let told = response.header("cache-status").unwrap_or_default();
    assert!(told.contains("detail=stale-if-error"), "{told}");
    let fallen = |to| [("upstream", "app"), ("to", to)];
    let name = "farmgate_upstream_fallbacks_total";
    assert_eq!(node.metric(name, &fallen("stale")).await, 1.0);
    let response = node.get("/other").await;
    assert_eq!((response.status, response.text()), (503, "down".to_owned()));
    assert_eq!(node.metric(name, &fallen("reply")).await, 1.0);
    assert_eq!(origin.seen().len(), 1, "the breaker lets nothing through");
    node.run(&["breaker", "app", "auto"]).await.expect(0);
    assert_eq!(node.get("/other").await.text(), "old");
}
