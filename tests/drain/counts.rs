//! What a drain cut is told four times: by the command, its JSON, the log and the metric.

use super::{KEEPING, serving};
use crate::harness::node::joined;
use crate::harness::{Demo, cli, eventually};
use crate::scenarios::PLAIN;
use crate::scenarios::websocket::{echo, open};

#[tokio::test]
async fn the_command_the_log_and_the_metric_agree() {
    let demo = Demo::start().await;
    let mut node = serving(KEEPING, demo.address(), PLAIN).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        // They never answer the Close frame, so that the process waits for them for as long as a cut may take.
        let mut socket = open(&node).await;
        echo(&mut socket, "here").await;
        sockets.push(socket);
    }
    let mut idle = node.client().await;
    assert_eq!(idle.get("/bytes/1").await.status, 200);
    let mut slow = node.client().await;
    slow.send("GET /bytes/90000000 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert_eq!(slow.head().await.expect("a head").status, 200);
    let metrics = node.metrics().await;
    let none = metrics.sum("farmgate_drain_cut_total", &[]);
    assert_eq!(none, 0.0);
    let control = node.control().to_str().expect("a UTF-8 path").to_owned();
    let asked =
        tokio::spawn(async move { cli::farmgate_async(&["drain", "--control", &control]).await });
    let scraped = eventually("the metric", || async {
        let now = node.metrics().await;
        (now.sum("farmgate_drain_cut_total", &[]) >= 5.0).then_some(now)
    })
    .await;
    for (kind, count) in [
        ("websocket", 3.0),
        ("http1_idle", 1.0),
        ("http1_response", 1.0),
    ] {
        let of = scraped.sum("farmgate_drain_cut_total", &[("kind", kind)]);
        assert_eq!(of, count, "{kind}");
    }
    let ran = joined(asked).await.expect(0);
    assert_eq!(
        ran.out.trim(),
        "drained, but the deadline cut 4: 1 http1_idle, 1 http1_response, 3 websocket"
    );
    assert_eq!(node.exit().await, 0);
    let said = node.errors();
    assert!(
        said.contains("4 were cut at the end: 1 http1_idle, 1 http1_response, 3 websocket"),
        "{said}"
    );
}
