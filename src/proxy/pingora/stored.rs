//! Answers of the cache, written through Pingora's session.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Response, StatusCode, Version};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::headers::{RequestFields, ResponseFields};
use super::{Engine, Proxy, Result, body, fail, fetch, local, outgoing};
use crate::cache::shared::ReadError;
use crate::proxy::caching::deliver::{Delivery, Part, sign};
use crate::proxy::caching::fetch::{News, Passing};
use crate::proxy::caching::note::{Trail, follow, forget};
use crate::proxy::caching::order::Order;
use crate::proxy::caching::{self, Step};
use crate::proxy::chains::BodyPhase;
use crate::proxy::ctx::Ctx;
use crate::proxy::pipeline;
use crate::telemetry::Reason;
use crate::telemetry::cache::CacheAnswer;

/// What the head of an origin's response means for the cache: a fetch notes where it came from; one past the cache may
/// change what is stored.
pub(super) fn arrived(session: &mut Session, cx: &mut Ctx, response: &ResponseHeader) {
    match &cx.fetch {
        Some(note) => note.trail(Trail {
            endpoint: cx
                .picked
                .as_ref()
                .map(|picked| Arc::clone(picked.endpoint())),
            attempts: cx.attempts,
            times: cx.times,
        }),
        None if cx.start.snapshot.cache.is_some() => {
            let mut request = RequestFields(session.req_header_mut());
            caching::passed::head(cx, &mut request, response.status, &response.headers);
        }
        None => {}
    }
}

/// A context that is there: the hooks that call this looked.
fn present(ctx: &mut Option<Box<Ctx>>) -> Result<&mut Ctx> {
    ctx.as_deref_mut()
        .ok_or_else(|| pingora_core::Error::new_in(pingora_core::ErrorType::InternalError))
}

impl Engine {
    /// Step 8. True if the request was answered; else it goes on to the origin.
    pub(super) async fn cached(
        &self,
        session: &mut Session,
        ctx: &mut Option<Box<Ctx>>,
        has_body: bool,
    ) -> Result<bool> {
        let cx = present(ctx)?;
        let step = caching::begin(cx, &session.req_header().headers, has_body).await;
        match step {
            Step::Pass => Ok(false),
            Step::Fail(reason) => Err(fail(cx, reason)),
            Step::Send(delivery, order) => {
                if let (Some(order), Some(proxy)) = (order, self.proxy()) {
                    fetch::spawn(&proxy, session.req_header(), *order);
                }
                // Nobody was asked for it.
                cx.upstream = None;
                self.send(session, ctx, *delivery).await?;
                Ok(true)
            }
            Step::Fetch(order) => Box::pin(self.fetch(session, ctx, *order)).await,
        }
    }

    fn proxy(&self) -> Option<Arc<Proxy>> {
        self.proxy.upgrade()
    }

    /// Lets it be fetched, and sends what becomes of it.
    async fn fetch(
        &self,
        session: &mut Session,
        ctx: &mut Option<Box<Ctx>>,
        mut order: Order,
    ) -> Result<bool> {
        let cx = present(ctx)?;
        let note = Arc::clone(&order.note);
        let (Some(mut news), Some(proxy)) = (order.news.take(), self.proxy()) else {
            return Err(fail(cx, Reason::Internal));
        };
        let deadline = tokio::time::Instant::from_std(cx.deadline());
        fetch::spawn(&proxy, session.req_header(), order);
        loop {
            let next = tokio::time::timeout_at(deadline, news.recv()).await;
            let cx = present(ctx)?;
            follow(cx, &note);
            let failed = match next {
                Ok(Some(News::Send(delivery))) => {
                    self.send(session, ctx, *delivery).await?;
                    return Ok(true);
                }
                Ok(Some(News::Pass(passing))) => {
                    if cx.cache.as_ref().is_some_and(|cache| cache.asked.ranged) {
                        // Its range was not asked for. The origin gives it a part at less cost than the whole to us.
                        caching::unshared(cx, &passing);
                        forget(cx);
                        return Ok(false);
                    }
                    self.pass(session, ctx, *passing, &mut news).await?;
                    return Ok(true);
                }
                Ok(Some(News::Interim(status, fields))) => {
                    interim(session, status, fields).await?;
                    continue;
                }
                Ok(Some(News::Reply(reply))) => {
                    cx.reason = Reason::PluginReply;
                    local::reply(session, cx, reply).await?;
                    return Ok(true);
                }
                Ok(Some(News::Stale(found, status))) => {
                    let delivery = caching::stale(cx, found, status);
                    self.send(session, ctx, delivery).await?;
                    return Ok(true);
                }
                Ok(Some(News::Failed(reason))) => reason,
                Ok(Some(News::Piece(_) | News::End(_)) | None) => Reason::Internal,
                Err(_) => Reason::RequestTimeout,
            };
            if let Some(cache) = &mut cx.cache {
                cache.answer = CacheAnswer::Failed;
            }
            return Err(fail(cx, failed));
        }
    }

    /// Sends what is stored, or is just being stored.
    async fn send(
        &self,
        session: &mut Session,
        ctx: &mut Option<Box<Ctx>>,
        mut delivery: Delivery,
    ) -> Result<()> {
        let cx = present(ctx)?;
        let (status, fields, part) = delivery.prepare(cx, &session.req_header().headers);
        cx.outgoing.stored = true;
        let empty = match &part {
            Part::Nothing | Part::Whole(Some(0)) => true,
            Part::Whole(_) | Part::One(_) | Part::Many(..) => false,
        };
        if !self.head(session, ctx, status, fields, empty).await? || empty {
            return Ok(());
        }
        let reader = &mut delivery.reader;
        match part {
            Part::Nothing => {}
            Part::Whole(length) => stream(session, ctx, reader, length, true).await?,
            Part::One(range) => {
                let sought = reader.seek(range.first, Some(range.last + 1));
                sought.map_err(|error| lost(ctx, error))?;
                stream(session, ctx, reader, Some(range.bytes()), true).await?;
            }
            Part::Many(parts, end) => {
                for (before, range) in parts {
                    let sought = reader.seek(range.first, Some(range.last + 1));
                    sought.map_err(|error| lost(ctx, error))?;
                    write(session, ctx, Bytes::from(before), false).await?;
                    stream(session, ctx, reader, Some(range.bytes()), false).await?;
                }
                write(session, ctx, Bytes::from(end), true).await?;
            }
        }
        Ok(())
    }

    /// Sends a response that is not stored.
    async fn pass(
        &self,
        session: &mut Session,
        ctx: &mut Option<Box<Ctx>>,
        passing: Passing,
        news: &mut tokio::sync::mpsc::Receiver<News>,
    ) -> Result<()> {
        let cx = present(ctx)?;
        caching::unshared(cx, &passing);
        let mut fields = passing.fields;
        if cx.start.connection.h2 {
            fields.remove(http::header::TRANSFER_ENCODING);
        }
        sign(cx, &mut fields);
        let bodyless =
            matches!(passing.status.as_u16(), 204 | 304) || cx.method == http::Method::HEAD;
        if !self
            .head(session, ctx, passing.status, fields, bodyless)
            .await?
        {
            return Ok(());
        }
        loop {
            if news.is_empty() {
                flush(session).await?;
            }
            match news.recv().await {
                // A HEAD that was asked as a GET.
                Some(News::Piece(_)) if bodyless => return Ok(()),
                Some(News::Piece(piece)) => write(session, ctx, piece, false).await?,
                Some(News::End(trailers)) => {
                    if bodyless {
                        return Ok(());
                    }
                    match trailers.filter(|_| session.as_downstream().is_http2()) {
                        None => return write(session, ctx, Bytes::new(), true).await,
                        Some(trailers) => {
                            outgoing::before_trailers(session, ctx)?;
                            if let Some(tail) = present(ctx)?.outgoing.tail.take() {
                                write_plain(session, tail, false).await?;
                            }
                            let client = session.as_downstream_mut();
                            let sent = client.write_response_trailers(trailers).await;
                            return sent.map_err(|error| error.into_down());
                        }
                    }
                }
                _ => return Err(fail(present(ctx)?, Reason::UpstreamBodyCut)),
            }
        }
    }

    /// Writes the head, after the filters of step 12. False if one of them put a body of its own in the place of the
    /// response's, which is written too.
    async fn head(
        &self,
        session: &mut Session,
        ctx: &mut Option<Box<Ctx>>,
        status: StatusCode,
        fields: HeaderMap,
        empty: bool,
    ) -> Result<bool> {
        let cx = present(ctx)?;
        let mut parts = Response::new(()).into_parts().0;
        parts.status = status;
        parts.version = Version::HTTP_11;
        parts.headers = fields;
        let mut head = ResponseHeader::from(parts);
        let mut status = status;
        let next = {
            let mut request = RequestFields(session.req_header_mut());
            let mut response = ResponseFields(&mut head);
            pipeline::response_head(cx, &mut request, &mut response, &mut status).await
        };
        self.after_head(session, cx, &mut head, status, next)
            .await?;
        local::suit_http10(session, &mut head);
        if let Some((_, value)) = pipeline::closes(cx) {
            session.set_keepalive(None);
            let _ = head.insert_header(http::header::CONNECTION, value);
        }
        local::responded(cx, &head);
        let own = cx.outgoing.own_length();
        let own = own.filter(|length| *length > 0 && cx.method != http::Method::HEAD);
        let empty = empty && own.is_none();
        let written = session.write_response_header(Box::new(head), empty).await;
        written.map_err(|error| error.into_down())?;
        if own.is_some() {
            write(session, ctx, Bytes::new(), true).await?;
            return Ok(false);
        }
        if empty {
            ended(session, ctx).await?;
        }
        Ok(true)
    }
}

/// The end of a response without a body: HTTP/2 says so by itself only where the head does.
async fn ended(session: &mut Session, ctx: &mut Option<Box<Ctx>>) -> Result<()> {
    let mut nothing = None;
    if let Some(delay) = body::chunk(session, &mut nothing, true, ctx, BodyPhase::Delivery)? {
        held_up(session, delay).await?;
    }
    match nothing {
        None => Ok(()),
        Some(piece) => write_plain(session, piece, true).await,
    }
}

/// A response of before the final one. HTTP/1.0 knows none (RFC 9110 section 15.2).
async fn interim(session: &mut Session, status: StatusCode, fields: HeaderMap) -> Result<()> {
    if session.req_header().version < Version::HTTP_11 {
        return Ok(());
    }
    let mut parts = Response::new(()).into_parts().0;
    parts.status = status;
    parts.headers = fields;
    let head = Box::new(ResponseHeader::from(parts));
    let written = session.write_response_header(head, false).await;
    written.map_err(|error| error.into_down())
}

/// The store does not give the rest: the response is cut.
fn lost(ctx: &mut Option<Box<Ctx>>, error: ReadError) -> super::Error {
    log::debug!("a stored body was cut: {error}");
    match ctx.as_deref_mut() {
        Some(cx) => fail(cx, Reason::UpstreamBodyCut),
        None => pingora_core::Error::new_in(pingora_core::ErrorType::InternalError),
    }
}

/// Pieces that are written in one call: two MiB of a body in memory. Between 128 KiB and that the calls for 10 MiB cost a
/// third less.
const TOGETHER: usize = 16;

/// Writes `length` bytes from where the reader stands, or all it has.
async fn stream(
    session: &mut Session,
    ctx: &mut Option<Box<Ctx>>,
    reader: &mut caching::fetch::Body,
    length: Option<u64>,
    end: bool,
) -> Result<()> {
    let mut left = length;
    let mut gathered: Vec<Bytes> = Vec::new();
    loop {
        let next = match reader.next().now_or_never() {
            Some(next) => next,
            None => {
                // The fill has no more for now: what there is must not wait for it.
                write_all(session, &mut gathered).await?;
                flush(session).await?;
                reader.next().await
            }
        };
        let piece = match next {
            Ok(Some(piece)) => piece,
            Ok(None) if left.is_none_or(|left| left == 0) => break,
            // Shorter than was said: not an end.
            Ok(None) => return Err(lost(ctx, ReadError::Aborted)),
            Err(error) => return Err(lost(ctx, error)),
        };
        if let Some(left) = &mut left {
            *left = left.saturating_sub(piece.len() as u64);
        }
        let over = left == Some(0);
        if over && gathered.is_empty() {
            return write(session, ctx, piece, end).await;
        }
        let mut piece = Some(piece);
        let delay = body::chunk(session, &mut piece, over && end, ctx, BodyPhase::Delivery)?;
        if let Some(delay) = delay {
            write_all(session, &mut gathered).await?;
            held_up(session, delay).await?;
        }
        gathered.extend(piece.filter(|piece| !piece.is_empty()));
        if over || gathered.len() == TOGETHER {
            write_all(session, &mut gathered).await?;
        }
        if over {
            return match end {
                true => write_plain(session, Bytes::new(), true).await,
                false => Ok(()),
            };
        }
    }
    write_all(session, &mut gathered).await?;
    match end {
        true => write(session, ctx, Bytes::new(), true).await,
        false => Ok(()),
    }
}

/// Writes pieces that went through the filters, in one call where that is possible.
async fn write_all(session: &mut Session, pieces: &mut Vec<Bytes>) -> Result<()> {
    if pieces.is_empty() {
        return Ok(());
    }
    let together = session.as_downstream_mut().write_response_pieces(pieces);
    if !together.await.map_err(|error| error.into_down())? {
        for piece in pieces.iter() {
            write_plain(session, piece.clone(), false).await?;
        }
    }
    pieces.clear();
    Ok(())
}

/// A piece through the filters of the delivery, to the client.
async fn write(
    session: &mut Session,
    ctx: &mut Option<Box<Ctx>>,
    piece: Bytes,
    end: bool,
) -> Result<()> {
    let mut piece = Some(piece);
    if let Some(delay) = body::chunk(session, &mut piece, end, ctx, BodyPhase::Delivery)? {
        held_up(session, delay).await?;
    }
    let piece = piece.unwrap_or_default();
    if piece.is_empty() && !end {
        return Ok(());
    }
    write_plain(session, piece, end).await
}

/// A filter wants the next piece held up; what was written before goes out first.
async fn held_up(session: &mut Session, delay: Duration) -> Result<()> {
    flush(session).await?;
    tokio::time::sleep(delay).await;
    Ok(())
}

/// Sends what was written: HTTP/1 keeps a body of known length back until it ends.
async fn flush(session: &mut Session) -> Result<()> {
    let flushed = session.as_downstream_mut().flush_response().await;
    flushed.map_err(|error| error.into_down())
}

async fn write_plain(session: &mut Session, piece: Bytes, end: bool) -> Result<()> {
    let client = session.as_downstream_mut();
    let written = client.write_response_body(piece, end).await;
    written.map_err(|error| error.into_down())
}
