//! The request's head, out of Pingora's session.

use http::header;
use pingora_proxy::Session;

use super::body;
use crate::proxy::ctx::Ctx;
use crate::proxy::request;
use crate::telemetry::Reason;

/// Reads the head into the context. Gives the declared length of the body.
///
/// # Errors
/// The head cannot be served.
pub(super) fn read(session: &mut Session, cx: &mut Ctx) -> Result<Option<u64>, Reason> {
    let head = session.req_header();
    let head = request::Head {
        method: &head.method,
        version: head.version,
        target: head.raw_path(),
        authority: head.uri.authority().map(|authority| authority.as_str()),
        headers: &head.headers,
    };
    request::read(cx, &head)?;
    if !cx.upgrade {
        session.req_header_mut().remove_header(&header::UPGRADE);
    }
    cx.set_limits();
    let length = body::declared_length(session);
    if cx.start.connection.h2 {
        cx.start.control.body_progress(0, length != Some(0));
        session.set_write_timeout(Some(cx.start.listener.timeouts.body_idle));
    }
    Ok(length)
}
