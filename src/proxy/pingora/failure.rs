//! Pingora's errors, told apart by where the attempt stood.

use std::fmt;
use std::io;

use pingora_core::{Error, ErrorSource, ErrorType};

use crate::proxy::ctx::Ctx;
use crate::telemetry::Reason;
use crate::tls::upstream::TlsFailure;
use crate::tls::upstream::stream::late_refusal;
use crate::upstream::Endpoint;
use crate::upstream::retry::FailureClass;

/// Why no connection was made.
pub(super) fn of_connect(cx: &Ctx, e: &Error) -> Reason {
    if let Some(failure) = e.root_cause().downcast_ref::<TlsFailure>() {
        return of_tls(failure);
    }
    // HTTP/2 begins with an exchange of its own, in which the endpoint's refusal may be heard.
    if let Some(reason) = refused_late(cx, e) {
        return reason;
    }
    match e.etype() {
        ErrorType::ConnectRefused => Reason::ConnectRefused,
        ErrorType::ConnectTimedout => Reason::ConnectTimeout,
        _ => Reason::ConnectFailed,
    }
}

fn of_tls(failure: &TlsFailure) -> Reason {
    match failure {
        TlsFailure::Certificate(_) => Reason::UpstreamCertificateInvalid,
        TlsFailure::Alert(_) => Reason::UpstreamTlsAlert,
        TlsFailure::Protocol => Reason::UpstreamProtocol,
        TlsFailure::TimedOut => Reason::UpstreamTlsTimeout,
        TlsFailure::Closed | TlsFailure::Other(_) => Reason::UpstreamTlsFailed,
    }
}

/// Names the endpoint and what is wrong; the event log bounds how often the same is said.
pub(super) fn tell(upstream: &str, endpoint: &Endpoint, failure: &dyn fmt::Display) {
    let configured = &endpoint.configured;
    log::warn!("upstream {upstream}: no TLS with endpoint {configured}: {failure}");
}

/// With TLS 1.3 a client sends before it can hear that its certificate is refused. The endpoint has read nothing of
/// it: it is as if there had been no connection.
fn refused_late(cx: &Ctx, e: &Error) -> Option<Reason> {
    let cause = e.root_cause();
    let io = cause.downcast_ref::<io::Error>().or_else(|| {
        let h2 = cause.downcast_ref::<h2::Error>()?;
        h2.get_io()
    })?;
    if !late_refusal(io) {
        return None;
    }
    let failure = io
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsFailure>());
    if let (Some(plan), Some(picked)) = (&cx.upstream, &cx.picked) {
        // HTTP/2 keeps the words of an error, not what it was.
        let why: &dyn fmt::Display = match failure {
            Some(failure) => failure,
            None => io,
        };
        tell(plan.name(), picked.endpoint(), why);
    }
    Some(failure.map_or(Reason::UpstreamTlsAlert, of_tls))
}

/// Why an attempt on an established connection failed, and what that means for another one.
pub(super) fn of_attempt(cx: &Ctx, e: &Error, reused: bool) -> (Reason, FailureClass) {
    if cx.reason != Reason::Ok {
        return (cx.reason, FailureClass::Final);
    }
    if let Some(cut) = cx.start.control.cut() {
        return (cut, FailureClass::Final);
    }
    match e.esource() {
        ErrorSource::Downstream => return (of_client(e), FailureClass::Final),
        ErrorSource::Upstream => {}
        ErrorSource::Internal | ErrorSource::Unset => {
            return (Reason::Internal, FailureClass::Final);
        }
    }
    let begun = cx.times.first_byte.is_some();
    if !begun
        && !reused
        && let Some(reason) = refused_late(cx, e)
    {
        return (reason, FailureClass::Connect);
    }
    if !begun && is_refused(e) {
        return (Reason::RefusedStream, FailureClass::RefusedStream);
    }
    let lost = |before: Reason| {
        if begun {
            (Reason::UpstreamBodyCut, FailureClass::Final)
        } else if reused {
            (before, FailureClass::ReusedReset)
        } else {
            (before, FailureClass::ResetBeforeResponse)
        }
    };
    match e.etype() {
        ErrorType::ReadTimedout if begun => (Reason::UpstreamIdleTimeout, FailureClass::Final),
        ErrorType::ReadTimedout if is_try_over(cx) => {
            (Reason::FirstByteTimeout, FailureClass::PerTry)
        }
        ErrorType::ReadTimedout => (out_of_time(cx), FailureClass::Final),
        ErrorType::WriteTimedout => (Reason::UpstreamWriteTimeout, FailureClass::Final),
        ErrorType::ConnectionClosed => lost(Reason::UpstreamClosed),
        ErrorType::ReadError | ErrorType::WriteError => lost(Reason::UpstreamReset),
        ErrorType::H2Error | ErrorType::H2Downgrade => lost(of_stream(e)),
        ErrorType::InvalidHTTPHeader | ErrorType::InvalidH2 | ErrorType::H1Error if !begun => {
            (Reason::InvalidResponse, FailureClass::Final)
        }
        _ if begun => (Reason::UpstreamBodyCut, FailureClass::Final),
        _ => (Reason::UpstreamReset, FailureClass::ResetBeforeResponse),
    }
}

/// The endpoint says that nothing of an HTTP/2 request was done (RFC 9113 section 8.7): it reset the stream as refused, or
/// a GOAWAY, of whatever code, leaves the stream out. `h2` gives a GOAWAY that was received to no other streams: those up
/// to its last one go on, and fail with the connection if they do.
fn is_refused(e: &Error) -> bool {
    let refused = |h2: &h2::Error| {
        h2.is_remote() && (h2.is_go_away() || h2.reason() == Some(h2::Reason::REFUSED_STREAM))
    };
    e.root_cause().downcast_ref().is_some_and(refused)
}

/// How an HTTP/2 stream to an endpoint was lost.
fn of_stream(e: &Error) -> Reason {
    match e.root_cause().downcast_ref::<h2::Error>() {
        Some(h2) if h2.is_io() => Reason::UpstreamClosed,
        _ => Reason::UpstreamReset,
    }
}

/// The attempt was ended by `per_try`: the request has time for another one.
fn is_try_over(cx: &Ctx) -> bool {
    cx.upstream_timeouts
        .is_some_and(|times| times.per_try.is_some_and(|most| most < times.first_byte))
        && std::time::Instant::now() < cx.deadline()
}

/// The wait for the first byte is cut short by the request's own deadline.
fn out_of_time(cx: &Ctx) -> Reason {
    if std::time::Instant::now() >= cx.deadline() {
        Reason::RequestTimeout
    } else {
        Reason::FirstByteTimeout
    }
}

fn of_client(e: &Error) -> Reason {
    match e.etype() {
        ErrorType::InvalidHTTPHeader => Reason::BadRequest,
        ErrorType::ReadTimedout => Reason::BodyTimeout,
        ErrorType::WriteTimedout => Reason::ClientWriteTimeout,
        ErrorType::H2Error => Reason::ClientReset,
        _ => Reason::ClientClosed,
    }
}

/// The final reason, when the hooks before did not settle it.
pub(super) fn settle(cx: &mut Ctx, e: &Error) {
    if cx.reason != Reason::Ok {
        return;
    }
    cx.reason = of_attempt(cx, e, cx.reused).0;
}
