//! The kinds of clients and what they ask: requests to `farmgate origin`, each with the one right answer.

use std::time::Duration;

use bytes::Bytes;

use super::http1::Order;

/// The bytes of the origin's generated bodies: these 64, repeated.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-\n";
/// The longest body asked for, and the origin's chunk of a slow one times their number.
const LONGEST_BYTES: usize = 64 * 1024;

/// Parts of a slow download, and the time between them: 2.25 s.
const DOWNLOAD_PARTS: usize = 10;
const DOWNLOAD_PAUSE_MS: usize = 250;
const DOWNLOAD_PART_BYTES: usize = 4096;
/// Parts of an upload, and the time before each: 1.5 s.
const UPLOAD_PARTS: usize = 10;
const UPLOAD_PAUSE: Duration = Duration::from_millis(150);
const UPLOAD_PART_BYTES: usize = 4096;

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One request after the other on a kept connection.
    KeepAlive,
    /// A new connection for each request.
    Fresh,
    /// As keep-alive, with time to think between requests.
    Think,
    /// HTTP/2, several streams at once.
    H2,
    /// Messages that come back.
    WebSocket,
    /// Answers that take more than two seconds.
    Download,
    /// Requests whose body takes a second and a half.
    Upload,
}

impl Kind {
    /// All, in the order of the report.
    pub(super) const ALL: [Self; 7] = [
        Self::KeepAlive,
        Self::Fresh,
        Self::Think,
        Self::H2,
        Self::WebSocket,
        Self::Download,
        Self::Upload,
    ];

    /// Its name in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::Fresh => "fresh",
            Self::Think => "think",
            Self::H2 => "h2",
            Self::WebSocket => "websocket",
            Self::Download => "download",
            Self::Upload => "upload",
        }
    }

    /// Whether its exchanges are short: then one is done before the load counts as established.
    pub(super) fn is_quick(self) -> bool {
        !matches!(self, Self::Download | Self::Upload)
    }
}

/// The first `length` bytes of the origin's pattern, at most [`LONGEST_BYTES`].
pub(super) fn pattern(length: usize) -> Bytes {
    let length = length.min(LONGEST_BYTES);
    ALPHABET.iter().copied().cycle().take(length).collect()
}

/// Target and body of the small request `number`. Neighbours have different lengths, so that an answer
/// to another one's question is seen.
pub(super) fn small(number: u64) -> (String, Bytes) {
    // Both primes: all lengths from 16 to 4108 come up, in no order.
    let length = usize::try_from(16 + number * 1009 % 4093).unwrap_or(16);
    (format!("/bytes/{length}"), pattern(length))
}

/// Target and body of an answer that takes its time.
pub(super) fn slow(parts: usize, pause_ms: usize) -> (String, Bytes) {
    let size = DOWNLOAD_PART_BYTES;
    (
        format!("/slow-body?chunks={parts}&size={size}&interval_ms={pause_ms}"),
        pattern(parts * size),
    )
}

/// The request `number` of an HTTP/1.1 kind, and the body of its answer.
pub(super) fn order(kind: Kind, host: &str, number: u64) -> (Order, Bytes) {
    let get = |target: &str, more: &str| {
        let agent = "user-agent: farmgate-load";
        Order::whole(format!(
            "GET {target} HTTP/1.1\r\nhost: {host}\r\n{agent}\r\n{more}\r\n"
        ))
    };
    match kind {
        Kind::Download => {
            let (target, body) = slow(DOWNLOAD_PARTS, DOWNLOAD_PAUSE_MS);
            (get(&target, ""), body)
        }
        Kind::Upload => upload(host, number),
        Kind::Fresh => {
            let (target, body) = small(number);
            (get(&target, "connection: close\r\n"), body)
        }
        Kind::KeepAlive | Kind::Think | Kind::H2 | Kind::WebSocket => {
            let (target, body) = small(number);
            (get(&target, ""), body)
        }
    }
}

/// A body that is sent slowly and comes back.
fn upload(host: &str, number: u64) -> (Order, Bytes) {
    // Each upload has bytes of its own.
    let mark = format!("{number:016x}");
    let body: Bytes = mark
        .bytes()
        .cycle()
        .take(UPLOAD_PARTS * UPLOAD_PART_BYTES)
        .collect();
    let parts = (0..UPLOAD_PARTS)
        .map(|part| body.slice(part * UPLOAD_PART_BYTES..(part + 1) * UPLOAD_PART_BYTES))
        .collect();
    let length = body.len();
    let head = format!(
        "POST /echo HTTP/1.1\r\nhost: {host}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n"
    );
    let order = Order {
        head: head.into(),
        parts,
        pause: UPLOAD_PAUSE,
    };
    (order, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_requests_differ_from_their_neighbours() {
        for number in 0..10_000 {
            let (target, body) = small(number);
            assert_eq!(target, format!("/bytes/{}", body.len()));
            assert_ne!(body.len(), small(number + 1).1.len());
            assert!((16..=4108).contains(&body.len()));
        }
        assert_eq!(&pattern(70)[60..], b"89-\nABCDEF");
    }

    #[test]
    fn an_upload_is_sent_whole_in_parts() {
        let (order, body) = order(Kind::Upload, "a.test", 7);
        let sent: Vec<u8> = order.parts.concat();
        assert_eq!(sent, body);
        assert!(body.starts_with(b"0000000000000007"));
        let head = String::from_utf8(order.head.to_vec()).unwrap();
        assert!(head.contains("content-length: 40960\r\n"), "{head}");
    }
}
