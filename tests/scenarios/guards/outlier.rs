//! An endpoint that fails requests is left out, and comes back.

use super::{node, status, upstream};
use crate::harness::{Origin, eventually, free_address};

#[tokio::test]
async fn answers_of_500_in_a_row_eject() {
    let bad = status(500, "", "bad").await;
    let goods = [
        Origin::answering("good").await,
        Origin::answering("good").await,
    ];
    let words = "outlier = { consecutive_5xx = 3, base_ejection = \"1s\" }";
    let endpoints = [bad.address(), goods[0].address(), goods[1].address()];
    let node = node(&endpoints, words).await;
    let mut client = node.client().await;
    let mut errors = 0;
    for _ in 0..30 {
        errors += usize::from(client.get("/").await.status == 500);
    }
    assert_eq!(errors, 3);
    let told = upstream(&node).await;
    assert_eq!(told["endpoints"][0]["state"], "ejected", "{told}");
    let labels = [("upstream", "app"), ("why", "consecutive_5xx")];
    assert_eq!(
        node.metric("farmgate_upstream_ejections_total", &labels)
            .await,
        1.0
    );
    eventually("it comes back", || async {
        let told = upstream(&node).await;
        (told["endpoints"][0]["state"] == "available").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_last_one_is_never_left_out() {
    let words = "outlier = { consecutive_connect_failures = 1 }\nretry = { attempts = 1 }";
    let node = node(&[free_address()], words).await;
    for _ in 0..5 {
        assert_eq!(
            node.get("/").await.json()["detail"],
            "upstream_connect_refused"
        );
    }
    assert_eq!(upstream(&node).await["endpoints"][0]["state"], "available");
}
