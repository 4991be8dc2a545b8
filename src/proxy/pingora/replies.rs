//! What filters decide after the origin was chosen or asked.

use farmgate_plugin_api::Reply;
use http::StatusCode;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::{Engine, Error, Result, fail, local, outgoing};
use crate::proxy::ctx::Ctx;
use crate::proxy::pipeline::Next;
use crate::telemetry::Reason;

impl Engine {
    /// What a response phase decided: a changed status, or another response altogether.
    pub(super) async fn after_head(
        &self,
        session: &mut Session,
        cx: &mut Ctx,
        response: &mut ResponseHeader,
        status: StatusCode,
        next: Next,
    ) -> Result<()> {
        match next {
            Next::Forward => {
                if status != response.status {
                    response.set_status(status)?;
                }
                outgoing::frame(cx, response)
            }
            Next::Reply(reply) => self.replied(session, cx, reply).await,
            Next::Fail(reason) => Err(fail(cx, reason)),
            Next::Reset | Next::ReadBody { .. } => Err(fail(cx, Reason::PluginReply)),
        }
    }

    /// A fallback answers instead of the origin, for this reason.
    pub(super) async fn stood_in(
        &self,
        session: &mut Session,
        cx: &mut Ctx,
        reply: Box<Reply>,
        reason: Reason,
    ) -> Error {
        cx.reason = reason;
        cx.detail = "fallback";
        match &cx.fetch {
            Some(note) => note.reply(reply),
            // Where it fails the client has gone.
            None => drop(local::reply(session, cx, reply).await),
        }
        fail(cx, reason)
    }

    /// A filter answers instead of the origin, after that was chosen or asked.
    pub(super) async fn replied(
        &self,
        session: &mut Session,
        cx: &mut Ctx,
        reply: Box<Reply>,
    ) -> Result<()> {
        cx.reason = Reason::PluginReply;
        match &cx.fetch {
            Some(note) => note.reply(reply),
            None => Box::pin(local::reply(session, cx, reply)).await?,
        }
        Err(fail(cx, Reason::PluginReply))
    }
}
