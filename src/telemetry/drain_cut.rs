//! What the deadline of a drain cuts: a closed set, and the one table behind metric, command and documents.

use super::closed_set::closed_set;

closed_set! {
    /// What stood open at the deadline of a drain, by what its client is told.
    DrainCut {
        /// True if something was under way that did not come to its end.
        is_loss: bool,
        /// What is counted.
        counted: &'static str,
    }
    Handshake "handshake" "Closed before a protocol was spoken: PROXY header, TLS handshake or HTTP/2 preface were not complete." true "connections";
    Http1Idle "http1_idle" "Nothing was under way: closed as an idle connection is." false "connections";
    Http1Request "http1_request" "No response had begun: 503 with `Connection: close`." true "requests";
    Http1Response "http1_response" "The response ends before its end, so that the client can tell: no last chunk, fewer bytes than its length, a reset where only the end of the connection would end it, no close_notify." true "requests";
    WebSocket "websocket" "A Close frame with code 1001." true "connections";
    Tunnel "tunnel" "The connection ends without a word: inside a frame of a WebSocket, or another protocol after 101." true "connections";
    Http2Idle "http2_idle" "Nothing was under way: GOAWAY, closed." false "connections";
    Http2Request "http2_request" "No response had begun: 503, then GOAWAY. gRPC clients see UNAVAILABLE." true "requests";
    Http2Response "http2_response" "gRPC: trailers with `grpc-status: 14` (UNAVAILABLE). Others: the stream is reset. Then GOAWAY." true "requests";
    Dropped "dropped" "Did not take note within the second that a cut may take, and ended with the process." true "connections";
}

/// How many of each kind were cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainCuts([u64; DrainCut::ALL.len()]);

impl DrainCuts {
    /// With the counts that `of` gives.
    pub fn new(of: impl Fn(DrainCut) -> u64) -> Self {
        let mut counts = [0; DrainCut::ALL.len()];
        for (count, kind) in counts.iter_mut().zip(DrainCut::ALL) {
            *count = of(*kind);
        }
        Self(counts)
    }

    /// Kinds of which there were any.
    pub fn each(&self) -> impl Iterator<Item = (DrainCut, u64)> {
        let all = DrainCut::ALL.iter().copied().zip(self.0);
        all.filter(|(_, count)| *count > 0)
    }

    /// What was under way and did not come to its end.
    pub fn lost(&self) -> u64 {
        let lost = self.each().filter(|(kind, _)| kind.is_loss());
        lost.map(|(_, count)| count).sum()
    }

    /// Idle connections that were closed.
    pub fn idle(&self) -> u64 {
        let idle = self.each().filter(|(kind, _)| !kind.is_loss());
        idle.map(|(_, count)| count).sum()
    }
}

impl std::fmt::Display for DrainCuts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut between = "";
        for (kind, count) in self.each() {
            write!(f, "{between}{count} {kind}")?;
            between = ", ";
        }
        if between.is_empty() {
            f.write_str("nothing")?;
        }
        Ok(())
    }
}

/// The table as Markdown, for the generated reference.
pub fn drain_cuts_markdown() -> String {
    let mut out =
        String::from("| kind | counted | a loss | the client is told |\n|---|---|---|---|\n");
    for cut in DrainCut::ALL {
        let loss = if cut.is_loss() { "yes" } else { "no" };
        let (counted, told) = (cut.counted(), cut.help());
        out.push_str(&format!("| `{cut}` | {counted} | {loss} | {told} |\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_token_agree() {
        for (index, cut) in DrainCut::ALL.iter().enumerate() {
            assert_eq!(cut.index(), index);
            assert_eq!(DrainCut::TOKENS[index], cut.as_str());
        }
        assert_eq!(
            drain_cuts_markdown().lines().count(),
            DrainCut::ALL.len() + 2
        );
    }

    #[test]
    fn idle_connections_are_shown_and_no_loss() {
        let cuts = DrainCuts::new(|kind| match kind {
            DrainCut::Http1Idle => 4,
            DrainCut::WebSocket => 2,
            DrainCut::Http2Response => 1,
            _ => 0,
        });
        assert_eq!((cuts.lost(), cuts.idle()), (3, 4));
        assert_eq!(
            cuts.to_string(),
            "4 http1_idle, 2 websocket, 1 http2_response"
        );
        assert_eq!(DrainCuts::default().to_string(), "nothing");
    }
}
