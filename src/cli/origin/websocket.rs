//! The WebSocket echo (RFC 6455), by HTTP/1.1 upgrade.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::body::{self, OriginBody};
use super::query::Refusal;
use super::serving::{Shared, Stage};
use super::wire::Line;

/// Largest message echoed; a larger one closes the connection with 1009.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// Answers 101 and echoes messages from then on; refuses what is no WebSocket handshake.
pub(super) fn upgrade(
    shared: &Arc<Shared>,
    line: &Arc<Line>,
    mut request: Request<Incoming>,
) -> Result<Response<OriginBody>, Refusal> {
    let key = handshake_key(request.headers())?;
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| Refusal("bad sec-websocket-key".into()))?;
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(echo(upgrade, shared.stage.clone(), Arc::clone(line)));
    let mut response = Response::new(body::whole(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

fn handshake_key(headers: &HeaderMap) -> Result<&HeaderValue, Refusal> {
    if !has_word(headers, &UPGRADE, "websocket") || !has_word(headers, &CONNECTION, "upgrade") {
        return Err(Refusal(
            "/ws wants a WebSocket handshake (`Connection: upgrade`, `Upgrade: websocket`)".into(),
        ));
    }
    if !has_word(headers, &SEC_WEBSOCKET_VERSION, "13") {
        return Err(Refusal("sec-websocket-version must be 13".into()));
    }
    headers
        .get(SEC_WEBSOCKET_KEY)
        .ok_or_else(|| Refusal("sec-websocket-key is missing".into()))
}

/// Whether a comma-separated header holds `word`, in any letter case.
fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}

async fn echo(upgrade: OnUpgrade, mut stage: watch::Receiver<Stage>, line: Arc<Line>) {
    if let Ok(upgraded) = upgrade.await {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let io = TokioIo::new(upgraded);
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let stopped = tokio::select! {
            () = echo_messages(&mut socket) => false,
            _ = stage.wait_for(|stage| *stage != Stage::Serving) => true,
        };
        if stopped {
            let away = CloseFrame {
                code: CloseCode::Away,
                reason: "the origin stops".into(),
            };
            // A client that does not read must not hold the stop.
            tokio::select! {
                _ = socket.close(Some(away)) => {}
                _ = stage.wait_for(|stage| *stage == Stage::Closed) => {}
            }
        }
    }
    // The line counts as open until here.
    drop(line);
}

async fn echo_messages(socket: &mut WebSocketStream<TokioIo<Upgraded>>) {
    while let Some(Ok(message)) = socket.next().await {
        let sent = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            // The library answers pings and closes itself; flushing sends what it prepared.
            _ => socket.flush().await,
        };
        if sent.is_err() {
            return;
        }
    }
}
