//! A client that leaves while a connection to an endpoint is being made: that is looked at when the connection fails, so
//! that nobody else is asked for somebody who is gone.

use crate::harness::http2::Http2;
use crate::harness::{Node, Origin, Setup};
use crate::scenarios::timeouts::full_listener;

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]
[[upstream]]
name = "app"
endpoints = [{ address = "@full" }, { address = "@other", priority = 1 }]
timeouts = { connect = "600ms" }
retry = { attempts = 2, on = ["connect"] }
[[route]]
name = "any"
upstream = "app"
"#;

#[tokio::test]
async fn who_left_while_an_endpoint_was_dialled_is_not_tried_at_another() {
    let full = full_listener();
    let other = Origin::answering("other").await;
    let setup = Setup::new()
        .with("full", full.address)
        .with("other", other.address());
    let node: Node = setup.start(CONFIG).await;
    // Who stays is served by the other one.
    assert_eq!(node.get("/stays").await.status, 200);
    let in_flight = [("listener", "web")];
    let mut client = node.client().await;
    client
        .send("GET /leaves HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    node.metric_is("farmgate_requests_in_flight", &in_flight, 1.0)
        .await;
    drop(client);
    let line = node.log.of("/leaves").await;
    assert_eq!(line["status"], 499, "{line}");
    let mut http2 = Http2::connect(node.at("web")).await;
    let leaving = tokio::spawn(async move { http2.get("/leaves-too").await });
    node.metric_is("farmgate_requests_in_flight", &in_flight, 1.0)
        .await;
    leaving.abort();
    let line = node.log.of("/leaves-too").await;
    assert_eq!(line["status"], 499, "{line}");
    let seen = other.seen();
    let asked: Vec<&str> = seen.iter().map(|seen| seen.target()).collect();
    assert_eq!(asked, ["/stays"]);
}
