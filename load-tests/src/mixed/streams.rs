//! The clients of HTTP/2: some streams at once on one connection, and another connection after GOAWAY.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use http::{Request, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::asking::ANSWER_LIMIT;
use super::kind::{Kind, slow, small};
use super::tally::Failure;
use super::{AFTER_FAILURE, Shared};

/// Streams on a connection. The first of them asks for answers that take their time, so that one is always
/// under way when a GOAWAY comes.
const STREAMS: u64 = 4;
/// Parts of such an answer, and the time between them.
const SLOW_PARTS: usize = 4;
const SLOW_PAUSE_MS: usize = 100;

type Sender = SendRequest<Bytes>;

/// How a stream ended that gave no right answer.
enum Lost {
    /// The server says that it had not begun it; it may be asked again (RFC 9113, 8.7).
    Refused,
    /// Anything else.
    Failed(String),
}

/// One client, until time is over.
pub(super) async fn ask(shared: Arc<Shared>, client: usize) {
    while !shared.is_over() {
        if let Err(failure) = one_connection(&shared, client).await {
            shared.tally(Kind::H2).fail(&failure);
            shared.pause(AFTER_FAILURE).await;
        }
    }
}

/// Opens a connection and uses it until it takes no more streams.
async fn one_connection(shared: &Arc<Shared>, client: usize) -> Result<(), Failure> {
    let stream = shared.http2.open(client).await?;
    let shaking = h2::client::Builder::new().handshake::<_, Bytes>(stream);
    let (sender, connection) = timeout(ANSWER_LIMIT, shaking)
        .await
        .map_err(|_| Failure::broken(format!("no preface in {ANSWER_LIMIT:?}")))?
        .map_err(|error| Failure::broken(format!("preface: {error}")))?;
    shared.tally(Kind::H2).connected();
    // How it ends is told to the streams.
    let driver = tokio::spawn(connection);
    let mut streams = JoinSet::new();
    for stream in 0..STREAMS {
        let number = (client as u64 * STREAMS + stream) * 131;
        streams.spawn(one_stream(
            Arc::clone(shared),
            sender.clone(),
            stream == 0,
            number,
        ));
    }
    drop(sender);
    while streams.join_next().await.is_some() {}
    // All answers are there, so nothing is lost by not waiting for the server's close.
    driver.abort();
    Ok(())
}

/// One exchange after the other until the connection takes no more, or one fails.
async fn one_stream(shared: Arc<Shared>, mut sender: Sender, is_slow: bool, mut number: u64) {
    let tally = shared.tally(Kind::H2);
    while !shared.is_over() {
        if let Err(error) = poll_fn(|context| sender.poll_ready(context)).await {
            // Nothing was sent, so nothing is lost. But a server that goes has to say so: on a network
            // our next request would have crossed the close.
            if !is_goodbye(&error) {
                let reason = format!("the connection ended without a GOAWAY: {error}");
                tally.fail(&Failure::Broken(reason));
            }
            return;
        }
        number += 1;
        let (target, expected) = if is_slow {
            slow(SLOW_PARTS, SLOW_PAUSE_MS)
        } else {
            small(number)
        };
        let begin = Instant::now();
        let exchange = exchange(&shared, &mut sender, &target, &expected);
        match timeout(ANSWER_LIMIT, exchange).await {
            Ok(Ok(())) => tally.ok(begin.elapsed()),
            Ok(Err(Lost::Refused)) => {
                tally.refused();
                return;
            }
            Ok(Err(Lost::Failed(reason))) => return tally.fail(&Failure::Broken(reason)),
            Err(_) => {
                let reason = format!("no whole answer in {ANSWER_LIMIT:?}");
                return tally.fail(&Failure::Broken(reason));
            }
        }
        shared.pause(shared.pause).await;
    }
}

async fn exchange(
    shared: &Shared,
    sender: &mut Sender,
    target: &str,
    expected: &Bytes,
) -> Result<(), Lost> {
    let scheme = if shared.tls { "https" } else { "http" };
    let request = Request::get(format!("{scheme}://{}{target}", shared.host))
        .header("user-agent", "farmgate-load")
        .body(())
        .map_err(|error| Lost::Failed(error.to_string()))?;
    let (answer, _) = sender
        .send_request(request, true)
        .map_err(|e| lost("", &e))?;
    let answer = answer.await.map_err(|error| lost("no answer: ", &error))?;
    let status = answer.status();
    let mut body = answer.into_body();
    let mut at = 0;
    while let Some(part) = body.data().await {
        let whole = expected.len();
        let part = part.map_err(|e| lost(&format!("after {at} of {whole} bytes: "), &e))?;
        let _ = body.flow_control().release_capacity(part.len());
        if status != StatusCode::OK {
            let shown = String::from_utf8_lossy(part.get(..80).unwrap_or(&part)).replace('\n', " ");
            return Err(Lost::Failed(format!("status {status}: {shown}")));
        }
        if expected.get(at..at + part.len()) != Some(&part[..]) {
            return Err(Lost::Failed(format!("other bytes after byte {at}")));
        }
        at += part.len();
    }
    body.trailers()
        .await
        .map_err(|error| lost("at the end: ", &error))?;
    if status != StatusCode::OK {
        return Err(Lost::Failed(format!("status {status}")));
    }
    if at != expected.len() {
        let whole = expected.len();
        return Err(Lost::Failed(format!("a body of {at} bytes, not {whole}")));
    }
    Ok(())
}

/// A GOAWAY of the server that names no error.
fn is_goodbye(error: &h2::Error) -> bool {
    error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)
}

fn lost(place: &str, error: &h2::Error) -> Lost {
    let is_unbegun =
        error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
    if is_goodbye(error) || is_unbegun {
        return Lost::Refused;
    }
    Lost::Failed(format!("{place}{error}"))
}
