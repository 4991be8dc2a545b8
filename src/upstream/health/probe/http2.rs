//! One exchange in HTTP/2 (RFC 9113), on a connection that carries nothing else.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use tokio::time::{Instant, timeout};

use super::expected::Expected;
use super::request::Question;
use super::{GOODBYE, within};
use crate::upstream::health::dial::Connection;
use crate::upstream::health::failure::ProbeError;
use crate::upstream::health::options::{MAX_BODY_BYTES, MAX_HEAD_BYTES};

pub(super) async fn ask(
    io: Box<dyn Connection>,
    question: &Question,
    tls: bool,
    expected: &Expected<'_>,
    deadline: Instant,
    bound: Duration,
) -> Result<(), ProbeError> {
    let request = question.http2(tls)?;
    exchange(io, deadline, bound, async |mut sender: Sender| {
        let (answer, _) = sender.send_request(request, true)?;
        let (head, mut stream) = answer.await?.into_parts();
        expected.judge_status(head.status.as_u16())?;
        // Content-Length is held against what comes by the library.
        let body = body(&mut stream, MAX_BODY_BYTES).await?;
        expected.judge_body(&body)
    })
    .await
}

pub(super) type Sender = SendRequest<Bytes>;

/// Shakes hands, lets `talk` have the connection, and closes it politely.
pub(super) async fn exchange<F>(
    io: Box<dyn Connection>,
    deadline: Instant,
    bound: Duration,
    talk: impl FnOnce(Sender) -> F,
) -> Result<(), ProbeError>
where
    F: Future<Output = Result<(), ProbeError>>,
{
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .initial_window_size(MAX_BODY_BYTES as u32)
        .initial_connection_window_size(MAX_BODY_BYTES as u32);
    let shaken = async { Ok(builder.handshake::<_, Bytes>(io).await?) };
    let (sender, connection) = within(deadline, bound, shaken).await?;
    let mut connection = pin!(connection);
    let mut is_over = false;
    let answer = async {
        let mut answer = pin!(ready_and(sender, talk));
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                // What was received before the end can still be read, and what was not is told to the streams.
                _ = &mut connection, if !is_over => is_over = true,
            }
        }
    };
    let outcome = within(deadline, bound, answer).await;
    if outcome.is_ok() && !is_over {
        // With the last stream gone, it says GOAWAY and closes.
        let _ = timeout(GOODBYE, connection).await;
    }
    outcome
}

async fn ready_and<F>(sender: Sender, talk: impl FnOnce(Sender) -> F) -> Result<(), ProbeError>
where
    F: Future<Output = Result<(), ProbeError>>,
{
    talk(sender.ready().await?).await
}

/// The body up to `most` bytes.
pub(super) async fn body(stream: &mut RecvStream, most: usize) -> Result<Vec<u8>, ProbeError> {
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        let room = most.saturating_sub(body.len());
        body.extend(piece.iter().take(room));
        if body.len() >= most {
            break;
        }
        stream.flow_control().release_capacity(piece.len())?;
    }
    Ok(body)
}

impl From<h2::Error> for ProbeError {
    fn from(error: h2::Error) -> Self {
        let text = format!("the exchange in HTTP/2 failed: {error}");
        if error.is_io() || error.is_remote() {
            Self::cut(text)
        } else {
            // What the library itself refused.
            Self::garbage(text)
        }
    }
}
