//! Responses that a filter holds back until it has seen them.

use pingora_core::protocols::http::HttpTask;
use pingora_proxy::{FailToProxy, Session};

use super::{Result, fail, local, outgoing};
use crate::proxy::ctx::Ctx;

/// What of a response goes out now: nothing while a filter holds it, else what was held and what came.
pub(super) fn pass(cx: &mut Ctx, tasks: Vec<HttpTask>) -> Result<Vec<HttpTask>> {
    let tasks = outgoing::complete(cx, tasks);
    let held = cx.held.take();
    if cx.holding.is_empty() && held.is_none() {
        return Ok(tasks);
    }
    let mut all = held
        .and_then(|held| held.downcast::<Vec<HttpTask>>().ok())
        .map_or_else(Vec::new, |held| *held);
    let mut over = false;
    for task in tasks {
        match task {
            // The answer of the origin ends here: nothing of it has left, so it can be answered otherwise.
            HttpTask::Failed(error) => return Err(error),
            task => {
                if let HttpTask::Body(Some(piece), _) = &task
                    && !cx.holding.is_empty()
                {
                    let bytes = piece.len() as u64;
                    cx.hold_bytes(bytes).map_err(|reason| fail(cx, reason))?;
                }
                over |= task.is_end();
                all.push(task);
            }
        }
    }
    if cx.holding.is_empty() || over {
        cx.holding.clear();
        return Ok(all);
    }
    cx.held = Some(Box::new(all));
    Ok(Vec::new())
}

/// A filter ended the response. Answers with its reply if nothing was sent; none if something was.
pub(super) async fn refused(session: &mut Session, cx: &mut Ctx) -> Option<FailToProxy> {
    cx.held = None;
    let reply = cx.refusal.take()?;
    if let Some(note) = &cx.fetch {
        note.reply(reply);
        return None;
    }
    if local::written(session).is_some() {
        return None;
    }
    let error_code = reply.status.as_u16();
    // The engine closes after a failed attempt whatever it says; so it must say so.
    session.set_keepalive(None);
    // Where it fails the client has gone.
    let _ = local::reply(session, cx, reply).await;
    Some(FailToProxy {
        error_code,
        can_reuse_downstream: false,
    })
}
