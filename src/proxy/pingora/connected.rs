//! An attempt has its connection: what is counted, and whether anybody still wants it.

use std::sync::Arc;

use futures_util::FutureExt;
use pingora_core::protocols::Digest;
use pingora_core::{Error, ErrorType};
use pingora_proxy::Session;

use super::Result;
use super::dial::Carried;
use crate::proxy::ctx::Ctx;

/// Counts the attempt and what its connection carried before.
///
/// # Errors
/// The connection was closed on its way here, or the client left meanwhile. Nothing of the request is on it.
pub(super) fn begin(
    session: &mut Session,
    cx: &mut Ctx,
    reused: bool,
    digest: Option<&Digest>,
) -> Result<()> {
    cx.reused = reused;
    let Some(plan) = cx.upstream.clone() else {
        return Ok(());
    };
    plan.metrics.attempt(reused);
    if !reused && let Some(at) = cx.times.attempt {
        let took = at.elapsed();
        cx.times.connect = Some(took);
        plan.metrics
            .connect
            .observe_ns(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
    if let Some(carried) = Carried::of(digest) {
        cx.retire_upstream = carried.used(&plan, cx.clock) || plan.proxy_protocol.is_some();
        if let Some(line) = carried.line() {
            let open = line.begin();
            cx.line = Some(Arc::clone(line));
            if reused && !open {
                // It was closed on its way out of the pool, and nothing of the request is on it.
                return Err(Error::new_up(ErrorType::ConnectionClosed));
            }
        }
    }
    // Whoever waited for a place, a pause or a connection may have left, and nobody watched meanwhile.
    let waited = !reused || cx.has_waited() || cx.attempts.number() > 1;
    if waited && cx.fetch.is_none() {
        still_there(session)?;
    }
    Ok(())
}

/// One look at the client. While it sends a body that tells what it is about.
fn still_there(session: &mut Session) -> Result<()> {
    let client = session.as_mut();
    if !client.is_body_done() {
        return Ok(());
    }
    match client.read_body_or_idle(true).now_or_never() {
        Some(Err(error)) => Err(error.into_down()),
        Some(Ok(_)) | None => Ok(()),
    }
}
