//! What a filter may look at and change, phase by phase. Traits only: every engine implements them
//! over its own header and body types.

use std::any::Any;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::facts::{Consumer, Facts};
use crate::filter::BodyMode;
use crate::verdict::Reply;

/// Header fields that may be edited.
pub trait Headers: Send {
    /// All fields.
    fn map(&self) -> &HeaderMap;
    /// Replaces every field of this name by one.
    fn set(&mut self, name: &HeaderName, value: HeaderValue);
    /// Adds a field, keeping others of this name.
    fn append(&mut self, name: &HeaderName, value: HeaderValue);
    /// Removes every field of this name; true if there was one.
    fn remove(&mut self, name: &HeaderName) -> bool;
    /// Visits the fields with their names as received (HTTP/1 keeps the letter case).
    fn each_as_received(&self, visit: &mut dyn FnMut(&[u8], &HeaderValue));
}

/// Most bytes of notes of one request.
pub const MAX_NOTE_BYTES: usize = 2048;

/// Longest wait before one piece of a body, all filters together: a minute.
pub const MAX_BODY_DELAY: Duration = Duration::from_secs(60);

/// The request in the phases before the origin is asked, and as context in all later ones.
pub trait Request: Facts + Send {
    /// The header fields, to edit. What is changed here is what the origin gets.
    fn edit(&mut self) -> &mut dyn Headers;
    /// The target exactly as the client sent it.
    fn raw_target(&self) -> &[u8];
    /// The target the origin will get: path and query.
    fn target(&self) -> &str;
    /// Replaces the target towards the origin. It must begin with `/` and hold no illegal byte, else
    /// it is refused and false returned. Matching and the cache key keep the client's own target.
    fn set_target(&mut self, path_and_query: &str) -> bool;
    /// Replaces the host towards the origin.
    fn set_upstream_host(&mut self, host: HeaderValue);
    /// The request's id: printable ASCII of at most 128 bytes.
    fn id(&self) -> &str;
    /// Replaces the request's id (the `request_id` kind does).
    fn set_id(&mut self, id: &str) -> bool;
    /// The name of the route that was chosen; none in listener chains.
    fn route(&self) -> Option<&str>;
    /// When the request's head was complete.
    fn started(&self) -> Instant;
    /// A field that the response to the client shall carry, whoever writes that response.
    /// At most 32 per request; later ones are dropped and counted.
    fn add_response_header(&mut self, name: HeaderName, value: HeaderValue);
    /// Names the identity the request is made under.
    fn set_consumer(&mut self, consumer: Consumer);
    /// State of this filter for this request, from an earlier phase.
    fn state(&mut self) -> Option<&mut (dyn Any + Send + Sync)>;
    /// Keeps state of this filter until the request ends.
    fn set_state(&mut self, state: Box<dyn Any + Send + Sync>);
    /// The protocol as the client named it: `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.
    fn protocol(&self) -> &'static str {
        "HTTP/1.1"
    }
    /// The port the client sends from; 0 if it is not known.
    fn client_port(&self) -> u16 {
        0
    }
    /// The address the listener is bound to, if it is one of the network.
    fn server_address(&self) -> Option<SocketAddr> {
        None
    }
    /// In `request_head`: how this filter wants the body of this request, instead of what
    /// [`crate::Filter::body_mode`] says. Never more than that; [`BodyMode::None`] for not at all.
    fn want_body(&mut self, mode: BodyMode) {
        let _ = mode;
    }
    /// In `origin_head`: nothing of the response leaves, neither to the client nor into a cache, until
    /// [`Request::release`] or its end.
    fn hold(&mut self) {}
    /// What was held back goes out, and what follows is not held.
    fn release(&mut self) {}
    /// In `origin_body`: the response ends here. If nothing of it has left, the client gets `reply`;
    /// else what it got is cut visibly: the connection closes, or the stream is reset.
    fn refuse(&mut self, reply: Reply) {
        let _ = reply;
    }
    /// In `response_body`: the piece goes to the client only after this time, at most [`MAX_BODY_DELAY`]; the times of
    /// several filters add up. Nothing more is read of the response meanwhile.
    fn delay_body(&mut self, time: Duration) {
        let _ = time;
    }
    /// The attempt at an endpoint that is being made, from 1; 0 before the first. Another attempt sends the body again
    /// from its beginning, and `request_chunk` sees it again.
    fn attempt(&self) -> u8 {
        1
    }

    /// In `request_head`: the client speaks gRPC-Web in its binary form. The origin gets gRPC, and the trailers of its
    /// answer go into the body. False if this engine cannot.
    fn bridge_grpc_web(&mut self) -> bool {
        false
    }
    /// Text for `farmgate explain ID` of this request, a line or two without secrets: cut at
    /// [`MAX_NOTE_BYTES`] for all filters together.
    fn note(&mut self, text: &str) {
        let _ = text;
    }
    /// Why the parser would have refused a lenient request; none today, as the parser is strict.
    fn parser_note(&self) -> Option<&'static str> {
        None
    }
}

/// The request as it goes to one endpoint, once per attempt.
pub trait UpstreamRequest: Send {
    /// The client's request and its facts.
    fn request(&self) -> &dyn Request;
    /// The head that is about to be sent.
    fn edit(&mut self) -> &mut dyn Headers;
    /// The attempt, from 1.
    fn attempt(&self) -> u8;
    /// The upstream's name.
    fn upstream(&self) -> &str;
    /// The endpoint's address as configured or resolved.
    fn endpoint(&self) -> &str;
}

/// A response's head: from the origin (`origin_head`) or on its way to the client (`response_head`).
pub trait Response: Send {
    /// The request it answers.
    fn request(&mut self) -> &mut dyn Request;
    /// The status.
    fn status(&self) -> StatusCode;
    /// Changes the status.
    fn set_status(&mut self, status: StatusCode);
    /// The header fields, to edit.
    fn edit(&mut self) -> &mut dyn Headers;
    /// True when the body is one the engine or a filter wrote, not the origin.
    fn is_local(&self) -> bool;
    /// True when the body comes out of the cache's store. What is to be done once per object and not
    /// per delivery, such as compressing, is then the cache's.
    fn is_stored(&self) -> bool {
        false
    }
    /// Why a local response was made, in a word of a closed set: a reason of the access log, or the
    /// detail of the plugin that replied. Empty for responses of the origin.
    fn detail(&self) -> &'static str {
        ""
    }
    /// In `response_head`: this filter changes the length of the body in `response_body`. The engine
    /// then frames the body anew: `content-length` goes.
    fn resize_body(&mut self) {}
    /// In `response_head`: this body goes out instead of the response's own, with its length. A later
    /// filter may replace it again. False where there is none to replace (101, 204, 205, 304); for a
    /// HEAD the length alone is taken.
    fn set_body(&mut self, body: Bytes) -> bool {
        let _ = body;
        false
    }
}

/// A request body that was read to its end, up to the filter's limit.
#[derive(Debug, Default)]
pub struct BufferedBody {
    chunks: Vec<Bytes>,
    len: usize,
    /// True when the limit was reached and `OverLimit::Partial` lets the rest stream on.
    pub partial: bool,
}

impl BufferedBody {
    /// Appends what was read.
    pub fn push(&mut self, chunk: Bytes) {
        self.len += chunk.len();
        self.chunks.push(chunk);
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when no byte was read.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The whole body in one piece; copies only when it came in several.
    pub fn to_bytes(&self) -> Bytes {
        match self.chunks.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }

    /// The same, given up piece by piece: never much more memory than the body takes.
    pub fn into_bytes(self) -> Bytes {
        let mut chunks = self.chunks.into_iter();
        match (chunks.next(), chunks.len()) {
            (None, _) => Bytes::new(),
            (Some(one), 0) => one,
            (Some(first), _) => {
                let mut whole = Vec::with_capacity(self.len);
                whole.extend_from_slice(&first);
                drop(first);
                chunks.for_each(|chunk| whole.extend_from_slice(&chunk));
                whole.into()
            }
        }
    }

    /// Replaces the body; the engine corrects `content-length`.
    pub fn replace(&mut self, body: Bytes) {
        self.len = body.len();
        self.chunks.clear();
        if !body.is_empty() {
            self.chunks.push(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_pieces_is_one_in_the_end() {
        let pieces: [&[&'static [u8]]; 4] =
            [&[], &[b"a"], &[b"a", b"bc"], &[b"", b"a", b"b", b"c"]];
        for pieces in pieces {
            let mut body = BufferedBody::default();
            for piece in pieces {
                body.push(Bytes::from_static(piece));
            }
            assert_eq!(body.to_bytes(), pieces.concat());
            assert_eq!(body.len(), body.to_bytes().len());
            assert_eq!(body.into_bytes(), pieces.concat());
        }
    }
}
