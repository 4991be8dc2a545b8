//! HTTP/2 frames as bytes, for clients that no library would play.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::Wire;

/// The beginning of every connection.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Error codes.
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length");
    let mut out = length.to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// A head block: `GET` (or `POST`) of a short path at `a.test`.
pub(crate) fn block(method: &str, path: &str) -> Vec<u8> {
    let method = if method == "POST" { 0x83 } else { 0x82 };
    let mut out = vec![method, 0x86, 0x04];
    for text in [path, "a.test"] {
        out.push(u8::try_from(text.len()).expect("a short text"));
        out.extend(text.as_bytes());
        out.push(0x01);
    }
    out.pop();
    out
}

/// A whole `GET`.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    let flags = END_STREAM | END_HEADERS;
    frame(HEADERS, flags, stream, &block("GET", path))
}

/// The head of a `POST` whose body is to follow.
pub(crate) fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block("POST", path))
}

/// RST_STREAM.
pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// WINDOW_UPDATE.
pub(crate) fn open_window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// What a connection heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Codes and words of GOAWAY frames.
    pub(crate) goaways: Vec<(u32, String)>,
    /// The last stream that each of them still lets in.
    pub(crate) last_streams: Vec<u32>,
    /// PING frames that were to be answered.
    pub(crate) pings: Vec<Vec<u8>>,
    /// RST_STREAM frames, by code.
    pub(crate) resets: BTreeMap<u32, usize>,
    /// Heads of responses.
    pub(crate) heads: usize,
    /// Streams that were answered to their end.
    pub(crate) answered: usize,
    /// Bytes of bodies.
    pub(crate) data_bytes: usize,
    /// PING and SETTINGS that were acknowledged.
    pub(crate) acks: usize,
    /// Pieces that were read: over TLS each is a record.
    pub(crate) pieces: usize,
    /// The connection ended.
    pub(crate) ended: bool,
}

impl Heard {
    fn take(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        let number = |at: usize| {
            let bytes = payload.get(at..at + 4).and_then(|b| b.try_into().ok());
            u32::from_be_bytes(bytes.expect("four bytes"))
        };
        match kind {
            HEADERS => self.heads += 1,
            DATA => self.data_bytes += payload.len(),
            RST_STREAM => *self.resets.entry(number(0)).or_default() += 1,
            GOAWAY => {
                let words = String::from_utf8_lossy(&payload[8..]).into_owned();
                self.goaways.push((number(4), words));
                self.last_streams.push(number(0));
            }
            PING if flags & ACK == 0 => self.pings.push(payload.to_vec()),
            PING | SETTINGS if flags & ACK != 0 => self.acks += 1,
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            self.answered += 1;
        }
    }

    /// The code of the last GOAWAY.
    pub(crate) fn code(&self) -> Option<u32> {
        self.goaways.last().map(|(code, _)| *code)
    }
}

/// A connection that sends what it is told and notes what it hears.
pub(crate) struct Frames {
    writer: WriteHalf<Box<dyn Wire>>,
    heard: Arc<Mutex<Heard>>,
    hold: Option<oneshot::Sender<()>>,
    reader: JoinHandle<()>,
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Frames {
    /// Begins with the preface and these settings. What is heard is read at once.
    pub(crate) async fn open(wire: Box<dyn Wire>, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self::deaf(wire, settings).await;
        frames.listen();
        frames
    }

    /// The same, but nothing is read until [`Frames::listen`].
    pub(crate) async fn deaf(wire: Box<dyn Wire>, settings: &[(u16, u32)]) -> Self {
        let (reader, mut writer) = tokio::io::split(wire);
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        let mut begin = PREFACE.to_vec();
        begin.extend(frame(SETTINGS, 0, 0, &payload));
        begin.extend(frame(SETTINGS, ACK, 0, &[]));
        writer.write_all(&begin).await.expect("send");
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (hold, go) = oneshot::channel::<()>();
        let shared = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut reader = reader;
            // Told by the sender's end.
            let _ = go.await;
            let mut inbox = Vec::new();
            let mut piece = vec![0; 64 * 1024];
            while let Ok(n @ 1..) = reader.read(&mut piece).await {
                inbox.extend_from_slice(&piece[..n]);
                shared.lock().pieces += 1;
                let mut at = 0;
                while let Some(head) = inbox.get(at..at + 9) {
                    let length = usize::from(head[1]) << 8 | usize::from(head[2]);
                    let length = length | usize::from(head[0]) << 16;
                    let (kind, flags) = (head[3], head[4]);
                    let Some(payload) = inbox.get(at + 9..at + 9 + length) else {
                        break;
                    };
                    shared.lock().take(kind, flags, payload);
                    at += 9 + length;
                }
                inbox.drain(..at);
            }
            shared.lock().ended = true;
        });
        Self {
            writer,
            heard,
            hold: Some(hold),
            reader: task,
        }
    }

    /// Begins to read.
    pub(crate) fn listen(&mut self) {
        self.hold = None;
    }

    /// Sends bytes: false once nobody takes them.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        let sending = async {
            self.writer.write_all(bytes).await?;
            self.writer.flush().await
        };
        matches!(tokio::time::timeout(super::SOON, sending).await, Ok(Ok(())))
    }

    /// Sends what `turn` makes for 0, 1, 2, ... in large pieces, `times` times at most or until nobody takes it.
    pub(crate) async fn flood(&mut self, times: u32, mut turn: impl FnMut(u32) -> Vec<u8>) {
        let mut piece = Vec::new();
        for n in 0..times {
            piece.extend(turn(n));
            if (piece.len() > 32 * 1024 || n + 1 == times) && !self.send(&piece).await {
                return;
            }
            if piece.len() > 32 * 1024 {
                piece.clear();
            }
        }
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> Heard {
        self.heard.lock().clone()
    }

    /// Waits until what was heard fits.
    pub(crate) async fn until(&self, what: &str, fits: impl Fn(&Heard) -> bool) -> Heard {
        super::eventually(what, || async {
            let heard = self.heard();
            fits(&heard).then_some(heard)
        })
        .await
    }

    /// Waits for the end of the connection.
    pub(crate) async fn ended(&self) -> Heard {
        self.until("the end of the connection", |heard| heard.ended)
            .await
    }
}
