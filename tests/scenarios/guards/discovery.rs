//! Endpoints that are discovered: they come, change, and stay when the source is gone, over a restart too.

use std::fs;
use std::net::SocketAddr;

use crate::harness::{Origin, Setup, eventually};

fn document(endpoints: &[SocketAddr]) -> String {
    let list: Vec<String> = endpoints.iter().map(|one| format!("\"{one}\"")).collect();
    format!("{{\"endpoints\": [{}]}}", list.join(", "))
}

#[tokio::test]
async fn a_file_is_followed_and_its_last_good_set_kept() {
    let (first, second) = (
        Origin::answering("first").await,
        Origin::answering("second").await,
    );
    let setup = Setup::new();
    let file = setup.folder().join("orders.json");
    fs::write(&file, document(&[first.address()])).expect("a file");
    let config = r#"
[[listener]]
name = "web"
address = "@web"
[[route]]
name = "any"
upstream = "app"
[[upstream]]
name = "app"
[upstream.discovery]
kind = "file"
path = "orders.json"
"#;
    let mut node = setup.start(config).await;
    assert_eq!(node.get("/").await.text(), "first");
    fs::write(&file, document(&[second.address()])).expect("a file");
    let answers = |wanted: &'static str| {
        let node = &node;
        move || async move { (node.get("/").await.text() == wanted).then_some(()) }
    };
    eventually("the second one", answers("second")).await;
    // Neither nonsense nor an empty list takes anything away.
    for nonsense in [
        "{\"endpoints\": [",
        "{\"endpoints\": []}",
        "{\"endpoints\": [\"169.254.169.254:80\"]}",
    ] {
        fs::write(&file, nonsense).expect("a file");
        for _ in 0..3 {
            assert_eq!(node.get("/").await.text(), "second", "{nonsense}");
        }
    }
    let of = [("upstream", "app"), ("source", "file")];
    let refused = || async {
        (node.metric("farmgate_discovery_refused_total", &of).await >= 1.0).then_some(())
    };
    eventually("the refused address is counted", refused).await;
    let change = |how| [("upstream", "app"), ("source", "file"), ("change", how)];
    for (name, labels, value) in [
        ("stale", &of[..], 0.0),
        ("private_thousandths", &of[..], 1000.0),
        ("unsaved_total", &of[..], 0.0),
        ("changes_total", &change("added")[..], 2.0),
        ("changes_total", &change("removed")[..], 1.0),
    ] {
        let name = format!("farmgate_discovery_{name}");
        assert_eq!(node.metric(&name, labels).await, value, "{name} {labels:?}");
    }
    for name in ["age_seconds", "lag_milliseconds"] {
        let value = node
            .metric(&format!("farmgate_discovery_{name}"), &of)
            .await;
        assert!((0.0..30_000.0).contains(&value), "{name} {value}");
    }
    assert!(node.metric("farmgate_discovery_failures_total", &of).await >= 1.0);
    fs::remove_file(&file).expect("gone");
    node.stop().await;
    node.spawn();
    node.ready().await;
    eventually("the kept one", || async {
        (node.get("/").await.text() == "second").then_some(())
    })
    .await;
}
