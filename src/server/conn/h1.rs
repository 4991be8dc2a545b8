//! HTTP/1: one head after the other, each handed to the engine as one request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::Serving;
use super::stopping::Stopping;
use crate::protocol::http1::{Head, HeadStatus, Reject, TargetForm, parse_head};
use crate::protocol::uri::{NormalisedUri, UriPolicy, normalise};
use crate::proxy::control::{Control, Ended};
use crate::proxy::finish;
use crate::proxy::id::RequestId;
use crate::proxy::pingora::never;
use crate::proxy::start::{Start, with_start};
use crate::server::linger;
use crate::server::socket::Socket;
use crate::server::stream::{ClientStream, MinRate};
use crate::snapshot::Listener;
use crate::telemetry::{DrainCut, Reason};

/// How long the rest of a body may take after the response has ended: what has already arrived.
const BODY_GRACE: Duration = Duration::from_millis(10);

/// How long a request that is cut may take to say so by itself.
const LAST_WORDS: Duration = Duration::from_millis(400);

/// How a wait for a head ended.
enum Waited {
    /// A head of this many bytes is at the front of the inbox.
    Head(usize),
    /// The client closed, or nothing came for as long as it may idle: no answer.
    Gone,
    /// The drain's time is over.
    Cut,
    /// Answer with this and close.
    Refuse(Reason),
}

pub(super) async fn serve(
    serving: Serving,
    mut stopping: Stopping,
    socket: Socket,
    inbox: BytesMut,
    first: Instant,
) {
    let control = Control::new(serving.connection.opened);
    let listener = Arc::clone(&serving.accepted_on);
    let min_rate = listener
        .min_body_rate
        .map(|bytes_per_second| MinRate { bytes_per_second });
    let mut stream = Box::new(ClientStream::new(
        socket,
        inbox,
        Arc::clone(&control),
        min_rate,
    ));
    let mut idle = Idle::Until(first);
    loop {
        let listener = serving.listener(&serving.node.current.load());
        let mut head = Head::default();
        let waited = wait(&mut stream, &listener, &mut head, idle, &mut stopping).await;
        let length = match waited {
            Waited::Head(length) => length,
            Waited::Gone => {
                stream.socket().say_end();
                return;
            }
            Waited::Cut => {
                serving.node.metrics.drain().cut(DrainCut::Http1Idle);
                stream.socket().say_end();
                return;
            }
            Waited::Refuse(reason) => {
                if reason == Reason::Draining {
                    serving.node.metrics.drain().cut(DrainCut::Http1Request);
                }
                listener.metrics.request_rejected(reason);
                let id = RequestId::new();
                let client = serving.connection.peer_ip();
                let bytes = stream.inbox();
                finish::early(&serving.node, &listener, client, &id, reason, bytes);
                refuse(&mut stream, &mut stopping, reason, &id).await;
                return;
            }
        };
        let snapshot = serving.node.current.load();
        let listener = serving.listener(&snapshot);
        let earlier = serving.connection.requests.fetch_add(1, Ordering::Relaxed);
        if earlier > 0 {
            listener.metrics.keepalive_requests.inc();
        }
        let max_age = listener.timeouts.max_age;
        if stopping.is_leaving()
            || max_age.is_some_and(|most| serving.connection.opened.elapsed() >= most)
        {
            serving.connection.close.store(true, Ordering::Relaxed);
        }
        let now = Instant::now();
        let keepalive = listener.timeouts.keepalive;
        let mut prefix = stream.take_head(length);
        let raw_target = match normal_head(&head, &listener.uri, &prefix) {
            Ok(None) => None,
            Ok(Some(normal)) => {
                let raw = Bytes::copy_from_slice(head.target.of(&prefix));
                prefix = normal;
                Some(raw)
            }
            Err(reason) => {
                listener.metrics.request_rejected(reason);
                let id = RequestId::new();
                let client = serving.connection.peer_ip();
                finish::early(&serving.node, &listener, client, &id, reason, &prefix);
                refuse(&mut stream, &mut stopping, reason, &id).await;
                return;
            }
        };
        stream.begin_request(head.framing);
        let start = Start {
            node: Arc::clone(&serving.node),
            snapshot,
            listener,
            connection: Arc::clone(&serving.connection),
            control: Arc::clone(&control),
            raw_target,
            head_at: now,
        };
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelined_prefix(prefix);
        // The stream has deadlines of its own for every wait.
        session.set_read_timeout(None);
        // A response may begin before the body ends; whether the connection can go on is known when
        // both have ended. What is still missing then is not waited for: the stream lingers instead.
        session.set_close_on_response_before_downstream_finish(false);
        session.set_total_drain_timeout(Some(BODY_GRACE));
        let request = serving.proxy.process_new_http(session, never());
        let request = with_start(start, request);
        let Some(reused) = run(request, &mut stopping, &control, &serving).await else {
            return;
        };
        let (stream_back, _) = reused.consume();
        let Ok(back) = stream_back.into_any().downcast::<ClientStream>() else {
            return;
        };
        stream = back;
        if !stream.end_request() || serving.connection.must_close() || !head.keep_alive {
            close(&mut stream, &mut stopping).await;
            return;
        }
        idle = Idle::For(keepalive);
    }
}

/// Runs a request to its end. When the time of a drain is over it is given a moment to say so to the client; what
/// stands still even then (a plugin, a connection being made) is dropped, and its stream says it.
async fn run<T>(
    mut request: impl Future<Output = Option<T>> + Unpin,
    stopping: &mut Stopping,
    control: &Control,
    serving: &Serving,
) -> Option<T> {
    tokio::select! {
        biased;
        done = &mut request => return done,
        () = stopping.cut() => {}
    }
    let cut = match control.break_off() {
        Ended::Request => DrainCut::Http1Request,
        Ended::Response => DrainCut::Http1Response,
        Ended::Tunnel => {
            // The rest of a frame under way may still pass. It is the stream that says what can be said.
            drop(timeout(LAST_WORDS, request).await);
            match control.is_told_going() {
                true => serving.node.metrics.drain().cut(DrainCut::WebSocket),
                false => serving.node.metrics.drain().cut(DrainCut::Tunnel),
            }
            return None;
        }
    };
    serving.node.metrics.drain().cut(cut);
    timeout(LAST_WORDS, request).await.ok().flatten()
}

/// Waits for a whole head. `idle` bounds the wait for its first byte; from then on the whole head
/// must come within `timeouts.header`, however slowly its bytes drip in.
async fn wait(
    stream: &mut ClientStream,
    listener: &Listener,
    head: &mut Head,
    idle: Idle,
    stopping: &mut Stopping,
) -> Waited {
    let mut begun = None;
    loop {
        if !stream.inbox().is_empty() {
            match parse_head(stream.inbox(), &listener.head, head) {
                HeadStatus::Complete { len } => return Waited::Head(len),
                HeadStatus::Reject(reject) => return Waited::Refuse(reason_of(reject)),
                HeadStatus::Partial => {}
            }
            begun.get_or_insert_with(Instant::now);
        }
        let deadline = || match (begun, idle) {
            (Some(begun), Idle::Until(first)) => first.min(begun + listener.timeouts.header),
            (Some(begun), Idle::For(_)) => begun + listener.timeouts.header,
            (None, Idle::Until(first)) => first,
            (None, Idle::For(keepalive)) => Instant::now() + keepalive,
        };
        let read = tokio::select! {
            biased;
            read = stream.read_head(deadline) => read,
            // An idle connection of a listener that goes away is closed only when its grace ends.
            // Nothing is read here that could be lost.
            () = stopping.waited(begun.is_some()) => {
                return match (stopping.is_cut(), begun) {
                    (true, Some(_)) => Waited::Refuse(Reason::Draining),
                    (true, None) => Waited::Cut,
                    (false, _) => Waited::Gone,
                };
            }
        };
        let first = matches!(idle, Idle::Until(_));
        match read {
            Ok(Some(0)) if begun.is_some() => return Waited::Refuse(Reason::ClientClosed),
            Ok(Some(0)) | Err(_) => return Waited::Gone,
            Ok(Some(_)) => {}
            Ok(None) if begun.is_some() || first => return Waited::Refuse(Reason::HeaderTimeout),
            Ok(None) => return Waited::Gone,
        }
    }
}

/// The head with its target in normalised origin-form, where it is not so already. The engine's own
/// parser refuses or rewrites what it does not like in a target; this way it has nothing to do.
fn normal_head(head: &Head, policy: &UriPolicy, bytes: &[u8]) -> Result<Option<BytesMut>, Reason> {
    let target = head.target.of(bytes);
    let mut uri = NormalisedUri::default();
    normalise(target, policy, &mut uri).map_err(|_| Reason::BadRequest)?;
    if uri.is_verbatim() && matches!(head.form, TargetForm::Origin | TargetForm::Asterisk) {
        return Ok(None);
    }
    // HTTP/1.0 may say whom it means in the target alone, and that is taken out here.
    let host = match (head.host, uri.authority(target)) {
        (None, Some(authority)) => format!("\r\nHost: {authority}"),
        _ => String::new(),
    };
    let normal = uri.path_and_query(target).as_bytes();
    let mut out = BytesMut::with_capacity(bytes.len() + normal.len() + host.len());
    out.extend_from_slice(head.method.of(bytes));
    out.extend_from_slice(b" ");
    out.extend_from_slice(normal);
    let rest = bytes.get(head.target.end..).unwrap_or_default();
    let line = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
    let (version, fields) = rest.split_at_checked(line).unwrap_or((rest, &[]));
    out.extend_from_slice(version);
    out.extend_from_slice(host.as_bytes());
    out.extend_from_slice(fields);
    Ok(Some(out))
}

/// How long the first byte of a head may take.
#[derive(Clone, Copy)]
enum Idle {
    /// The first head of a connection, counted from the accept.
    Until(Instant),
    /// A further head, counted from when we began to wait.
    For(Duration),
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
async fn refuse(
    stream: &mut ClientStream,
    stopping: &mut Stopping,
    reason: Reason,
    id: &RequestId,
) {
    let line = match reason.status() {
        Some(400) => "400 Bad Request",
        Some(405) => "405 Method Not Allowed",
        Some(408) => "408 Request Timeout",
        Some(413) => "413 Content Too Large",
        Some(414) => "414 URI Too Long",
        Some(431) => "431 Request Header Fields Too Large",
        Some(503) => "503 Service Unavailable",
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
    let said = tokio::select! {
        biased;
        said = stream.socket().write_all(answer.as_bytes()) => said.is_ok(),
        () = stopping.cut() => false,
    };
    if said {
        close(stream, stopping).await;
    }
}

async fn close(stream: &mut ClientStream, stopping: &mut Stopping) {
    let Some(socket) = stream.socket().take() else {
        return;
    };
    if stopping.is_cut() {
        // The connection is no longer counted; that its answer arrives is waited for all the same.
        linger::spawn(socket);
        return;
    }
    tokio::select! {
        biased;
        () = linger::close(socket) => {}
        () = stopping.cut() => {}
    }
}
