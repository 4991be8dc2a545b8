//! Connections that are idle, or old.

use std::time::{Duration, Instant};

use super::{ENDED, Over, Stand};
use crate::harness::frames::{Heard, NO_ERROR, get};
use crate::harness::{Client, about};

#[tokio::test]
async fn an_idle_connection_is_told_and_then_closed() {
    let stand = Stand::new("timeouts = { keepalive = \"500ms\" }").await;
    for over in Over::BOTH {
        let mut client = stand.frames(over).await;
        client.send(&get(1, "/here")).await;
        client.until("an answer", |heard| heard.answered == 1).await;
        let begun = Instant::now();
        let heard = client
            .until("a GOAWAY", |heard| !heard.goaways.is_empty())
            .await;
        about(begun.elapsed(), Duration::from_millis(500), "idle");
        assert_eq!(heard.code(), Some(NO_ERROR));
        // This client takes no note of it.
        let heard = client.ended().await;
        assert!(heard.goaways.iter().all(|(code, _)| *code == NO_ERROR));
        assert!(stand.ends(over, "idle").await >= 1.0);
    }
}

#[tokio::test]
async fn an_old_connection_finishes_what_is_under_way() {
    let stand = Stand::new("timeouts = { max_age = \"1s\" }").await;
    for over in Over::BOTH {
        let begun = Instant::now();
        let mut client = stand.frames(over).await;
        // Always busy: it is never idle.
        let mut stream = 1;
        while client.heard().goaways.is_empty() {
            client.send(&get(stream, "/here")).await;
            let answers = usize::try_from(stream.div_ceil(2)).expect("a count");
            client
                .until("an answer", |heard| heard.answered == answers)
                .await;
            stream += 2;
        }
        about(begun.elapsed(), Duration::from_secs(1), "the age");
        assert_eq!(client.heard().code(), Some(NO_ERROR));
        // What crosses the GOAWAY on its way is still answered.
        let answered = client.heard().answered;
        client.send(&get(stream, "/there")).await;
        client
            .until("the last answer", |heard| heard.answered == answered + 1)
            .await;
        // And who takes no note of it at all is refused, and closed in the end.
        let answers = |heard: &Heard| heard.answered + heard.resets.values().sum::<usize>();
        loop {
            stream += 2;
            let before = answers(&client.heard());
            client.send(&get(stream, "/here")).await;
            let heard = client
                .until("an answer or the end", |heard| {
                    heard.ended || answers(heard) > before
                })
                .await;
            if heard.ended {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(12), "never closed");
        }
        let labels = [("listener", over.listener()), ("reason", "max_age")];
        stand.node.metric_is(ENDED, &labels, 1.0).await;
    }
}

#[tokio::test]
async fn a_library_leaves_an_old_connection_without_an_error() {
    let stand = Stand::new("timeouts = { max_age = \"300ms\" }").await;
    let stream = tokio::net::TcpStream::connect(stand.node.at("plain")).await;
    let made = h2::client::handshake(stream.expect("connect")).await;
    let (sender, connection) = made.expect("handshake");
    let begun = Instant::now();
    let ended = crate::harness::soon("the end", connection).await;
    assert!(ended.is_ok(), "{ended:?}");
    about(begun.elapsed(), Duration::from_millis(300), "the age");
    drop(sender);
}

#[tokio::test]
async fn an_old_http1_connection_is_closed_after_an_answer() {
    let stand = Stand::new("timeouts = { max_age = \"500ms\" }").await;
    let mut client = Client::connect(stand.node.at("plain")).await;
    let begun = Instant::now();
    loop {
        let answer = client
            .ask("GET /here HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await;
        assert_eq!(answer.status, 200);
        if answer.header("connection") == Some("close") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "never closed");
    }
    about(begun.elapsed(), Duration::from_millis(500), "the age");
    client.closes_within(Duration::from_secs(3)).await;
}
