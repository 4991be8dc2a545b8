//! The node's own overload: who is turned away, who never is, and that it ends.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::harness::http2::Http2;
use crate::harness::{Client, Node, Origin, Setup, eventually};

/// Idle connections: so many that the rest of the node's descriptors hardly count.
const IDLE: usize = 150;

/// A route for each class.
fn config(origin: &Origin, words: &str) -> String {
    let routes = ["critical", "default", "bulk"].map(|class| {
        format!(
            "[[route]]\nname = \"{class}\"\npaths = [\"/{class}\"]\nupstream = \"app\"\nclass = \"{class}\"\n"
        )
    });
    format!(
        r#"
[server.overload]
{words}
[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]
health_path = "/healthy"
[[upstream]]
name = "app"
endpoints = ["{}"]
{}
"#,
        origin.address(),
        routes.concat()
    )
}

async fn load(node: &Node) -> Value {
    node.run(&["status", "--json"]).await.expect(0).json()["load"].clone()
}

/// From now on the node may open hardly more descriptors than it has: 97.5 % of them are open.
fn limit_files(node: &Node) {
    let folder = format!("/proc/{}/fd", node.process());
    let open = std::fs::read_dir(folder).expect("descriptors").count();
    let most = (open as f64 / 0.975) as u64;
    let pid = i32::try_from(node.process()).ok().and_then(Pid::from_raw);
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    prlimit(pid, Resource::Nofile, limit).expect("another limit");
}

/// Clients that have asked once, and keep their connection.
async fn clients(node: &Node, number: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..number {
        let mut client = node.client().await;
        assert_eq!(client.get("/default").await.status, 200);
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn short_of_descriptors_bulk_goes_before_default_and_critical_is_never_all_shed() {
    let origin = Origin::answering("served").await;
    // A busy machine is no part of this test.
    let words = "cpu = \"0%\"\nloop_lag = \"0s\"";
    let node = Setup::new().start(&config(&origin, words)).await;
    let idle = clients(&node, IDLE).await;
    let mut asking = clients(&node, 34).await;
    let mut http2 = Http2::connect(node.at("web")).await;
    assert_eq!(http2.get("/default").await.head.status(), 200);
    // So few are left that all of bulk and default go, and a part of critical.
    limit_files(&node);
    eventually("default is shed", || async {
        let load = load(&node).await;
        (load["shed"]["default"] == 1.0 && load["shed"]["bulk"] == 1.0).then_some(())
    })
    .await;
    for target in ["/bulk", "/default"] {
        let mut client = asking.pop().expect("a client");
        let refused = client.get(target).await;
        assert_eq!(refused.status, 503);
        assert_eq!(refused.json()["detail"], "overload");
        assert_eq!(refused.header("retry-after"), Some("1"));
        // Only connections give descriptors back.
        assert_eq!(refused.header("connection"), Some("close"));
        client.closes_within(Duration::from_secs(5)).await;
    }
    let refused = http2.get("/default").await;
    assert_eq!(refused.head.status(), 503);
    node.metric_is(
        "farmgate_h2_connections_ended_total",
        &[("reason", "overload")],
        1.0,
    )
    .await;
    let mut healthy = asking.pop().expect("a client");
    assert_eq!(healthy.get("/healthy").await.status, 200);
    let mut served = 0;
    for mut client in asking {
        served += usize::from(client.get("/critical").await.status == 200);
    }
    assert!(
        served >= 1,
        "a tenth of critical is served whatever happens"
    );
    let told = load(&node).await;
    assert_eq!(told["by"], "open_files", "{told}");
    let shown = node.run(&["status"]).await.expect(0).text();
    assert!(
        shown.contains("OVERLOAD by open_files: turned away:"),
        "{shown}"
    );
    assert!(
        node.errors().contains("overload by open_files"),
        "{}",
        node.errors()
    );
    // What the operator does, or the clients: connections end, and nothing is turned away any more.
    drop(idle);
    eventually("it is over", || async {
        (load(&node).await["shed"]["bulk"] == 0.0).then_some(())
    })
    .await;
    assert_eq!(node.get("/bulk").await.status, 200);
    assert_eq!(
        node.metric("farmgate_overload_shed_thousandths", &[]).await,
        0.0
    );
}

#[tokio::test]
async fn a_reload_turns_a_limit_off() {
    let origin = Origin::answering("served").await;
    let words = "cpu = \"0%\"\nloop_lag = \"0s\"";
    let mut node = Setup::new().start(&config(&origin, words)).await;
    let idle = clients(&node, IDLE).await;
    limit_files(&node);
    eventually("bulk is shed", || async {
        (load(&node).await["shed"]["bulk"] == 1.0).then_some(())
    })
    .await;
    let words = "cpu = \"0%\"\nloop_lag = \"0s\"\nopen_files = \"0%\"";
    node.reload(&config(&origin, words)).await;
    eventually("nothing is shed", || async {
        let load = load(&node).await;
        (load["shed"]["bulk"] == 0.0 && load["open_files"]["limit"].is_null()).then_some(())
    })
    .await;
    drop(idle);
}
