//! Bodies that filters changed or replaced: their frame, and what goes out when the engine gives no piece to change.

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use pingora_core::protocols::http::HttpTask;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{Result, body};
use crate::proxy::chains::BodyPhase;
use crate::proxy::ctx::Ctx;
use crate::proxy::outgoing::Body;

const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

/// The fields that frame the body, as filters left it.
pub(super) fn frame(cx: &Ctx, response: &mut ResponseHeader) -> Result<()> {
    match &cx.outgoing.body {
        Body::AsIs => {}
        Body::Resized => {
            response.remove_header(&header::CONTENT_LENGTH);
            if !cx.start.connection.h2 && cx.method != Method::HEAD {
                response.insert_header(header::TRANSFER_ENCODING, CHUNKED)?;
            }
        }
        Body::Replaced(_) => {
            let length = cx.outgoing.own_length().unwrap_or(0);
            response.remove_header(&header::TRANSFER_ENCODING);
            response.insert_header(header::CONTENT_LENGTH, HeaderValue::from(length))?;
        }
    }
    Ok(())
}

/// A piece of a body that a filter replaced: the whole of the new one, then nothing. False for other bodies.
pub(super) fn replace(cx: &mut Ctx, piece: &mut Option<Bytes>) -> bool {
    let replaced = matches!(cx.outgoing.body, Body::Replaced(_));
    if replaced {
        *piece = cx.outgoing.take_own();
    }
    replaced
}

/// The origin sent trailers: the filters of its body have not heard that it is over, and one may refuse it now. What they
/// say goes out before the trailers.
pub(super) fn origin_ended(session: &mut Session, ctx: &mut Option<Box<Ctx>>) -> Result<()> {
    let mut piece = None;
    body::chunk(session, &mut piece, true, ctx, BodyPhase::Origin)?;
    if let Some(cx) = ctx.as_deref_mut() {
        cx.outgoing.tail = piece.filter(|piece| !piece.is_empty());
    }
    Ok(())
}

/// Trailers go to the client: the filters of the delivery have not heard that the body is over either. For a fetch there
/// is no client: each has a delivery of its own.
pub(super) fn before_trailers(session: &mut Session, ctx: &mut Option<Box<Ctx>>) -> Result<()> {
    if ctx.as_deref().is_some_and(|cx| cx.fetch.is_some()) {
        return Ok(());
    }
    let mut piece = ctx.as_deref_mut().and_then(|cx| cx.outgoing.tail.take());
    body::chunk(session, &mut piece, true, ctx, BodyPhase::Delivery)?;
    if let Some(cx) = ctx.as_deref_mut() {
        cx.outgoing.tail = piece.filter(|piece| !piece.is_empty());
    }
    Ok(())
}

/// What goes out besides what the engine gives: a body behind a head that was to be all, and what filters say before
/// trailers.
pub(super) fn complete(cx: &mut Ctx, tasks: Vec<HttpTask>) -> Vec<HttpTask> {
    if matches!(cx.outgoing.body, Body::AsIs) && cx.outgoing.tail.is_none() {
        return tasks;
    }
    let mut all = Vec::with_capacity(tasks.len() + 1);
    for task in tasks {
        match task {
            HttpTask::Header(mut head, true) if cx.method != Method::HEAD => {
                let own = cx.outgoing.take_own().filter(|own| !own.is_empty());
                if matches!(cx.outgoing.body, Body::Resized) {
                    // There is no body to change, so it is plain.
                    head.remove_header(&header::CONTENT_ENCODING);
                    head.remove_header(&header::TRANSFER_ENCODING);
                    // It cannot fail: the field was there, or there is room for it.
                    let _ = head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(0));
                }
                all.push(HttpTask::Header(head, own.is_none()));
                all.extend(own.map(|own| HttpTask::Body(Some(own), true)));
            }
            HttpTask::Trailer(trailers) => {
                let tail = cx.outgoing.tail.take();
                all.extend(tail.map(|tail| HttpTask::Body(Some(tail), false)));
                all.push(HttpTask::Trailer(trailers));
            }
            task => all.push(task),
        }
    }
    all
}
