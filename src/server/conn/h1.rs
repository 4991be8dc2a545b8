//! HTTP/1: one head after the other, each handed to the engine as one request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::BytesMut;
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout_at;

use super::Serving;
use crate::protocol::http1::{Head, HeadStatus, Reject, parse_head};
use crate::proxy::connection::{START, Start};
use crate::proxy::control::Control;
use crate::proxy::finish;
use crate::proxy::id::RequestId;
use crate::server::linger;
use crate::server::socket::Socket;
use crate::server::stream::{ClientStream, INBOX_BYTES, MinRate};
use crate::snapshot::Listener;
use crate::telemetry::Reason;

/// How a wait for a head ended.
enum Waited {
    /// A head of this many bytes is at the front of the inbox.
    Head(usize),
    /// The client closed, or nothing came for as long as it may idle: no answer.
    Gone,
    /// Answer with this and close.
    Refuse(Reason),
}

pub(super) async fn serve(serving: Serving, socket: Socket, inbox: BytesMut, first: Instant) {
    let control = Control::new(serving.connection.opened);
    let Some(listener) = serving.listener() else {
        return;
    };
    let min_rate = listener
        .min_body_rate
        .map(|bytes_per_second| MinRate { bytes_per_second });
    let mut stream = Box::new(ClientStream::new(
        socket,
        inbox,
        Arc::clone(&control),
        min_rate,
    ));
    let mut deadline = first;
    loop {
        let Some(listener) = serving.listener() else {
            return;
        };
        let mut head = Head::default();
        let waited = wait(&serving, &mut stream, &listener, &mut head, deadline).await;
        let length = match waited {
            Waited::Head(length) => length,
            Waited::Gone => return,
            Waited::Refuse(reason) => {
                listener.metrics.request_rejected(reason);
                let id = RequestId::new();
                let client = serving.connection.peer_ip();
                let bytes = stream.inbox();
                finish::early(&serving.node, &listener, client, &id, reason, bytes);
                refuse(&mut stream, reason, &id).await;
                return;
            }
        };
        let snapshot = serving.node.current.load();
        let Some(listener) = snapshot.listener(serving.slot).cloned() else {
            return;
        };
        let earlier = serving.connection.requests.fetch_add(1, Ordering::Relaxed);
        if earlier > 0 {
            listener.metrics.keepalive_requests.inc();
        }
        if *serving.shutdown.borrow() {
            serving.connection.close.store(true, Ordering::Relaxed);
        }
        let now = Instant::now();
        let keepalive = listener.timeouts.keepalive;
        let prefix = stream.inbox().split_to(length);
        stream.begin_request(head.framing, now);
        let start = Start {
            node: Arc::clone(&serving.node),
            snapshot,
            listener,
            connection: Arc::clone(&serving.connection),
            control: Arc::clone(&control),
            head_at: now,
        };
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelined_prefix(prefix);
        // The stream has deadlines of its own for every wait.
        session.set_read_timeout(None);
        let served = START
            .scope(
                start,
                serving.proxy.process_new_http(session, &serving.shutdown),
            )
            .await;
        let Some(reused) = served else { return };
        let (stream_back, _) = reused.consume();
        let Ok(back) = stream_back.into_any().downcast::<ClientStream>() else {
            return;
        };
        stream = back;
        if !stream.end_request() || serving.connection.must_close() || !head.keep_alive {
            close(&mut stream).await;
            return;
        }
        deadline = Instant::now() + keepalive;
    }
}

impl Serving {
    /// The listener as it is configured now.
    pub(super) fn listener(&self) -> Option<Arc<Listener>> {
        self.node.current.load().listener(self.slot).cloned()
    }
}

/// Waits for a whole head. `idle_until` bounds the wait for its first byte; from then on the whole
/// head must come within `timeouts.header`, however slowly its bytes drip in.
async fn wait(
    serving: &Serving,
    stream: &mut ClientStream,
    listener: &Listener,
    head: &mut Head,
    idle_until: Instant,
) -> Waited {
    let mut shutdown = serving.shutdown.clone();
    let first = serving.connection.requests.load(Ordering::Relaxed) == 0;
    let mut deadline = idle_until;
    let mut begun = false;
    loop {
        if !stream.inbox().is_empty() {
            if !begun {
                begun = true;
                deadline = Instant::now() + listener.timeouts.header;
                if first {
                    deadline = deadline.min(idle_until);
                }
            }
            match parse_head(stream.inbox(), &listener.head, head) {
                HeadStatus::Complete { len } => return Waited::Head(len),
                HeadStatus::Reject(reject) => return Waited::Refuse(reason_of(reject)),
                HeadStatus::Partial => {}
            }
        }
        let (socket, inbox) = stream.socket_and_inbox();
        inbox.reserve(INBOX_BYTES);
        let read = tokio::io::AsyncReadExt::read_buf(socket, inbox);
        let read = timeout_at(deadline.into(), read);
        let read = tokio::select! {
            biased;
            read = read => read,
            // An idle connection of a listener that goes away is closed only when its grace ends:
            // the drain closes it then. Nothing is read here that could be lost.
            _ = closing(&mut shutdown, serving), if !begun => return Waited::Gone,
        };
        match read {
            Ok(Ok(0)) if begun => return Waited::Refuse(Reason::ClientClosed),
            Ok(Ok(0)) => return Waited::Gone,
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Waited::Gone,
            Err(_) if begun || first => return Waited::Refuse(Reason::HeaderTimeout),
            Err(_) => return Waited::Gone,
        }
    }
}

/// Ready when idle connections are to be closed.
async fn closing(shutdown: &mut tokio::sync::watch::Receiver<bool>, serving: &Serving) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        return;
    }
    serving.connection.close.store(true, Ordering::Relaxed);
    crate::server::drain::idle_grace(&serving.node).await;
}

fn reason_of(reject: Reject) -> Reason {
    match reject.status {
        405 => Reason::MethodNotAllowed,
        413 => Reason::BodyTooLarge,
        414 => Reason::UriTooLong,
        431 => Reason::HeaderTooLarge,
        505 => Reason::VersionNotSupported,
        _ => Reason::BadRequest,
    }
}

/// Our own answer to what never became a request.
async fn refuse(stream: &mut ClientStream, reason: Reason, id: &RequestId) {
    let line = match reason.status() {
        Some(400) => "400 Bad Request",
        Some(405) => "405 Method Not Allowed",
        Some(408) => "408 Request Timeout",
        Some(413) => "413 Content Too Large",
        Some(414) => "414 URI Too Long",
        Some(431) => "431 Request Header Fields Too Large",
        Some(505) => "505 HTTP Version Not Supported",
        _ => return,
    };
    let (status, title) = line.split_once(' ').unwrap_or((line, line));
    let body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\"detail\":\"{}\",\"request_id\":\"{}\"}}\n",
        reason.as_str(),
        id.as_str()
    );
    let error = reason.proxy_status().unwrap_or("http_request_error");
    let answer = format!(
        "HTTP/1.1 {line}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\ncache-control: no-store\r\nproxy-status: farmgate; error={error}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    if stream.socket().write_all(answer.as_bytes()).await.is_ok() {
        close(stream).await;
    }
}

async fn close(stream: &mut ClientStream) {
    if let Some(socket) = stream.socket().take() {
        linger::close(socket).await;
    }
}
