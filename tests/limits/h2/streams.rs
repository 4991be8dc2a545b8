//! Streams over the limit, and what is kept for clients that do not read.

use tokio::io::AsyncWriteExt;

use super::{ENDED, Over, Stand};
use crate::harness::frames::{ENHANCE_YOUR_CALM, Frames, REFUSED_STREAM, get, open_window};
use crate::harness::{Origin, Peer};

/// What the engine holds of a hundred responses that nobody takes: for each a few pieces of 64 KiB on their way.
const A_HUNDRED: u64 = 80 * 1024 * 1024;
/// SETTINGS_INITIAL_WINDOW_SIZE.
const WINDOW: u16 = 4;

#[tokio::test]
async fn streams_over_the_limit_are_refused_and_too_many_end_the_connection() {
    let stand = Stand::new("limits = { streams = 4 }").await;
    for over in Over::BOTH {
        let before = stand.origin.seen().len();
        let mut client = stand.frames(over).await;
        client.flood(54, |n| get(2 * n + 1, "/hold")).await;
        let refused = |heard: &crate::harness::frames::Heard| {
            heard.resets.get(&REFUSED_STREAM).copied().unwrap_or(0)
        };
        let heard = client
            .until("fifty refusals", |heard| refused(heard) == 50)
            .await;
        assert!(heard.goaways.is_empty());
        let heard = stand
            .meanwhile(over, async {
                client.flood(10_000, |n| get(2 * n + 201, "/hold")).await;
                client.ended().await
            })
            .await;
        // As many as are allowed, and those that were read with them.
        assert!((900..2100).contains(&refused(&heard)), "{heard:?}");
        stand
            .was_ended(over, &heard, ENHANCE_YOUR_CALM, "control_flood")
            .await;
        let seen = stand.origin.seen();
        let held = seen[before..].iter().filter(|one| one.target() == "/hold");
        assert!(held.count() <= 4);
    }
}

/// Answers with 50 MB.
async fn huge() -> Origin {
    Origin::start(|mut peer: Peer| async move {
        while let Some(seen) = peer.request().await {
            if seen.target() != "/huge" {
                peer.answer(200, "", "ok").await;
                continue;
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
                .await;
            let piece = vec![b'x'; 50_000];
            for _ in 0..1000 {
                if peer.stream.write_all(&piece).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_client_without_a_window_costs_little_and_not_for_long() {
    let stand = Stand::before(huge().await, "timeouts = { body_idle = \"1s\" }").await;
    for over in Over::BOTH {
        stand
            .meanwhile(over, async {
                let wire = stand.wire(over).await;
                let mut client = Frames::open(wire, &[(WINDOW, 0)]).await;
                client.flood(100, |n| get(2 * n + 1, "/huge")).await;
                let all = |heard: &crate::harness::frames::Heard| heard.heads == 100;
                client.until("a hundred heads", all).await;
                stand.stays_within(A_HUNDRED, "no window");
                // Each is given up when nothing was taken of it.
                let given_up = |heard: &crate::harness::frames::Heard| {
                    heard.resets.values().sum::<usize>() == 100
                };
                let heard = client.until("a hundred resets", given_up).await;
                assert_eq!(heard.data_bytes, 0);
                assert!(heard.goaways.is_empty(), "{heard:?}");
            })
            .await;
    }
}

#[tokio::test]
async fn a_client_that_opens_all_windows_and_reads_nothing() {
    let stand = Stand::before(huge().await, "timeouts = { body_idle = \"2s\" }").await;
    for over in Over::BOTH {
        stand
            .meanwhile(over, async {
                let wire = stand.wire(over).await;
                let mut client = Frames::deaf(wire, &[(WINDOW, (1 << 31) - 1)]).await;
                client.send(&open_window(0, (1 << 31) - 100_000)).await;
                client.flood(128, |n| get(2 * n + 1, "/huge")).await;
                tokio::time::timeout(crate::harness::SOON, async {
                    let labels = [("listener", over.listener()), ("reason", "stalled")];
                    while stand.node.metric(ENDED, &labels).await < 1.0 {
                        stand.stays_within(A_HUNDRED * 128 / 100 + 128 * 64 * 1024, "all windows");
                    }
                })
                .await
                .expect("given up in time");
            })
            .await;
    }
}
