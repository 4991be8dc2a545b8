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
    fs::remove_file(&file).expect("gone");
    node.stop().await;
    node.spawn();
    node.ready().await;
    eventually("the kept one", || async {
        (node.get("/").await.text() == "second").then_some(())
    })
    .await;
}
