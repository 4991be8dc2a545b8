//! HTTP/2 without TLS, by prior knowledge: streams become requests, each in its own task.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{
    H2Accept, H2Options, HttpSession, default_h2_options, handshake,
};
use tokio::sync::{Notify, watch};

use super::Serving;
use crate::proxy::control::Control;
use crate::proxy::finish;
use crate::proxy::id::RequestId;
use crate::proxy::start::{Start, with_start};
use crate::server::socket::Socket;
use crate::server::stream::ClientStream;
use crate::snapshot::Listener;
use crate::telemetry::Reason;

/// Receive windows: a stream may send this much before we have read it.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes kept for a client that does not read.
const SEND_BUFFER: usize = 256 * 1024;
/// Streams the client may reset before we accepted them, and that wait for cleaning up.
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 256;
/// Streams refused for malformed heads before the connection is given up.
const MALFORMED: u32 = 32;

pub(super) async fn serve(serving: Serving, socket: Socket, inbox: BytesMut) {
    let listener = Arc::clone(&serving.accepted_on);
    let control = Control::new(Instant::now());
    control.set_request(u64::MAX, listener.timeouts.body_idle, None);
    let mut stream = Box::new(ClientStream::new(socket, inbox, control, None));
    stream.set_raw();
    let handshake = tokio::time::timeout(
        listener.timeouts.header,
        handshake(stream, Some(options(&listener))),
    );
    let Ok(Ok(mut connection)) = handshake.await else {
        listener.metrics.request_rejected(Reason::HeaderTimeout);
        return;
    };
    let digest = Arc::new(Digest::default());
    let active = Arc::new(Active::default());
    let mut shutdown = serving.shutdown.clone();
    let mut stopping = false;
    let mut malformed = 0;
    loop {
        let idle = idle(&active, listener.timeouts.keepalive);
        let event = tokio::select! {
            biased;
            () = stopped(&mut shutdown), if !stopping => Event::Stop,
            accepted = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest)) => {
                Event::Accepted(Box::new(accepted))
            }
            () = idle => Event::Idle,
        };
        let accepted = match event {
            Event::Accepted(accepted) => *accepted,
            Event::Stop => {
                // GOAWAY now; streams under way end in their own time.
                connection.graceful_shutdown();
                stopping = true;
                continue;
            }
            Event::Idle => {
                connection.graceful_shutdown();
                // The client answers the GOAWAY by closing; a dead one is dropped.
                let bye = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest));
                let _ = tokio::time::timeout(Duration::from_secs(5), bye).await;
                return;
            }
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => spawn(&serving, session, &active),
            Ok(Some(H2Accept::Rejected)) => {
                listener.metrics.request_rejected(Reason::BadRequest);
                let client = serving.connection.peer_ip();
                let id = RequestId::new();
                finish::early(
                    &serving.node,
                    &listener,
                    client,
                    &id,
                    Reason::BadRequest,
                    b"",
                );
                malformed += 1;
                if malformed >= MALFORMED {
                    return;
                }
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// What happened to a connection.
enum Event {
    Accepted(Box<pingora_core::Result<Option<H2Accept>>>),
    Idle,
    Stop,
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // The sender is gone: that is a stop as well.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

fn options(listener: &Listener) -> H2Options {
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(listener.streams)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(listener.head.header_bytes).unwrap_or(64 * 1024))
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(LOCAL_RESETS));
    options
}

/// Requests of one connection under way.
#[derive(Default)]
struct Active {
    count: AtomicUsize,
    done: Notify,
}

struct Guard(Arc<Active>);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.done.notify_waiters();
        }
    }
}

/// Ready when nothing was under way for `keepalive`. Cancelled by every new stream.
async fn idle(active: &Active, keepalive: Duration) {
    loop {
        let done = active.done.notified();
        if active.count.load(Ordering::Acquire) == 0 {
            break;
        }
        done.await;
    }
    tokio::time::sleep(keepalive).await;
}

fn spawn(serving: &Serving, session: HttpSession, active: &Arc<Active>) {
    let snapshot = serving.node.current.load();
    let listener = serving.listener(&snapshot);
    if serving.connection.requests.fetch_add(1, Ordering::Relaxed) > 0 {
        listener.metrics.keepalive_requests.inc();
    }
    active.count.fetch_add(1, Ordering::AcqRel);
    let guard = Guard(Arc::clone(active));
    let now = Instant::now();
    let control = Control::new(now);
    if let Some(rate) = listener.min_body_rate {
        control.set_body_rate(rate);
    }
    let start = Start {
        node: Arc::clone(&serving.node),
        snapshot,
        listener,
        connection: Arc::clone(&serving.connection),
        control: Arc::clone(&control),
        raw_target: None,
        head_at: now,
    };
    let proxy = Arc::clone(&serving.proxy);
    let shutdown = serving.shutdown.clone();
    tokio::spawn(async move {
        let _guard = guard;
        let session = ServerSession::new_http2(session);
        let serve = with_start(start, proxy.process_new_http(session, &shutdown));
        // Dropping the request resets its stream.
        tokio::select! {
            _ = serve => {}
            _ = control.watch() => {}
        }
    });
}
