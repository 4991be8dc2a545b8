//! One probe: a new connection, one question, the answer judged, the connection closed.
//!
//! Everything is bounded: the time of all steps together by the options' timeout, the head of an answer by 16 KiB, its
//! body by 64 KiB. An answer must be whole to be good: half a response, or one that is framed wrongly, is a failure
//! even when its status is right. Bytes after the answer, or a body beyond 64 KiB, are not looked at.

mod chunked;
mod expected;
mod grpc;
mod http1;
mod http2;
pub(super) mod request;

use std::borrow::Cow;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::checker::Target;
use super::dial::{Connection, Dialed, Dialer, Spoken};
use super::failure::ProbeError;
use super::options::Probe;
use crate::upstream::address::EndpointAddress;
use expected::Expected;
use request::Question;

/// What a polite end of a connection may take after the verdict. It is not part of the probe's timeout: an endpoint
/// that answered well is well.
const GOODBYE: Duration = Duration::from_millis(100);

/// Asks once. Takes at most the timeout of the options, and 100 ms to close the connection.
pub(super) async fn run(dialer: &dyn Dialer, target: &Target) -> Result<(), ProbeError> {
    let options = &*target.options;
    let bound = options.timeout;
    let deadline = Instant::now() + bound;
    let address = asked_address(&target.address, options.port);
    let spoken = match &options.probe {
        Probe::Tcp => Spoken::Nothing,
        Probe::Http { http2: false, .. } => Spoken::Http1,
        Probe::Http { http2: true, .. } | Probe::Grpc { .. } => Spoken::Http2,
    };
    let dialed = match timeout_at(deadline, dialer.dial(target, &address, spoken)).await {
        Ok(dialed) => dialed?,
        Err(_) => {
            return Err(ProbeError::timeout(format!(
                "no connection to {address} within {bound:?}"
            )));
        }
    };
    let Dialed { mut io, tls } = dialed;
    match &options.probe {
        Probe::Tcp => {
            close(&mut io).await;
            Ok(())
        }
        Probe::Http {
            method,
            path,
            host,
            headers,
            status,
            body,
            http2,
        } => {
            let host = host
                .as_deref()
                .map_or_else(|| default_host(target, &address), Cow::Borrowed);
            let question = Question::build(method, path, &host, headers)?;
            let expected = Expected {
                status,
                body: body.as_deref(),
                is_head: method == "HEAD",
            };
            if *http2 {
                return Box::pin(http2::ask(io, &question, tls, &expected, deadline, bound)).await;
            }
            let answer = http1::ask(&mut io, &question, &expected);
            within(deadline, bound, answer).await?;
            close(&mut io).await;
            Ok(())
        }
        Probe::Grpc { service } => {
            let host = default_host(target, &address);
            let question = grpc::question(&host, bound)?;
            Box::pin(grpc::ask(io, &question, service, tls, deadline, bound)).await
        }
    }
}

/// The rest of the time for an answer.
async fn within<T>(
    deadline: Instant,
    bound: Duration,
    answer: impl Future<Output = Result<T, ProbeError>>,
) -> Result<T, ProbeError> {
    match timeout_at(deadline, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(ProbeError::timeout(format!(
            "connected, but no whole answer within {bound:?}"
        ))),
    }
}

/// Says goodbye where TLS has a word for it. That it could not be said changes nothing.
async fn close(io: &mut Box<dyn Connection>) {
    let _ = timeout(GOODBYE, io.shutdown()).await;
}

fn asked_address(address: &EndpointAddress, port: Option<u16>) -> Cow<'_, EndpointAddress> {
    match (address, port) {
        (EndpointAddress::Socket(socket), Some(port)) => {
            Cow::Owned(EndpointAddress::Socket(SocketAddr::new(socket.ip(), port)))
        }
        _ => Cow::Borrowed(address),
    }
}

/// The endpoint as configured, with the port that is asked. A unix socket has no host; `localhost` is what is usual.
fn default_host<'a>(target: &'a Target, asked: &EndpointAddress) -> Cow<'a, str> {
    let EndpointAddress::Socket(socket) = asked else {
        return Cow::Borrowed("localhost");
    };
    match target.configured.rsplit_once(':') {
        Some((host, _)) => Cow::Owned(format!("{host}:{}", socket.port())),
        None => Cow::Borrowed(&target.configured),
    }
}

#[cfg(test)]
mod tests;
