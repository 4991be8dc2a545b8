//! Frames that move no request on.

use super::{Over, Stand};
use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, HEADERS, PING,
    PRIORITY, SETTINGS, block, frame, open_window, post,
};

/// What is sent, for the 0th, 1st, 2nd time, and the reason the connection is ended for.
type Flood = (&'static str, fn(u32) -> Vec<u8>, &'static str);

const FLOODS: &[Flood] = &[
    ("SETTINGS", |_| frame(SETTINGS, 0, 0, &[]), "control_flood"),
    (
        "SETTINGS that move windows",
        |n| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, (n % 2) as u8]),
        "control_flood",
    ),
    ("PING", |_| frame(PING, 0, 0, &[7; 8]), "control_flood"),
    (
        "PRIORITY",
        |n| frame(PRIORITY, 0, 2 * n + 3, &[0, 0, 0, 1, 16]),
        "control_flood",
    ),
    (
        "PRIORITY_UPDATE",
        |_| frame(16, 0, 0, b"\x00\x00\x00\x01u=1"),
        "control_flood",
    ),
    ("WINDOW_UPDATE", |_| open_window(0, 1), "control_flood"),
    // The engine allows a hundred in a connection's life.
    (
        "empty DATA",
        |n| match n {
            0 => post(1, "/hold"),
            _ => frame(DATA, 0, 1, &[]),
        },
        "data_flood",
    ),
    (
        "padding without DATA",
        |n| match n {
            0 => post(1, "/hold"),
            _ => frame(DATA, 8, 1, &[3, 0, 0, 0]),
        },
        "data_flood",
    ),
    (
        "heads in crumbs",
        |n| {
            let stream = 2 * n + 1;
            let mut out = frame(HEADERS, END_STREAM, stream, &block("GET", "/here"));
            for _ in 0..4 {
                out.extend(frame(CONTINUATION, 0, stream, &[]));
            }
            out.extend(frame(CONTINUATION, END_HEADERS, stream, &[]));
            out
        },
        "control_flood",
    ),
];

async fn flood(over: Over) {
    for (name, turn, reason) in FLOODS {
        let stand = Stand::new("").await;
        println!("{over:?}: {name}");
        let heard = stand
            .meanwhile(over, async {
                let mut client = stand.frames(over).await;
                client.flood(200_000, turn).await;
                client.ended().await
            })
            .await;
        stand
            .was_ended(over, &heard, ENHANCE_YOUR_CALM, reason)
            .await;
    }
}

#[tokio::test]
async fn floods() {
    flood(Over::Plain).await;
}

#[tokio::test]
async fn floods_over_tls() {
    flood(Over::Tls).await;
}

/// Who does not read the answers makes us keep none of them.
#[tokio::test]
async fn answers_that_nobody_reads() {
    // The budget is out of the way: what is left is what a client can make us keep.
    let words = "h2 = { control_frames = { rate = 10000000, per = \"1s\" }, resets = { rate = 10000000, per = \"1s\" } }\n\
                 timeouts = { body_idle = \"1s\" }";
    let stand = Stand::new(words).await;
    for (over, name, turn) in [
        (
            Over::Plain,
            "PING",
            (|_| frame(PING, 0, 0, &[7; 8])) as fn(u32) -> Vec<u8>,
        ),
        (Over::Tls, "PING", |_| frame(PING, 0, 0, &[7; 8])),
        // Each stream is answered by RST_STREAM: refused, or for its own fault.
        (Over::Plain, "requests", |n| post(2 * n + 1, "/hold")),
        (Over::Tls, "resets", |n| {
            let mut head = block("GET", "/hold");
            head.extend(b"\x00\x0aconnection\x05close");
            frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &head)
        }),
    ] {
        let stalled = stand.ends(over, "stalled").await;
        stand
            .meanwhile(over, async {
                let mut client = Frames::deaf(stand.wire(over).await, &[]).await;
                // Until neither side takes anything any more, and the node gives up.
                client.flood(1_000_000, turn).await;
                let labels = [("listener", over.listener()), ("reason", "stalled")];
                stand
                    .node
                    .metric_is(super::ENDED, &labels, stalled + 1.0)
                    .await;
            })
            .await;
        stand.stays_small(name);
    }
}
