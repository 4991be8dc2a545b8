//! Why an HTTP/2 connection with a client ended: a closed set, and the one table behind metrics and documents.

macro_rules! ends {
    ($($name:ident $token:literal $abuse:literal $code:literal $help:literal;)*) => {
        /// Why an HTTP/2 connection with a client ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum H2End { $(#[doc = $help] $name,)* }

        impl H2End {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// The token of each, by index: the values of the metric label `reason`.
            pub const TOKENS: &'static [&'static str] = &[$($token,)*];

            /// The place in `ALL` and `TOKENS`.
            pub const fn index(self) -> usize {
                self as usize
            }

            /// The token, as `rapid_reset`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $token,)* }
            }

            /// True if the client did what nobody honest does: worth a line in the event log.
            pub const fn is_abuse(self) -> bool {
                match self { $(Self::$name => $abuse,)* }
            }

            /// The code of the GOAWAY that the client is sent; empty: none is sent.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// One sentence for people.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)* }
            }
        }
    };
}

ends! {
    Closed "closed" false "" "The client closed the connection, or it was lost.";
    Idle "idle" false "NO_ERROR" "No request for `timeouts.keepalive`.";
    MaxAge "max_age" false "NO_ERROR" "Older than `timeouts.max_age`.";
    Drain "drain" false "NO_ERROR" "The listener or the node goes.";
    Preface "preface" false "" "What came is no HTTP/2, or its beginning took longer than `timeouts.header`.";
    Stalled "stalled" false "" "The client took no byte for `timeouts.body_idle`.";
    RapidReset "rapid_reset" true "ENHANCE_YOUR_CALM" "The client took back more requests than `h2.resets` allows (CVE-2023-44487).";
    MadeYouReset "made_you_reset" true "ENHANCE_YOUR_CALM" "The client made us reset more streams than `h2.resets` allows (CVE-2025-8671).";
    ControlFlood "control_flood" true "ENHANCE_YOUR_CALM" "More frames that move no request on than `h2.control_frames` allows.";
    ContinuationFlood "continuation_flood" true "ENHANCE_YOUR_CALM" "A head in more CONTINUATION frames than `limits.header_bytes` needs.";
    HeaderList "header_list" true "ENHANCE_YOUR_CALM" "A head that is, unpacked, many times `limits.header_bytes`.";
    DataFlood "data_flood" true "ENHANCE_YOUR_CALM" "Too many small or empty DATA frames waiting to be read.";
    Malformed "malformed" true "ENHANCE_YOUR_CALM" "More malformed requests than `h2.resets` allows.";
    Window "window" true "FLOW_CONTROL_ERROR" "The client sent more than a window allows, or opened one too far.";
    Compression "compression" true "COMPRESSION_ERROR" "A head that cannot be unpacked (RFC 7541).";
    FrameSize "frame_size" true "FRAME_SIZE_ERROR" "A frame longer than 16 KiB, or of the wrong length.";
    Protocol "protocol" true "PROTOCOL_ERROR" "The client broke the rules of HTTP/2 in another way.";
}

impl std::fmt::Display for H2End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
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
