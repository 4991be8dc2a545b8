//! Why an HTTP/2 connection with a client ended: a closed set, and the one table behind metrics and documents.

use super::closed_set::closed_set;

closed_set! {
    /// Why an HTTP/2 connection with a client ended.
    H2End {
        /// True if the client did what nobody honest does: worth a line in the event log.
        is_abuse: bool,
        /// The code of the GOAWAY that the client is sent; empty: none is sent.
        code: &'static str,
    }
    Closed "closed" "The client closed the connection, or it was lost." false "";
    Idle "idle" "No request for `timeouts.keepalive`." false "NO_ERROR";
    MaxAge "max_age" "Older than `timeouts.max_age`." false "NO_ERROR";
    Drain "drain" "The listener or the node goes." false "NO_ERROR";
    Overload "overload" "A request was turned away since memory or open files are short." false "NO_ERROR";
    Preface "preface" "What came is no HTTP/2, or its beginning took longer than `timeouts.header`." false "";
    Stalled "stalled" "The client took no byte for `timeouts.body_idle`." false "";
    RapidReset "rapid_reset" "The client took back more requests than `h2.resets` allows (CVE-2023-44487)." true "ENHANCE_YOUR_CALM";
    MadeYouReset "made_you_reset" "The client made us reset more streams than `h2.resets` allows (CVE-2025-8671)." true "ENHANCE_YOUR_CALM";
    ControlFlood "control_flood" "More frames that move no request on than `h2.control_frames` allows." true "ENHANCE_YOUR_CALM";
    ContinuationFlood "continuation_flood" "A head in more CONTINUATION frames than `limits.header_bytes` needs." true "ENHANCE_YOUR_CALM";
    HeaderList "header_list" "A head that is, unpacked, many times `limits.header_bytes`." true "ENHANCE_YOUR_CALM";
    DataFlood "data_flood" "Too many small or empty DATA frames waiting to be read." true "ENHANCE_YOUR_CALM";
    Malformed "malformed" "More malformed requests than `h2.resets` allows." true "ENHANCE_YOUR_CALM";
    Window "window" "The client sent more than a window allows, or opened one too far." true "FLOW_CONTROL_ERROR";
    Compression "compression" "A head that cannot be unpacked (RFC 7541)." true "COMPRESSION_ERROR";
    FrameSize "frame_size" "A frame longer than 16 KiB, or of the wrong length." true "FRAME_SIZE_ERROR";
    Protocol "protocol" "The client broke the rules of HTTP/2 in another way." true "PROTOCOL_ERROR";
}

/// The table as Markdown, for the generated reference.
pub fn h2_ends_markdown() -> String {
    let mut out = String::from("| reason | the client is told | meaning |\n|---|---|---|\n");
    for end in H2End::ALL {
        let told = match end.code() {
            "" => "-".to_owned(),
            code => format!("GOAWAY `{code}`"),
        };
        out.push_str(&format!("| `{end}` | {told} | {} |\n", end.help()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_token_agree() {
        for (index, end) in H2End::ALL.iter().enumerate() {
            assert_eq!(end.index(), index);
            assert_eq!(H2End::TOKENS[index], end.as_str());
            assert!(!end.is_abuse() || !end.code().is_empty(), "{end}");
        }
        assert_eq!(h2_ends_markdown().lines().count(), H2End::ALL.len() + 2);
    }
}
