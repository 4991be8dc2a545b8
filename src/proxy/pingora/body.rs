//! The request's body: declared length, buffering, and limits while it streams.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use farmgate_plugin_api::exchange::BufferedBody;
use http::header;
use pingora_proxy::Session;

use super::headers::RequestFields;
use super::outgoing;
use crate::proxy::chains::{self, BodyPhase, Links};
use crate::proxy::ctx::Ctx;
use crate::telemetry::Reason;

/// The declared length; `Some(0)` when there is no body, `None` when only its end will tell.
pub(super) fn declared_length(session: &mut Session) -> Option<u64> {
    if session.is_body_empty() {
        return Some(0);
    }
    session
        .req_header()
        .headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Reads the body, up to `limit` bytes. A longer one is refused, or its rest is left to stream.
pub(super) async fn read(
    session: &mut Session,
    cx: &mut Ctx,
    limit: u64,
    refuse: bool,
) -> Result<BufferedBody, Reason> {
    let mut body = Gathering::default();
    if cx.expect_continue && session.write_continue_response().await.is_err() {
        return Err(Reason::ClientClosed);
    }
    let deadline = cx.deadline();
    let idle = cx.body_idle();
    loop {
        let until = deadline.min(Instant::now() + idle);
        let read = tokio::time::timeout_at(until.into(), session.read_request_body()).await;
        let chunk = match read {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => {
                cx.start.control.body_progress(body.len, false);
                return Ok(body.finish());
            }
            Ok(Err(_)) => {
                let cut = cx.start.control.cut();
                return Err(cut.unwrap_or(Reason::ClientClosed));
            }
            Err(_) if until < deadline => return Err(Reason::BodyTimeout),
            Err(_) => return Err(Reason::RequestTimeout),
        };
        let len = body.len + chunk.len() as u64;
        if len > cx.body_limit() || (refuse && len > limit) {
            return Err(Reason::BodyTooLarge);
        }
        cx.start.control.body_progress(len, true);
        cx.hold_bytes(chunk.len() as u64)?;
        body.push(chunk);
        if len > limit {
            let mut body = body.finish();
            body.partial = !session.is_body_done();
            return Ok(body);
        }
    }
}

/// Smaller pieces are put together: each costs more than its bytes, and may keep a larger buffer alive.
const SMALL_BYTES: usize = 8 * 1024;
/// So large is what they are put into.
const GATHERED_BYTES: usize = 64 * 1024;

/// A body that is being read.
#[derive(Default)]
struct Gathering {
    body: BufferedBody,
    small: BytesMut,
    len: u64,
}

impl Gathering {
    fn push(&mut self, chunk: Bytes) {
        self.len += chunk.len() as u64;
        if chunk.len() < SMALL_BYTES {
            self.small.extend_from_slice(&chunk);
            if self.small.len() >= GATHERED_BYTES {
                self.flush();
            }
        } else {
            self.flush();
            self.body.push(chunk);
        }
    }

    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.body.push(std::mem::take(&mut self.small).freeze());
        }
    }

    fn finish(mut self) -> BufferedBody {
        self.flush();
        self.body
    }
}

/// A piece goes by: the limit holds for HTTP/2 too, whose streams have no guard of their own.
pub(super) fn passed(session: &Session, cx: &mut Ctx, end: bool) -> Result<(), Reason> {
    let bytes = session.body_bytes_read() as u64;
    cx.start.control.body_progress(bytes, !end);
    if bytes > cx.body_limit() {
        return Err(Reason::BodyTooLarge);
    }
    Ok(())
}

/// The error that ends the request when its client lets us wait too long for the body. HTTP/2 alone: the stream of an
/// HTTP/1 connection fails by itself.
pub(super) fn over(cx: Option<&Ctx>) -> impl Future<Output = super::Error> + Send + 'static {
    let control = cx
        .filter(|cx| cx.start.connection.h2)
        .map(|cx| Arc::clone(&cx.start.control));
    async move {
        match control {
            Some(control) => control.over().await,
            None => std::future::pending().await,
        }
        pingora_core::Error::new(pingora_core::ErrorType::ReadTimedout)
    }
}

/// A piece of a body through the filters of a phase. Gives how long it is to be held up on its way to the client.
pub(super) fn chunk(
    session: &mut Session,
    body: &mut Option<Bytes>,
    end: bool,
    ctx: &mut Option<Box<Ctx>>,
    phase: BodyPhase,
) -> super::Result<Option<Duration>> {
    let Some(cx) = ctx.as_deref_mut() else {
        return Ok(None);
    };
    if matches!(phase, BodyPhase::Delivery) && outgoing::replace(cx, body) {
        return Ok(None);
    }
    let links = Links::of(
        cx,
        match phase {
            BodyPhase::Request => |chain| &chain.request_chunk,
            BodyPhase::Origin => |chain| &chain.origin_body,
            BodyPhase::Delivery => |chain| &chain.response_body,
        },
    );
    for links in links.each() {
        let mut fields = RequestFields(session.req_header_mut());
        chains::body_chunk(links, phase, cx, &mut fields, body, end)
            .map_err(|reason| super::fail(cx, reason))?;
    }
    let delay = std::mem::take(&mut cx.body_delay);
    Ok((matches!(phase, BodyPhase::Delivery) && !delay.is_zero()).then_some(delay))
}
