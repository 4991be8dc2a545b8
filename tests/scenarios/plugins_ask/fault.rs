//! fault, measured.

use std::time::{Duration, Instant};

use super::node;
use crate::harness::{Node, Origin, SOON, Setup, eventually, free_address};

const UNTIL: &str = "kind = \"fault\"\nuntil = 2099-01-01T00:00:00Z\n";

async fn timed(node: &Node, target: &str, fields: &str) -> (u16, usize, Duration) {
    let mut client = node.client().await;
    let begun = Instant::now();
    let response = client.get_with(target, fields).await;
    (response.status, response.body.len(), begun.elapsed())
}

#[tokio::test]
async fn delays_and_aborts_those_who_are_meant_until_it_is_switched_off() {
    let plugin = format!(
        "{UNTIL}delay = {{ share = \"100%\", time = \"250ms\" }}\nabort = {{ share = \"100%\", status = 503 }}\n\
         only = {{ headers = {{ \"x-chaos\" = \"1\" }} }}"
    );
    let (node, app) = node(&plugin, free_address(), "").await;
    node.metric_is("farmgate_plugin_fault_active", &[("plugin", "it")], 1.0)
        .await;
    let said = "FAULTS ARE INJECTED until 2099-01-01T00:00:00Z: 100% delayed by 250ms, 100% answered with 503";
    assert!(node.errors().contains(said), "{}", node.errors());
    let (status, _, took) = timed(&node, "/meant", "X-Chaos: 1\r\n").await;
    assert_eq!(status, 503);
    measured(took, 250, "the delay");
    assert_eq!(node.log.of("/meant").await["reason"], "plugin_reply");
    assert!(app.seen().is_empty());
    let (status, _, took) = timed(&node, "/spared", "").await;
    assert_eq!(status, 200);
    assert!(took < Duration::from_millis(250), "{took:?}");

    node.run(&["plugin", "it", "off"]).await.expect(0);
    assert_eq!(timed(&node, "/off", "X-Chaos: 1\r\n").await.0, 200);
    node.metric_is("farmgate_plugin_fault_active", &[("plugin", "it")], 0.0)
        .await;
    eventually("a line about the switch", || async {
        node.errors().contains("it is switched off").then_some(())
    })
    .await;
    node.run(&["plugin", "it", "on"]).await.expect(0);
    assert_eq!(timed(&node, "/on", "X-Chaos: 1\r\n").await.0, 503);
    let labels = [("plugin", "it"), ("fault", "abort")];
    node.metric_is("farmgate_plugin_fault_injected_total", &labels, 2.0)
        .await;
}

#[tokio::test]
async fn a_reset_closes_without_an_answer() {
    let plugin = format!("{UNTIL}abort = {{ share = \"100%\", reset = true }}");
    let (node, app) = node(&plugin, free_address(), "").await;
    let mut client = node.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    client.closes_within(SOON).await;
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn once_past_nothing_happens_and_a_check_warns() {
    let plugin = "kind = \"fault\"\nuntil = 2020-01-01T00:00:00Z\nabort = { share = \"100%\", status = 503 }";
    let (node, _app) = node(plugin, free_address(), "").await;
    assert_eq!(timed(&node, "/", "").await.0, 200);
    let ran = crate::harness::cli::check(node.config()).expect(0);
    assert!(
        ran.text().contains("until 2020-01-01T00:00:00Z has passed"),
        "{}",
        ran.text()
    );
    node.metric_is("farmgate_plugin_fault_active", &[("plugin", "it")], 0.0)
        .await;
}

/// 64 KiB at 128 KiB a second: half a second, from the origin and from the cache.
#[tokio::test]
async fn a_throttled_body_takes_its_time() {
    let origin = Origin::start(|mut peer| async move {
        let body = "x".repeat(65_536);
        while peer.request().await.is_some() {
            peer.answer(200, "Cache-Control: max-age=60\r\n", &body)
                .await;
        }
    })
    .await;
    let text = format!(
        r#"
[cache]
memory = "16MiB"

[[cache_policy]]
name = "all"

[[listener]]
name = "web"
address = "@web"

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[plugin]]
name = "it"
{UNTIL}throttle = {{ share = "100%", bytes_per_second = "128KiB" }}

[[route]]
name = "cached"
paths = ["/cached"]
cache = "all"
plugins = ["it"]
upstream = "app"

[[route]]
name = "any"
plugins = ["it"]
upstream = "app"
"#
    );
    let node = Setup::new()
        .with("origin", origin.address())
        .start(&text)
        .await;
    for (target, what) in [
        ("/", "the origin's body"),
        ("/cached", "the body that is stored"),
        ("/cached", "the stored body"),
    ] {
        let (status, bytes, took) = timed(&node, target, "").await;
        assert_eq!((status, bytes), (200, 65_536), "{what}");
        measured(took, 500, what);
    }
    assert_eq!(origin.seen().len(), 2);
    node.metric_is("farmgate_plugin_fault_held", &[("plugin", "it")], 0.0)
        .await;
}

/// Never sooner than it should, but for the clock's own steps, and not much later; other tests run beside this one.
fn measured(took: Duration, expected_ms: u64, what: &str) {
    let expected = Duration::from_millis(expected_ms);
    let early = Duration::from_millis(20);
    assert!(
        took + early >= expected && took < expected * 4,
        "{what} took {took:?}, not about {expected:?}"
    );
}
