//! Active checks take an endpoint out before a request meets it, and bring it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::{node, upstream};
use crate::harness::{Origin, Peer, eventually};

#[tokio::test]
async fn an_endpoint_goes_and_comes_with_its_checks() {
    let status = Arc::new(AtomicU16::new(200));
    let told = Arc::clone(&status);
    let ill = Origin::start(move |mut peer: Peer| {
        let told = Arc::clone(&told);
        async move {
            while let Some(seen) = peer.request().await {
                match seen.target() {
                    "/healthz" => {
                        peer.answer(told.load(Ordering::SeqCst), "", "all is ok")
                            .await
                    }
                    _ => peer.answer(200, "", "ill").await,
                }
            }
        }
    })
    .await;
    let well = Origin::start(|mut peer: Peer| async move {
        while peer.request().await.is_some() {
            peer.answer(200, "", "ok, well").await;
        }
    })
    .await;
    let words = "panic_threshold = \"0%\"\n[upstream.health]\nkind = \"http\"\npath = \"/healthz\"\ninterval = \"100ms\"\n\
                 timeout = \"100ms\"\nrise = 2\nfall = 2\nexpect = { status = [\"200-299\"], body = \"ok\" }\n";
    let node = node(&[ill.address(), well.address()], words).await;
    let state = |wanted: &'static str| {
        let node = &node;
        move || async move {
            let told = upstream(node).await;
            (told["endpoints"][0]["health"]["phase"] == wanted).then_some(())
        }
    };
    eventually("it is up", state("up")).await;
    status.store(500, Ordering::SeqCst);
    eventually("it is down", state("down")).await;
    for _ in 0..6 {
        assert_eq!(node.get("/").await.text(), "ok, well");
    }
    let error = &upstream(&node).await["endpoints"][0]["health"]["error"];
    assert!(
        error["text"]
            .as_str()
            .is_some_and(|text| text.contains("500")),
        "{error}"
    );
    status.store(200, Ordering::SeqCst);
    eventually("it is back", state("up")).await;
    eventually("it serves", || async {
        (node.get("/").await.text() == "ill").then_some(())
    })
    .await;
}
