//! Active checks take an endpoint out before a request meets it, and bring it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::{node, upstream};
use crate::harness::authority::Authority;
use crate::harness::tls_origin::{Front, Rules};
use crate::harness::{Origin, Peer, Setup, eventually};

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

/// Waits until the checks say this of an endpoint.
async fn phase(node: &crate::harness::Node, place: usize, wanted: &str) -> serde_json::Value {
    eventually(&format!("endpoint {place} is {wanted}"), || async {
        let health = upstream(node).await["endpoints"][place]["health"].clone();
        (health["phase"] == wanted).then_some(health)
    })
    .await
}

/// Answers checks with these bytes and ends the connection, and everything else with this body.
async fn checked(health: &'static str, body: &'static str) -> Origin {
    Origin::start(move |mut peer: Peer| async move {
        while let Some(seen) = peer.request().await {
            if seen.target() == "/healthz" {
                return peer.send(health).await;
            }
            peer.answer(200, "", body).await;
        }
    })
    .await
}

const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

#[tokio::test]
async fn half_an_answer_is_a_bad_one_and_traffic_goes_on() {
    for half in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        "HTTP/1.1 200 OK\r\nContent-",
        "",
    ] {
        let (ill, well) = (checked(half, "ill").await, checked(WELL, "well").await);
        let words = "panic_threshold = \"0%\"\n[upstream.health]\nkind = \"http\"\npath = \"/healthz\"\n\
                     interval = \"500ms\"\ntimeout = \"500ms\"\nrise = 1\nfall = 2\nexpect = { body = \"ok\" }\n";
        let node = node(&[ill.address(), well.address()], words).await;
        let health = phase(&node, 0, "down").await;
        assert!(health["error"]["text"].is_string(), "{half:?}: {health}");
        phase(&node, 1, "up").await;
        for _ in 0..6 {
            assert_eq!(node.get("/").await.text(), "well", "{half:?}");
        }
    }
}

#[tokio::test]
async fn checks_go_over_the_upstreams_tls_and_believe_whom_it_believes() {
    let authority = Authority::new("an authority");
    let origin = checked(WELL, "well").await;
    let good = authority.simple(&["app.internal.test"]);
    let stranger = Authority::new("a stranger").simple(&["app.internal.test"]);
    let good = Front::start(Rules::of(&good), origin.address()).await;
    let lying = Front::start(Rules::of(&stranger), origin.address()).await;
    let words = "panic_threshold = \"0%\"\n[upstream.tls]\nsni = \"app.internal.test\"\nca = \"ca.pem\"\n\
                 [upstream.health]\nkind = \"http\"\npath = \"/healthz\"\ninterval = \"500ms\"\n\
                 timeout = \"500ms\"\nrise = 1\nfall = 2\nexpect = { body = \"ok\" }\n";
    let setup = Setup::new();
    std::fs::write(setup.folder().join("ca.pem"), authority.pem()).expect("write");
    let config = super::config(&[lying.address(), good.address()], words);
    let node = setup.start(&config).await;
    let health = phase(&node, 0, "down").await;
    assert_eq!(health["error"]["kind"], "tls", "{health}");
    phase(&node, 1, "up").await;
    assert!(good.shaken() > 0);
    for _ in 0..6 {
        assert_eq!(node.get("/").await.text(), "well");
    }
    assert!(
        lying.accepted() > 0 && lying.bytes() == 0,
        "nothing is asked of a stranger"
    );
}
