//! The Pingora engine: its hooks, translated to the pipeline. Pingora's types stay in this folder
//! and in `server`; the next Pingora release changes signatures here and nowhere else.

mod attempts;
mod body;
mod connected;
mod dial;
mod failure;
mod fetch;
mod grpc_web;
mod head;
mod headers;
mod hold;
mod local;
mod outgoing;
mod peer;
mod replies;
mod secure;
mod stored;
mod waiting;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, HttpProxy, ProxyHttp, ProxyWarnLogContext, Session, http_proxy};

use super::caching;
use super::chains::BodyPhase;
use super::ctx::Ctx;
use super::finish::finish;
use super::pipeline::{self, Next};
use super::start::take_context;
use crate::telemetry::{Reason, Source};
use crate::upstream::retry::FailureClass;
use headers::{OpenRequest, RequestFields, ResponseFields};

pub use fetch::never;

type Result<T> = pingora_core::Result<T>;
type Error = pingora_core::BError;

/// Farmgate as Pingora sees it.
pub struct Engine {
    /// The proxy around it, for fetches of its own.
    proxy: Weak<Proxy>,
}

/// The proxy all listeners share.
pub type Proxy = HttpProxy<Engine>;

/// Builds the proxy. `threads` and `pool` (idle connections per thread) size its shared pool; each
/// upstream's own bound is kept by the pipeline.
pub fn build(threads: usize, pool: usize) -> Arc<Proxy> {
    let conf = ServerConf {
        threads,
        upstream_keepalive_pool_size: pool,
        // The pipeline counts attempts; this only must not be lower.
        max_retries: 64,
        ..ServerConf::default()
    };
    Arc::new_cyclic(|proxy| {
        let proxy = Weak::clone(proxy);
        http_proxy(&Arc::new(conf), Engine { proxy })
    })
}

/// An error of ours on its way through Pingora; the reason travels in the context.
fn fail(cx: &mut Ctx, reason: Reason) -> Error {
    if cx.reason == Reason::Ok {
        cx.reason = reason;
    }
    pingora_core::Error::new(pingora_core::ErrorType::Custom(reason.as_str()))
}

// What is rare is boxed where it is awaited: Pingora boxes each of these futures for each request, with the room of all
// they may ever hold.
#[async_trait]
impl ProxyHttp for Engine {
    type CTX = Option<Box<Ctx>>;

    fn new_ctx(&self) -> Self::CTX {
        take_context()
    }

    /// No modules: compression and the like are plugins. The one for gRPC-Web is added to the requests that need it.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        let Some(cx) = ctx.as_deref_mut() else {
            return Err(pingora_core::Error::new_in(
                pingora_core::ErrorType::InternalError,
            ));
        };
        if cx.fetch.is_some() {
            // Its context was made with the decision to fetch.
            return Ok(false);
        }
        let length = head::read(session, cx).map_err(|reason| fail(cx, reason))?;
        let mut next = {
            let mut fields = RequestFields(session.req_header_mut());
            pipeline::head(cx, &mut fields, length).await
        };
        if let Next::ReadBody { limit, refuse } = next {
            let buffered = Box::pin(body::read(session, cx, limit, refuse)).await;
            let buffered = buffered.map_err(|reason| fail(cx, reason))?;
            cx.replay_read = session.body_bytes_read() as u64;
            let mut fields = RequestFields(session.req_header_mut());
            next = Box::pin(pipeline::body(cx, &mut fields, buffered)).await;
        }
        if cx.grpc_web && matches!(next, Next::Forward) {
            grpc_web::bridge(session);
        }
        match next {
            Next::Forward if cx.is_cached() => self.cached(session, ctx, length != Some(0)).await,
            Next::Forward => Ok(false),
            Next::Reply(reply) => {
                cx.reason = Reason::PluginReply;
                Box::pin(local::reply(session, cx, reply)).await?;
                Ok(true)
            }
            Next::Reset | Next::ReadBody { .. } => {
                cx.reason = Reason::PluginReply;
                local::reset(session);
                Ok(true)
            }
            Next::Fail(reason) => Err(fail(cx, reason)),
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        let Some(cx) = ctx.as_deref_mut() else {
            return Err(pingora_core::Error::new_in(
                pingora_core::ErrorType::InternalError,
            ));
        };
        let failed = cx.failed.take();
        if let Some(reason) = failed {
            if let Some(plan) = &cx.upstream {
                plan.metrics.retried(reason);
            }
            cx.reason = Reason::Ok;
        }
        match waiting::begin(session, cx, failed.is_some()).await? {
            Ok(plan) => peer::build(cx, &plan).map_err(|reason| fail(cx, reason)),
            Err(reason) => match cx.stand_in.take() {
                Some(reply) => Err(Box::pin(self.stood_in(session, cx, reply, reason)).await),
                None => Err(fail(cx, reason)),
            },
        }
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Self::CTX,
        mut e: Error,
    ) -> Error {
        if let Some(cx) = ctx.as_deref_mut() {
            let reason = failure::of_connect(cx, &e);
            let replayable = attempts::is_replayable(session, cx);
            e.set_retry(attempts::decide(
                cx,
                reason,
                FailureClass::Connect,
                replayable,
            ));
        }
        e
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        digest: Option<&Digest>,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let Some(cx) = ctx.as_deref_mut() else {
            return Ok(());
        };
        connected::begin(session, cx, reused, digest)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream_request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let Some(cx) = ctx.as_deref_mut() else {
            return Ok(());
        };
        peer::prepare(cx, upstream_request).map_err(|reason| fail(cx, reason))?;
        let mut request = RequestFields(session.req_header_mut());
        let mut upstream = OpenRequest::open(upstream_request);
        let next = pipeline::forward(cx, &mut request, &mut upstream).await;
        upstream.close(upstream_request);
        match next {
            Next::Forward => Ok(()),
            Next::Fail(reason) => Err(fail(cx, reason)),
            Next::Reply(reply) => self.replied(session, cx, reply).await,
            Next::Reset | Next::ReadBody { .. } => Err(fail(cx, Reason::PluginReply)),
        }
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let Some(cx) = ctx.as_deref_mut() else {
            return Ok(());
        };
        body::passed(session, cx, end_of_stream).map_err(|reason| fail(cx, reason))?;
        body::chunk(session, body, end_of_stream, ctx, BodyPhase::Request)?;
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let Some(cx) = ctx.as_deref_mut() else {
            return Ok(());
        };
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS
        {
            return Ok(());
        }
        // Nobody asked for another protocol: its bytes would reach the client as they are.
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !cx.upgrade {
            return Err(fail(cx, Reason::InvalidResponse));
        }
        if let (Some(sent), None) = (cx.times.sent, cx.times.first_byte) {
            cx.clock = Instant::now();
            let took = cx.clock.saturating_duration_since(sent);
            cx.times.first_byte = Some(took);
            if let Some(plan) = &cx.upstream {
                plan.metrics
                    .first_byte
                    .observe_ns(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            }
            if attempts::leaves(session, cx, response) {
                return Err(attempts::answer_left());
            }
        }
        headers::strip_hop_by_hop(response);
        headers::make_room(response);
        let mut status = response.status;
        let next = {
            let mut request = RequestFields(session.req_header_mut());
            let mut fields = ResponseFields(response);
            pipeline::origin_head(cx, &mut request, &mut fields, &mut status).await
        };
        self.after_head(session, cx, response, status, next).await?;
        stored::arrived(session, cx, response);
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        body::chunk(session, body, end_of_stream, ctx, BodyPhase::Origin)
    }

    fn upstream_response_trailer_filter(
        &self,
        session: &mut Session,
        _trailers: &mut HeaderMap,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        outgoing::origin_ended(session, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let Some(cx) = ctx.as_deref_mut() else {
            return Ok(());
        };
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS
        {
            return Ok(());
        }
        if cx.fetch.is_some() {
            // Each client's own delivery comes to step 12.
            return Ok(());
        }
        let mut status = response.status;
        let next = {
            let mut request = RequestFields(session.req_header_mut());
            let mut fields = ResponseFields(response);
            caching::deliver::sign_passed(cx, &mut fields);
            pipeline::response_head(cx, &mut request, &mut fields, &mut status).await
        };
        self.after_head(session, cx, response, status, next).await?;
        local::suit_http10(session, response);
        if let Some((_, value)) = pipeline::closes(cx)
            && response.status != StatusCode::SWITCHING_PROTOCOLS
        {
            session.set_keepalive(None);
            let _ = response.insert_header(header::CONNECTION, value);
        }
        local::responded(cx, response);
        Ok(())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        if ctx.as_deref().is_some_and(|cx| cx.fetch.is_some()) {
            return Ok(None);
        }
        body::chunk(session, body, end_of_stream, ctx, BodyPhase::Delivery)
    }

    async fn response_trailer_filter(
        &self,
        session: &mut Session,
        _trailers: &mut HeaderMap,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Bytes>> {
        outgoing::before_trailers(session, ctx)?;
        Ok(None)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut e: Error,
        ctx: &mut Self::CTX,
        client_reused: bool,
    ) -> Error {
        let Some(cx) = ctx.as_deref_mut() else {
            e.set_retry(false);
            return e;
        };
        if let Some(then) = cx.answer_left.take() {
            e.set_retry(attempts::left(cx, then));
            return e;
        }
        let (reason, class) = failure::of_attempt(cx, &e, client_reused);
        if reason.source() != Source::Upstream {
            // The endpoint is not at fault, and the client would not see another answer.
            if cx.reason == Reason::Ok {
                cx.reason = reason;
            }
            e.set_retry(false);
            return e;
        }
        let replayable = attempts::is_replayable(session, cx);
        let again = !cx.responded
            && local::written(session).is_none()
            && attempts::decide(cx, reason, class, replayable);
        if !again && cx.reason == Reason::Ok {
            cx.reason = reason;
        }
        e.set_retry(again);
        e
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        e: &pingora_core::Error,
        ctx: &mut Self::CTX,
    ) -> FailToProxy {
        let Some(cx) = ctx.as_deref_mut() else {
            session.set_keepalive(None);
            let _ = session.respond_error(500).await;
            return FailToProxy {
                error_code: 500,
                can_reuse_downstream: false,
            };
        };
        failure::settle(cx, e);
        if let Some(answered) = Box::pin(hold::refused(session, cx)).await {
            return answered;
        }
        if let Some(note) = &cx.fetch {
            // Whoever the fetch was made for answers.
            note.ended(cx.reason);
            return FailToProxy {
                error_code: 0,
                can_reuse_downstream: false,
            };
        }
        if local::written(session).is_some() {
            cx.start.control.cut_response();
            Box::pin(local::cut_off(session, cx)).await;
        }
        let (error_code, can_reuse_downstream) = local::error(session, cx).await;
        FailToProxy {
            error_code,
            can_reuse_downstream,
        }
    }

    async fn logging(
        &self,
        session: &mut Session,
        e: Option<&pingora_core::Error>,
        ctx: &mut Self::CTX,
    ) {
        let Some(cx) = ctx.as_deref_mut() else { return };
        if let Some(e) = e {
            failure::settle(cx, e);
        }
        cx.bytes_out = session.body_bytes_sent() as u64;
        cx.bytes_in = session.body_bytes_read() as u64;
        if let Some(status) = local::written(session) {
            cx.status = status;
        }
        let mut fields = RequestFields(session.req_header_mut());
        finish(cx, &mut fields);
    }

    fn downstream_read_end(&self, ctx: &Self::CTX) -> impl Future<Output = Error> + Send + 'static {
        body::over(ctx.as_deref())
    }

    fn upstream_read_timeouts_after_header(
        &self,
        ctx: &Self::CTX,
    ) -> (Option<Duration>, Option<Duration>) {
        let Some(timeouts) = ctx.as_deref().and_then(|cx| cx.upstream_timeouts) else {
            return (None, None);
        };
        // Without a word of the configuration a tunnel is bounded by the client side alone, which
        // counts both directions.
        let tunnel = timeouts
            .tunnel_idle
            .unwrap_or(Duration::from_secs(30 * 86400));
        (Some(timeouts.idle), Some(tunnel))
    }

    fn hold_response(&self, tasks: Vec<HttpTask>, ctx: &mut Self::CTX) -> Result<Vec<HttpTask>> {
        match ctx.as_deref_mut() {
            Some(cx) => hold::pass(cx, tasks),
            None => Ok(tasks),
        }
    }

    fn buffered_request_body(&self, ctx: &mut Self::CTX) -> Option<Bytes> {
        ctx.as_deref().and_then(|cx| cx.replay.clone())
    }

    fn suppress_error_log(
        &self,
        _session: &Session,
        _ctx: &Self::CTX,
        _error: &pingora_core::Error,
    ) -> bool {
        // The access log names every failure with its reason.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Self::CTX,
        _error: &pingora_core::Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
