use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::process::Signal;
use serde_json::json;

use super::*;
use crate::upstream::discovery::dial::PlainDialer;

pub(crate) mod server;

use server::Etcd;

pub(crate) fn options(servers: Vec<Uri>) -> EtcdOptions {
    EtcdOptions {
        servers,
        prefix: "/orders/".to_owned(),
        login: None,
        timeout: Duration::from_secs(2),
        refresh: Duration::from_secs(30),
    }
}

fn source(options: EtcdOptions) -> EtcdSource {
    EtcdSource::new(options, Arc::new(PlainDialer))
}

/// Answers a refused connection at once.
fn dead() -> Uri {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    format!("http://{address}").parse().unwrap()
}

async fn next(source: &mut EtcdSource) -> Result<Vec<String>, String> {
    let said = timeout(Duration::from_secs(60), source.next());
    let said = said.await.expect("nothing is said in a minute");
    let (said, _) = said.map_err(|error| error.to_string())?;
    let mut addresses: Vec<String> = said
        .endpoints
        .iter()
        .map(|f| f.address.to_string())
        .collect();
    addresses.sort();
    Ok(addresses)
}

/// Waits for these addresses; others, and errors, may come before.
async fn reaches(source: &mut EtcdSource, expected: &[&str]) {
    let mut last = Err(String::new());
    for _ in 0..200 {
        last = next(source).await;
        match &last {
            Ok(said) if said == expected => return,
            Ok(_) => {}
            // tidy: waits for a condition
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    panic!("{expected:?} is never said, but {last:?}");
}

#[tokio::test]
async fn keys_come_change_and_go() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/order", "10.9.9.9:1").await;
    etcd.put("/orders0", "10.9.9.9:2").await;
    etcd.put("/orders/a", "10.0.0.1:80").await;
    let mut source = source(options(vec![etcd.url()]));
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    let table = r#"{"address": "10.0.0.2:80", "weight": 5, "priority": 1, "zone": "b"}"#;
    etcd.put("/orders/b", table).await;
    let (said, _) = source.next().await.unwrap();
    let b = said
        .endpoints
        .iter()
        .find(|found| found.weight == 5)
        .unwrap();
    assert_eq!((b.priority, b.zone.as_deref()), (1, Some("b")));
    etcd.put("/orders/a", "10.0.0.3:80").await;
    reaches(&mut source, &["10.0.0.2:80", "10.0.0.3:80"]).await;
    etcd.delete("/orders/b").await;
    reaches(&mut source, &["10.0.0.3:80"]).await;
    etcd.delete("/orders/a").await;
    reaches(&mut source, &[]).await;
}

#[tokio::test]
async fn five_hundred_at_once_are_a_few_answers() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/orders/first", "10.0.0.1:80").await;
    let mut source = source(options(vec![etcd.url()]));
    next(&mut source).await.unwrap();
    // A transaction takes 128 operations.
    for part in 0..5 {
        let put = |n: usize| {
            let (key, value) = (format!("/orders/{part}-{n}"), format!("10.1.{part}.{n}:80"));
            json!({ "requestPut": { "key": BASE64.encode(key), "value": BASE64.encode(value) } })
        };
        let puts: Vec<_> = (0..100).map(put).collect();
        etcd.call("/v3/kv/txn", &json!({ "success": puts }))
            .await
            .unwrap();
    }
    let mut answers = 0;
    loop {
        answers += 1;
        if next(&mut source).await.unwrap().len() == 501 {
            break;
        }
    }
    assert!(answers <= 3, "{answers} answers");
}

#[tokio::test]
async fn nonsense_under_a_key_costs_only_that_key() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/orders/a", "10.0.0.1:80").await;
    etcd.put("/orders/b", "nonsense\n").await;
    let mut source = source(options(vec![etcd.url()]));
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    let why = source.left_out().unwrap();
    assert!(
        why.starts_with("1 values cannot be read, the first of key /orders/b: address"),
        "{why}"
    );
    // A good value stays until the key has another good one, also when all is read anew.
    etcd.put("/orders/a", "{").await;
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    source.watch = None;
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    etcd.put("/orders/a", "10.0.0.2:80").await;
    etcd.delete("/orders/b").await;
    reaches(&mut source, &["10.0.0.2:80"]).await;
    assert_eq!(source.left_out(), None);
    etcd.delete("/orders/a").await;
    etcd.put("/orders/c", "?").await;
    let mut fresh = super::tests::source(options(vec![etcd.url()]));
    let error = next(&mut fresh).await.unwrap_err();
    assert!(error.contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn a_killed_server_is_told_and_taken_up_again() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/orders/a", "10.0.0.1:80").await;
    let mut source = source(options(vec![etcd.url()]));
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    etcd.stop();
    let error = next(&mut source).await.unwrap_err();
    assert!(error.contains("no connection"), "{error}");
    etcd.start_again(None).await;
    etcd.put("/orders/b", "10.0.0.2:80").await;
    reaches(&mut source, &["10.0.0.1:80", "10.0.0.2:80"]).await;
    etcd.put("/orders/c", "10.0.0.3:80").await;
    reaches(&mut source, &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]).await;
}

#[tokio::test]
async fn a_server_that_hangs_is_found_out() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/orders/a", "10.0.0.1:80").await;
    let mut source = source(EtcdOptions {
        refresh: Duration::from_secs(1),
        ..options(vec![etcd.url()])
    });
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    etcd.signal(Signal::STOP);
    let start = Instant::now();
    let error = loop {
        if let Err(error) = next(&mut source).await {
            break error;
        }
    };
    assert!(error.contains("no answer in 2s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
    etcd.signal(Signal::CONT);
    etcd.put("/orders/a", "10.0.0.2:80").await;
    reaches(&mut source, &["10.0.0.2:80"]).await;
}

#[tokio::test]
async fn members_are_tried_in_turn() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/orders/a", "10.0.0.1:80").await;
    let mut source = source(options(vec![dead(), etcd.url()]));
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    let mut nowhere = super::tests::source(options(vec![dead(), dead()]));
    let error = next(&mut nowhere).await.unwrap_err();
    assert_eq!(error.matches("no connection").count(), 2, "{error}");
    let error = next(&mut super::tests::source(options(vec![])))
        .await
        .unwrap_err();
    assert_eq!(error, "no server is configured");
}

#[tokio::test]
async fn a_login_is_used_and_done_again() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    etcd.put("/orders/a", "10.0.0.1:80").await;
    let root = json!({ "name": "root", "password": "s3cret" });
    for (path, body) in [
        ("/v3/auth/user/add", &root),
        ("/v3/auth/role/add", &json!({ "name": "root" })),
        (
            "/v3/auth/user/grant",
            &json!({ "user": "root", "role": "root" }),
        ),
        ("/v3/auth/enable", &json!({})),
    ] {
        etcd.call(path, body).await.unwrap();
    }
    let with = |password: &str| EtcdOptions {
        login: Some(Login {
            user: "root".to_owned(),
            password: password.to_owned(),
        }),
        ..options(vec![etcd.url()])
    };
    let error = next(&mut source(options(vec![etcd.url()])))
        .await
        .unwrap_err();
    assert!(error.contains("user name is empty"), "{error}");
    let error = next(&mut source(with("wr0ng"))).await.unwrap_err();
    assert!(
        error.contains("authentication failed") && !error.contains("wr0ng"),
        "{error}"
    );
    let shown = format!("{:?}", with("s3cret"));
    assert!(
        shown.contains("root") && !shown.contains("s3cret"),
        "{shown}"
    );

    let mut source = source(with("s3cret"));
    assert_eq!(next(&mut source).await.unwrap(), ["10.0.0.1:80"]);
    let token = etcd.call("/v3/auth/authenticate", &root).await.unwrap();
    etcd.token = Some(token["token"].as_str().unwrap().to_owned());
    etcd.put("/orders/a", "10.0.0.2:80").await;
    reaches(&mut source, &["10.0.0.2:80"]).await;
    // A server forgets its tokens when it starts again: the source logs in once more.
    etcd.stop();
    etcd.token = None;
    etcd.start_again(Some(&root)).await;
    etcd.put("/orders/a", "10.0.0.3:80").await;
    reaches(&mut source, &["10.0.0.3:80"]).await;
}

#[tokio::test]
async fn another_server_is_no_etcd() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Uri = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for body in ["{\"token\": 7}", "<html>", "{\"header\": {}}"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream
                .write_all(format!("{head}{body}").as_bytes())
                .await
                .unwrap();
        }
    });
    let mut source = source(options(vec![url]));
    for expected in [
        "no answer of an etcd v3",
        "no answer of an etcd v3",
        "without a revision",
    ] {
        let error = next(&mut source).await.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
