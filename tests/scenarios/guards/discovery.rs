//! Endpoints that are discovered: they come, change, and stay when the source is gone, over a restart too.

use std::fs;
use std::net::SocketAddr;

use crate::harness::{Origin, Setup, eventually};

pub(super) fn document(endpoints: &[SocketAddr]) -> String {
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
    let shown = node.run(&["status"]).await.expect(0).text();
    let source = shown.lines().find(|line| line.contains("from file"));
    assert!(
        source.is_some_and(|line| line.ends_with(" s ago)")),
        "{shown}"
    );
    // Neither nonsense nor an empty list takes anything away.
    for nonsense in [
        "{\"endpoints\": [",
        "{\"endpoints\": []}",
        "{\"endpoints\": [{\"address\": \"127.0.0.1:1\", \"weight\": 0}]}",
        "{\"endpoints\": [\"169.254.169.254:80\"]}",
    ] {
        let error = || async { super::upstream(&node).await["discovery"]["error"].clone() };
        let before = error().await;
        fs::write(&file, nonsense).expect("a file");
        eventually(nonsense, || async {
            let error = error().await;
            (error.is_string() && error != before).then_some(())
        })
        .await;
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
    assert_eq!(node.get("/asked").await.status, 200);
    let line = node.log.of("/asked").await;
    let id = line["request_id"].as_str().expect("an id").to_owned();
    let told = node.run(&["explain", &id]).await.expect(0).text();
    let line = told.lines().find(|line| line.contains("orders.json"));
    let line = line.unwrap_or_else(|| panic!("{told}"));
    assert!(
        line.contains("(source, ") && line.contains(&second.address().to_string()),
        "{line}"
    );
    fs::remove_file(&file).expect("gone");
    node.stop().await;
    // The same without a node: what the next one will begin with.
    let config = node.config().to_str().expect("UTF-8").to_owned();
    let offline = ["explain", "--config", &config, "http://a.test/"];
    let told = node.run(&offline).await.expect(0).text();
    let line = told.lines().find(|line| line.contains("orders.json"));
    let line = line.unwrap_or_else(|| panic!("{told}"));
    assert!(
        line.contains("(kept, ") && line.contains(&second.address().to_string()),
        "{line}"
    );
    let json = node
        .run(&[&offline[..], &["--json"]].concat())
        .await
        .expect(0)
        .json();
    assert_eq!(json["endpoints"][0]["upstream"], "app");
    assert_eq!(json["endpoints"][0]["stale"], false);
    node.spawn();
    node.ready().await;
    eventually("the kept one", || async {
        (node.get("/").await.text() == "second").then_some(())
    })
    .await;
}
