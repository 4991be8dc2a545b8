//! Authorities that answer what none should: an attempt fails, is told, and the task lives on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use boring::ssl::{SslAcceptor, SslFiletype, SslMethod};
use farmgate::tls::acme::{AcmeEvent, Asked, Challenge, Stage, settings};

use super::node::{Node, now};
use super::pebble::write_certificates;
use crate::harness::free_address;

/// Answers every request with the same bytes, for as long as the test runs.
fn answer_with(folder: &std::path::Path, answer: Vec<u8>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor
        .set_certificate_chain_file(folder.join("pebble.pem"))
        .unwrap();
    acceptor
        .set_private_key_file(folder.join("pebble.key"), SslFiletype::PEM)
        .unwrap();
    let acceptor = acceptor.build();
    let address = free_address();
    let listener = TcpListener::bind(address).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(mut stream) = acceptor.accept(stream) else {
                continue;
            };
            let mut head = [0; 4_096];
            let length = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            seen.lock().unwrap().push(head);
            let _ = stream.write_all(&answer);
            let _ = stream.shutdown();
        }
    });
    (address, asked)
}

fn response(head: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

/// The first failure of a node at such an authority, and how many seconds it rests.
async fn fails(answer: Vec<u8>) -> (Stage, String, i64, usize) {
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path(), crate::harness::address::own_ip());
    let (address, asked) = answer_with(folder.path(), answer);
    let directory = format!("https://{address}/dir");
    let (ca, storage) = (folder.path().join("ca.pem"), folder.path().join("acme"));
    let asked_for = Asked {
        directory: &directory,
        ca: Some(&ca),
        email: None,
        terms_agreed: true,
        domains: vec!["auto.example.test"],
        challenge: Challenge::Http01,
        storage: &storage,
    };
    let node = Node::start(settings::check(&asked_for).unwrap(), "n1");
    let (stage, message) = node
        .hears("a failure", |event| match event {
            AcmeEvent::Failed { error, .. } => Some((error.stage, error.message.clone())),
            _ => None,
        })
        .await;
    let rest = node.rests().await - now();
    node.stop().await;
    let requests = asked.lock().unwrap().len();
    (stage, message, rest, requests)
}

fn directory(new_nonce: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"newNonce": "{new_nonce}", "newAccount": "https://a.test/", "newOrder": "https://a.test/"}}"#
    );
    response("200 OK", &body)
}

#[tokio::test]
async fn what_is_no_directory_is_no_directory() {
    let empty = b"".to_vec();
    let html = response("200 OK", "<html>");
    let moved = response("301 Moved\r\nLocation: https://127.0.0.1:1/dir", "");
    let noise = b"\x00\x01\x02 no HTTP \r\n\r\n".to_vec();
    for answer in [empty, html, moved, noise] {
        let (stage, message, rest, requests) = fails(answer).await;
        assert_eq!(stage, Stage::Directory, "{message}");
        assert!((50..=70).contains(&rest), "{rest}");
        assert_eq!(requests, 1, "{message}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let (stage, message, _, _) = fails(response("200 OK", &"x".repeat(2 << 20))).await;
    assert_eq!(stage, Stage::Directory);
    assert!(message.contains("length limit exceeded"), "{message}");
}

#[tokio::test]
async fn urls_that_are_none_or_not_https_are_not_asked() {
    let (_, message, rest, requests) = fails(directory("http://127.0.0.1:1/nonce")).await;
    assert!(message.contains("not https"), "{message}");
    assert!((50..=70).contains(&rest), "{rest}");
    assert_eq!(requests, 1);
    // The client library panics here; the task does not.
    let (stage, message, rest, _) = fails(directory("no url at all")).await;
    assert_eq!(stage, Stage::Order);
    assert!(message.contains("cannot be understood"), "{message}");
    assert!((50..=70).contains(&rest), "{rest}");
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_kept() {
    let busy = response("503 Busy\r\nRetry-After: 7200", "later");
    let (stage, message, rest, _) = fails(busy).await;
    assert_eq!(stage, Stage::Directory, "{message}");
    assert!((7_190..=7_930).contains(&rest), "{rest}");
    let never = response("503 Busy\r\nRetry-After: 99999999999999999999", "later");
    let (_, _, rest, _) = fails(never).await;
    assert!((50..=70).contains(&rest), "{rest}");
}
