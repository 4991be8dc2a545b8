//! Talking to a node's control socket.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{NodeArgs, exit};

/// Most bytes of an answer.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// Connecting must not take longer; the answer may, since a drain takes its time.
const CONNECT: Duration = Duration::from_secs(5);

/// An answer of a node.
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// The JSON it came with.
    pub(super) body: Value,
}

/// Sends a command. The error is an exit code; what went wrong is printed.
pub(super) fn send(
    node: &NodeArgs,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Answer, u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            err!("farmgate: {error}");
            exit::FAILED
        })?;
    runtime
        .block_on(exchange(&node.control, method, path, body))
        .map_err(|error| {
            err!(
                "farmgate: no node answers at {}: {error}",
                node.control.display()
            );
            exit::UNAVAILABLE
        })
}

async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Answer, Box<dyn std::error::Error>> {
    let stream = tokio::time::timeout(CONNECT, UnixStream::connect(socket)).await??;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let text = if body.is_null() {
        Bytes::new()
    } else {
        body.to_string().into()
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("/v1/{path}"))
        .header(http::header::HOST, "node")
        .body(Full::new(text))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES)
        .collect()
        .await
        .map_err(|error| error.to_string())?
        .to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(Answer { status, body })
}

/// Prints what an answer says; the exit code.
pub(super) fn conclude(
    node: &NodeArgs,
    answer: &Answer,
    done: impl FnOnce(&Value) -> String,
) -> u8 {
    let ok = (200..300).contains(&answer.status);
    if node.json {
        out!("{}", answer.body);
    } else if ok {
        out!("{}", done(&answer.body));
    } else {
        let why = answer.body["error"].as_str().unwrap_or("the node refused");
        err!("farmgate: {why}");
        for line in answer.body["text"].as_array().into_iter().flatten() {
            err!("{}", line.as_str().unwrap_or_default());
        }
    }
    if ok { exit::OK } else { exit::FAILED }
}
