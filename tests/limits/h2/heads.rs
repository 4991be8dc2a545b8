//! Heads that are too long, packed or unpacked.

use super::{Over, Stand};
use crate::harness::frames::{
    COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR, HEADERS, block, frame, get,
};

#[tokio::test]
async fn a_head_that_never_ends() {
    let stand = Stand::new("").await;
    for over in Over::BOTH {
        let heard = stand
            .meanwhile(over, async {
                let mut client = stand.frames(over).await;
                let head = frame(HEADERS, END_STREAM, 1, &block("GET", "/here"));
                client.send(&head).await;
                // A field a frame: x: y, and it is remembered.
                client
                    .flood(100_000, |_| frame(CONTINUATION, 0, 1, b"\x40\x01x\x01y"))
                    .await;
                client.ended().await
            })
            .await;
        stand
            .was_ended(over, &heard, ENHANCE_YOUR_CALM, "continuation_flood")
            .await;
    }
}

#[tokio::test]
async fn a_head_that_unpacks_to_megabytes() {
    let stand = Stand::new("").await;
    for over in Over::BOTH {
        let heard = stand
            .meanwhile(over, async {
                let mut client = stand.frames(over).await;
                // 4,000 bytes are remembered under index 62, and then named ten thousand times.
                let mut head = block("GET", "/here");
                head.extend(b"\x40\x01x\x7f");
                let length = 4000 - 127;
                head.extend([0x80 | (length & 0x7f) as u8, (length >> 7) as u8]);
                head.extend(vec![b'y'; 4000]);
                head.extend(vec![0x80 | 62; 10_000]);
                client
                    .send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head))
                    .await;
                client.ended().await
            })
            .await;
        stand
            .was_ended(over, &heard, ENHANCE_YOUR_CALM, "header_list")
            .await;
    }
}

#[tokio::test]
async fn a_head_over_the_limit_is_a_431_and_the_connection_goes_on() {
    let stand = Stand::new("limits = { header_bytes = \"4KiB\", uri_bytes = \"1KiB\" }").await;
    for over in Over::BOTH {
        let mut client = stand.frames(over).await;
        let mut head = block("GET", "/here");
        for _ in 0..20 {
            head.extend(b"\x00\x01x\x7f\x91\x02");
            head.extend(vec![b'y'; 127 + 0x111]);
        }
        client
            .send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head))
            .await;
        client.until("a 431", |heard| heard.heads == 1).await;
        client.send(&get(3, "/here")).await;
        let heard = client
            .until("the next answer", |heard| heard.answered == 2)
            .await;
        assert!(heard.goaways.is_empty(), "{heard:?}");
        assert_eq!(heard.data_bytes, "hello".len());
    }
}

#[tokio::test]
async fn what_cannot_be_unpacked_and_what_is_too_long() {
    let stand = Stand::new("").await;
    for over in Over::BOTH {
        let mut client = stand.frames(over).await;
        // An index that nothing stands under.
        let head = frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            1,
            &[0xff, 0xff, 0xff, 0x7f],
        );
        client.send(&head).await;
        let heard = client.ended().await;
        let code = heard.code().expect("a GOAWAY");
        // The engine calls it either; both end the connection.
        let reason = match code {
            COMPRESSION_ERROR => "compression",
            _ => "protocol",
        };
        stand.was_ended(over, &heard, code, reason).await;
        let mut client = stand.frames(over).await;
        client.send(&frame(DATA, 0, 1, &[0; 17_000])).await;
        let heard = client.ended().await;
        stand
            .was_ended(over, &heard, FRAME_SIZE_ERROR, "frame_size")
            .await;
    }
}
