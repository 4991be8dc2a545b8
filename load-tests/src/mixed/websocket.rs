//! The clients of WebSocket: each sends messages and takes them back, until it is told to go elsewhere.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::asking::ANSWER_LIMIT;
use super::kind::Kind;
use super::tally::Failure;
use super::{AFTER_FAILURE, Shared};
use crate::client::dial::Bytestream;

/// Between two messages.
const MESSAGE_PAUSE: Duration = Duration::from_millis(50);
/// How long the answer to a close may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<Box<dyn Bytestream>>;

/// How an echo ended that was no echo.
enum Ended {
    /// Closed with 1001 (going away, RFC 6455, 7.4.1).
    Told,
    Failed(String),
}

/// One client, until time is over.
pub(super) async fn ask(shared: Arc<Shared>, client: usize) {
    let tally = shared.tally(Kind::WebSocket);
    let mut number: u64 = 0;
    while !shared.is_over() {
        let ended = match open(&shared, client).await {
            Ok(mut socket) => {
                tally.connected();
                let ended = echoes(&shared, &mut socket, client, &mut number).await;
                // Ours or an answer to theirs; nobody waits for it for long.
                let _ = timeout(CLOSE_LIMIT, socket.close(None)).await;
                ended.map_err(|ended| match ended {
                    Ended::Told => None,
                    Ended::Failed(reason) => Some(Failure::Broken(reason)),
                })
            }
            Err(failure) => Err(Some(failure)),
        };
        match ended {
            Ok(()) => {}
            Err(None) => tally.told(),
            Err(Some(failure)) => {
                tally.fail(&failure);
                shared.pause(AFTER_FAILURE).await;
            }
        }
    }
}

async fn open(shared: &Shared, client: usize) -> Result<Socket, Failure> {
    let stream = shared.http1.open(client).await?;
    let scheme = if shared.tls { "wss" } else { "ws" };
    let url = format!("{scheme}://{}/ws", shared.host);
    timeout(
        ANSWER_LIMIT,
        tokio_tungstenite::client_async(url.as_str(), stream),
    )
    .await
    .map_err(|_| Failure::broken(format!("no handshake in {ANSWER_LIMIT:?}")))?
    .map(|(socket, _)| socket)
    .map_err(|error| Failure::broken(format!("handshake: {error}")))
}

/// Sends and takes back until time is over.
async fn echoes(
    shared: &Shared,
    socket: &mut Socket,
    client: usize,
    number: &mut u64,
) -> Result<(), Ended> {
    while !shared.is_over() {
        *number += 1;
        let message = Message::text(format!("message {number} of client {client}"));
        let begin = Instant::now();
        timeout(ANSWER_LIMIT, echo(socket, message))
            .await
            .unwrap_or_else(|_| Err(Ended::Failed(format!("no echo in {ANSWER_LIMIT:?}"))))?;
        shared.tally(Kind::WebSocket).ok(begin.elapsed());
        shared.pause(MESSAGE_PAUSE).await;
    }
    Ok(())
}

async fn echo(socket: &mut Socket, message: Message) -> Result<(), Ended> {
    let sent = socket.send(message.clone()).await;
    // A socket that cannot be written to may still say why.
    loop {
        match socket.next().await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map(|frame| frame.code);
                return Err(match code {
                    Some(CloseCode::Away) => Ended::Told,
                    Some(code) => Ended::Failed(format!("closed with {}", u16::from(code))),
                    None => Ended::Failed("closed without a code".into()),
                });
            }
            Some(Ok(echoed)) if echoed == message => {
                return sent.map_err(|error| Ended::Failed(format!("send: {error}")));
            }
            Some(Ok(_)) => return Err(Ended::Failed("another message came back".into())),
            Some(Err(Error::ConnectionClosed)) | None => {
                return Err(Ended::Failed("ended without a close".into()));
            }
            Some(Err(error)) => return Err(Ended::Failed(format!("ended: {error}"))),
        }
    }
}
