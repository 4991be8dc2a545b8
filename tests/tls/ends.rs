//! How connections end: `close_notify` says that what came is whole (RFC 8446 section 6.1), and nothing else says so.

use super::{WWW, s_client_says};
use crate::harness::authority::Authority;
use crate::harness::{Origin, Setup};

/// What a client is answered that leaves its body unfinished while the origin sends this and goes.
async fn answered(response: &'static str, request: &str) -> (String, bool) {
    let authority = Authority::new("root");
    let origin = Origin::start(move |mut peer| async move {
        let _ = peer.head().await;
        match response {
            "" => peer.gone().await,
            response => peer.send(response).await,
        }
    })
    .await;
    let setup = Setup::new().with("origin", origin.address());
    authority
        .simple(&["www.example.test"])
        .write(setup.folder(), "www");
    let text = format!(
        r#"
[[listener]]
name = "web"
address = "@web"
tls = "edge"
timeouts = {{ body_idle = "1s", header = "1s" }}

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[route]]
name = "all"
upstream = "app"

[[tls]]
name = "edge"
{WWW}
"#
    );
    let node = setup.start(&text).await;
    let said = s_client_says(&node, &[], request).await;
    // OpenSSL 3 takes an end without a word for an error.
    (said.clone(), !said.contains("unexpected eof"))
}

const CUT: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
const WHOLE: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";
const GET: &str = "GET / HTTP/1.0\r\nHost: www.example.test\r\n\r\n";
const UNFINISHED: &str =
    "POST / HTTP/1.0\r\nHost: www.example.test\r\nContent-Length: 10\r\n\r\nabc";

#[tokio::test]
async fn a_response_that_ends_with_the_connection_is_whole_or_seen_to_be_cut() {
    for (response, request, whole) in [
        (WHOLE, GET, true),
        (CUT, GET, false),
        // The client is lingered for, and still must not take it for whole.
        (CUT, UNFINISHED, false),
    ] {
        let (text, said) = answered(response, request).await;
        assert!(text.contains("\r\n\r\nhello"), "{request}: {text}");
        assert_eq!(said, whole, "{request}: {text}");
    }
}

#[tokio::test]
async fn answers_of_our_own_end_with_a_word() {
    for (request, status) in [
        (UNFINISHED, "HTTP/1.1 408"),
        ("GET / HT", "HTTP/1.1 408"),
        ("nonsense\r\n\r\n", "HTTP/1.1 400"),
    ] {
        let (text, said) = answered("", request).await;
        assert!(text.contains(status), "{request}: {text}");
        assert!(said, "{request}: {text}");
    }
}
