//! While an attempt waits for a place at its upstream, or for its pause to end, nobody reads from the client: somebody
//! must look whether it is still there.

use std::sync::Arc;

use futures_util::FutureExt;
use http::Request;
use pingora_core::protocols::http::ServerSession;
use pingora_core::{Error, ErrorType};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::Result;
use super::headers::RequestFields;
use crate::proxy::attempt;
use crate::proxy::ctx::Ctx;
use crate::snapshot::UpstreamPlan;
use crate::telemetry::Reason;

/// Begins the next attempt, as [`attempt::begin`] does; `again` after one that failed: while that one connected nobody
/// looked either.
///
/// # Errors
/// The client left meanwhile, and its place in every queue is free.
pub(super) async fn begin(
    session: &mut Session,
    cx: &mut Ctx,
    again: bool,
) -> Result<std::result::Result<Arc<UpstreamPlan>, Reason>> {
    if cx.fetch.is_some() || !(again || attempt::may_wait(cx)) {
        let mut fields = RequestFields(session.req_header_mut());
        return Ok(attempt::begin(cx, &mut fields).await);
    }
    // What follows the body is watched for its end; a body is read by those who send it on.
    let is_body_done = session.as_mut().is_body_done();
    // The head is lent out of the session, whose stream is watched.
    let empty = RequestHeader::from(Request::new(()).into_parts().0);
    let mut head = std::mem::replace(session.req_header_mut(), empty);
    let begun = {
        let mut fields = RequestFields(&mut head);
        let mut left = std::pin::pin!(left(session.as_mut(), is_body_done));
        // For the first attempt the look would cost every request a read that it does not need.
        let gone = again.then(|| left.as_mut().now_or_never()).flatten();
        match gone {
            Some(error) => Err(error),
            None => tokio::select! {
                biased;
                begun = attempt::begin(cx, &mut fields) => Ok(begun),
                error = left => Err(error),
            },
        }
    };
    *session.req_header_mut() = head;
    begun
}

/// Waits until the client leaves.
async fn left(client: &mut ServerSession, is_body_done: bool) -> Box<Error> {
    if let Some(idle) = client.watch_h2_stream_close() {
        return match idle.await {
            Ok(_) => Error::new_down(ErrorType::H2Error),
            Err(error) => error.into_down(),
        };
    }
    if is_body_done && let Err(error) = client.read_body_or_idle(true).await {
        return error.into_down();
    }
    std::future::pending().await
}
