//! Closing without destroying the answer: send FIN, read what the client still sends, then close.
//!
//! Closing a socket with unread bytes makes the kernel send a reset, and a reset makes the client's
//! kernel drop what it has not read yet: the 413 would never be seen (RFC 9112 section 9.6).

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::socket::Socket;

/// How long a closing connection may be silent, how long and how much it is read, and how many may close at once. A
/// client that still takes megabytes out of the kernel's buffers over HTTP/2 tells so from time to time.
const SILENCE: Duration = Duration::from_secs(2);
const LINGER: Duration = Duration::from_secs(30);
const LINGER_BYTES: usize = 1024 * 1024;
const MAX_LINGERING: usize = 1024;

static LINGERING: AtomicUsize = AtomicUsize::new(0);

/// Told when the last connection of a listener has gone, or the last that was closing in the background.
pub static NOTHING_LEFT: Notify = Notify::const_new();

/// Closes `socket` in the background; at once when too many are closing already.
pub fn spawn(socket: Socket) {
    in_background(close(socket));
}

/// The same for a socket whose end was said already: what still comes is passed over as it is, TLS or not.
pub fn spawn_ended(mut socket: Socket) {
    in_background(async move {
        // Passing the bound is the point: what the client sends after it gets a reset.
        let _ = match &mut socket {
            Socket::Tls(stream) => timeout(LINGER, drain(stream.get_mut())).await,
            socket => timeout(LINGER, drain(socket)).await,
        };
    });
}

/// The same in the middle of a response: over TLS the client is not told that this is its end.
pub fn spawn_cut(mut socket: Socket) {
    in_background(async move {
        let closing = async {
            if socket.cut().await.is_ok() {
                drain(&mut socket).await;
            }
        };
        // As above.
        let _ = timeout(LINGER, closing).await;
    });
}

/// The same, with something to be said first.
pub fn spawn_saying(mut socket: Socket, words: Vec<u8>) {
    if under_way() >= MAX_LINGERING {
        // What the kernel takes at once is said all the same.
        let _ = socket.write_all(&words).now_or_never();
        return;
    }
    in_background(async move {
        if let Ok(Ok(())) = timeout(SILENCE, socket.write_all(&words)).await {
            close(socket).await;
        }
    });
}

/// How many are closing in the background. What they were sent may not have arrived yet.
pub fn under_way() -> usize {
    LINGERING.load(Ordering::Acquire)
}

fn in_background(closing: impl Future<Output = ()> + Send + 'static) {
    if LINGERING.fetch_add(1, Ordering::Relaxed) >= MAX_LINGERING {
        LINGERING.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => {
            runtime.spawn(async move {
                closing.await;
                ended();
            });
        }
        Err(_) => ended(),
    }
}

fn ended() {
    if LINGERING.fetch_sub(1, Ordering::Relaxed) == 1 {
        NOTHING_LEFT.notify_one();
    }
}

/// Closes `socket` after the client closed its side, or after the bounds.
pub async fn close(mut socket: Socket) {
    let closing = async {
        // Over TLS this writes, and a client may take nothing.
        if let Ok(Ok(())) = timeout(SILENCE, socket.shutdown()).await {
            drain(&mut socket).await;
        }
    };
    // Passing the bound is the point: what the client sends after it gets a reset.
    let _ = timeout(LINGER, closing).await;
}

async fn drain(stream: &mut (impl AsyncRead + Unpin)) {
    let mut scratch = [0u8; 4096];
    let mut total = 0;
    while let Ok(Ok(n)) = timeout(SILENCE, stream.read(&mut scratch)).await {
        total += n;
        if n == 0 || total > LINGER_BYTES {
            break;
        }
    }
}
