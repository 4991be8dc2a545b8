//! Streams that are reset: by the client, and by us because of the client.

use super::{Over, Stand};
use crate::harness::frames::{
    CANCEL, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, HEADERS, Heard,
    PRIORITY, PROTOCOL_ERROR, block, frame, get, open_window, post, reset,
};

#[tokio::test]
async fn rapid_reset() {
    let stand = Stand::new("").await;
    for (over, path) in [(Over::Plain, "/hold"), (Over::Tls, "/hold")] {
        let before = stand.origin.seen().len();
        let heard = stand
            .meanwhile(over, async {
                let mut client = stand.frames(over).await;
                let turn = |n| [get(2 * n + 1, path), reset(2 * n + 1, CANCEL)].concat();
                client.flood(100_000, turn).await;
                client.ended().await
            })
            .await;
        stand
            .was_ended(over, &heard, ENHANCE_YOUR_CALM, "rapid_reset")
            .await;
        let seen = stand.origin.seen();
        let held = seen[before..].iter().filter(|one| one.target() == path);
        assert!(held.count() <= 110, "the origin is spared");
    }
}

#[tokio::test]
async fn rapid_reset_of_what_is_answered_at_once() {
    let stand = Stand::new("h2 = { resets = { rate = 50, per = \"1m\" } }").await;
    let mut client = stand.frames(Over::Plain).await;
    let turn = |n| [get(2 * n + 1, "/here"), reset(2 * n + 1, CANCEL)].concat();
    client.flood(100_000, turn).await;
    let heard = client.ended().await;
    stand
        .was_ended(Over::Plain, &heard, ENHANCE_YOUR_CALM, "rapid_reset")
        .await;
}

/// How streams can make a server reset them, what is sent for the stream, and how the first answer looks: a reset of
/// the stream with this code, or the end of the connection with this code and reason.
enum Answer {
    Reset(u32),
    End(u32, &'static str),
}

type Variant = (&'static str, fn(u32) -> Vec<u8>, Answer);

const VARIANTS: &[Variant] = &[
    (
        "a window opened too far",
        |stream| {
            let open = open_window(stream, (1 << 31) - 1);
            [get(stream, "/hold"), open].concat()
        },
        Answer::Reset(FLOW_CONTROL_ERROR),
    ),
    (
        "trailers that end nothing",
        |stream| {
            let trailers = frame(HEADERS, END_HEADERS, stream, &[]);
            [post(stream, "/hold"), trailers].concat()
        },
        Answer::Reset(PROTOCOL_ERROR),
    ),
    (
        "PRIORITY on itself",
        |stream| {
            let mut on_itself = stream.to_be_bytes().to_vec();
            on_itself.push(16);
            [get(stream, "/hold"), frame(PRIORITY, 0, stream, &on_itself)].concat()
        },
        Answer::Reset(PROTOCOL_ERROR),
    ),
    (
        "more than its length",
        |stream| {
            let mut head = block("POST", "/hold");
            // content-length: 1
            head.extend([0x0f, 0x0d, 1, b'1']);
            let head = frame(HEADERS, END_HEADERS, stream, &head);
            [head, frame(DATA, 0, stream, b"two")].concat()
        },
        Answer::Reset(PROTOCOL_ERROR),
    ),
    (
        "a field of a connection",
        |stream| {
            let mut head = block("GET", "/hold");
            head.extend(b"\x00\x0aconnection\x05close");
            frame(HEADERS, END_STREAM | END_HEADERS, stream, &head)
        },
        Answer::Reset(PROTOCOL_ERROR),
    ),
    (
        "a window opened by nothing",
        |stream| [get(stream, "/hold"), open_window(stream, 0)].concat(),
        Answer::End(PROTOCOL_ERROR, "protocol"),
    ),
    (
        "the connection's window opened too far",
        |_| open_window(0, (1 << 31) - 1),
        Answer::End(FLOW_CONTROL_ERROR, "window"),
    ),
    (
        "DATA after the end",
        |stream| [get(stream, "/hold"), frame(DATA, 0, stream, b"more")].concat(),
        Answer::End(PROTOCOL_ERROR, "protocol"),
    ),
    (
        "a head after the end",
        |stream| [get(stream, "/hold"), get(stream, "/hold")].concat(),
        Answer::End(PROTOCOL_ERROR, "protocol"),
    ),
];

async fn made_to_reset(over: Over) {
    for (name, turn, answer) in VARIANTS {
        // None is refused, so that each is reset.
        let stand = Stand::new("limits = { streams = 5000 }").await;
        println!("{over:?}: {name}");
        let heard: Heard = stand
            .meanwhile(over, async {
                let mut client = stand.frames(over).await;
                client.flood(20_000, |n| turn(2 * n + 1)).await;
                client.ended().await
            })
            .await;
        match answer {
            Answer::Reset(code) => {
                let sent = heard.resets.get(code).copied().unwrap_or_default();
                // As many as are allowed, and those that were read with them.
                assert!((90..=1200).contains(&sent), "{name}: {heard:?}");
                stand
                    .was_ended(over, &heard, ENHANCE_YOUR_CALM, "made_you_reset")
                    .await;
            }
            Answer::End(code, reason) => {
                stand.was_ended(over, &heard, *code, reason).await;
            }
        }
        assert!(stand.origin.seen().len() < 300, "{name}");
    }
}

#[tokio::test]
async fn made_you_reset() {
    made_to_reset(Over::Plain).await;
}

#[tokio::test]
async fn made_you_reset_over_tls() {
    made_to_reset(Over::Tls).await;
}

#[tokio::test]
async fn malformed_requests_are_answered_until_they_are_too_many() {
    let stand = Stand::new("").await;
    for over in Over::BOTH {
        let mut client = stand.frames(over).await;
        // Host and :authority disagree: answered 400 by the engine, and logged.
        let turn = |n: u32| {
            let mut head = block("GET", "/odd");
            head.extend(b"\x00\x04host\x06b.test");
            frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &head)
        };
        client.flood(10, turn).await;
        let heard = client.until("ten answers", |heard| heard.heads == 10).await;
        assert!(heard.goaways.is_empty());
        let rejected = [("listener", over.listener()), ("reason", "bad_request")];
        let name = "farmgate_requests_rejected_total";
        stand.node.metric_is(name, &rejected, 10.0).await;
        client.flood(10_000, |n| turn(n + 10)).await;
        let heard = client.ended().await;
        stand
            .was_ended(over, &heard, ENHANCE_YOUR_CALM, "malformed")
            .await;
    }
}
