//! The gRPC Health Checking Protocol: `grpc.health.v1.Health/Check`.
//!
//! Its two messages are one field each, so they are written and read by hand:
//! `HealthCheckRequest { string service = 1; }` and `HealthCheckResponse { ServingStatus status = 1; }`, each behind
//! the five bytes of a gRPC message: not compressed, and its length.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, TE};
use tokio::time::Instant;

use super::http2::{self, Sender};
use super::request::Question;
use crate::upstream::health::dial::Connection;
use crate::upstream::health::failure::{FailureKind, ProbeError};

const PATH: &str = "/grpc.health.v1.Health/Check";

/// Most bytes of the answer; a right one has 7.
const MAX_ANSWER_BYTES: usize = 4096;

const SERVING: u64 = 1;

pub(super) fn question(host: &str, bound: Duration) -> Result<Question, ProbeError> {
    let mut question = Question::build("POST", PATH, host, &[])?;
    let headers = &mut question.headers;
    headers.remove(ACCEPT);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    // At most 8 digits; an hour has 7 in milliseconds.
    let ms = bound.as_millis().clamp(1, 99_999_999);
    if let Ok(timeout) = HeaderValue::try_from(format!("{ms}m")) {
        headers.insert("grpc-timeout", timeout);
    }
    Ok(question)
}

pub(super) async fn ask(
    io: Box<dyn Connection>,
    question: &Question,
    service: &str,
    tls: bool,
    deadline: Instant,
    bound: Duration,
) -> Result<(), ProbeError> {
    let request = question.http2(tls)?;
    let message = message(service);
    http2::exchange(io, deadline, bound, async |mut sender: Sender| {
        let (answer, mut sending) = sender.send_request(request, false)?;
        sending.send_data(message, true)?;
        let (head, mut stream) = answer.await?.into_parts();
        if head.status != 200 {
            let text = format!("status {}, a gRPC server says 200", head.status.as_u16());
            return Err(ProbeError::new(FailureKind::Status, text));
        }
        let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
            return Err(ProbeError::garbage("the answer is not gRPC"));
        }
        let body = http2::body(&mut stream, MAX_ANSWER_BYTES).await?;
        let trailers = stream.trailers().await?;
        // An answer that is an error has its status in the head and nothing else.
        judge_status(trailers.as_ref().unwrap_or(&head.headers))?;
        judge_message(&body)
    })
    .await
}

/// The request's message behind its five bytes.
pub(super) fn message(service: &str) -> Bytes {
    let mut field = Vec::new();
    // The default value of a field is not sent.
    if !service.is_empty() {
        // Field 1, a length and that many bytes.
        field.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            field.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        field.push(length as u8);
        field.extend_from_slice(service.as_bytes());
    }
    let mut message = vec![0];
    message.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend_from_slice(&field);
    message.into()
}

fn judge_status(headers: &HeaderMap) -> Result<(), ProbeError> {
    let Some(status) = headers.get("grpc-status") else {
        return Err(ProbeError::cut("the answer ended without a grpc-status"));
    };
    let why = match status.as_bytes() {
        b"0" => return Ok(()),
        b"5" => "NOT_FOUND: the server does not know the service".to_owned(),
        b"12" => "UNIMPLEMENTED: the server has no health service".to_owned(),
        // Two digits at most are shown: it is text from the endpoint.
        other => match str::from_utf8(other)
            .ok()
            .and_then(|text| text.parse::<u8>().ok())
        {
            Some(number) => number.to_string(),
            None => return Err(ProbeError::garbage("the grpc-status is no number")),
        },
    };
    Err(ProbeError::new(
        FailureKind::NotServing,
        format!("grpc-status {why}"),
    ))
}

fn judge_message(body: &[u8]) -> Result<(), ProbeError> {
    let wrong = || ProbeError::garbage("the answer is no message of grpc.health.v1");
    let (prefix, message) = body.split_first_chunk::<5>().ok_or_else(wrong)?;
    let [compressed, length @ ..] = *prefix;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| wrong())?;
    if compressed != 0 || message.len() != length {
        return Err(wrong());
    }
    let word = match serving_status(message).ok_or_else(wrong)? {
        SERVING => return Ok(()),
        0 => "UNKNOWN",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "a status that is not defined",
    };
    Err(ProbeError::new(
        FailureKind::NotServing,
        format!("the server says {word}"),
    ))
}

/// Field 1 of the message; 0 where it is left out. The last one counts, and fields of a later version are passed over,
/// as the encoding of Protocol Buffers wants it.
pub(super) fn serving_status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let (tag, rest) = varint(message)?;
        let (field, wire) = (tag >> 3, tag & 7);
        message = match wire {
            0 => {
                let (value, rest) = varint(rest)?;
                if field == 1 {
                    status = value;
                }
                rest
            }
            // A status is no number of fixed length and no text.
            _ if field <= 1 => return None,
            1 => rest.get(8..)?,
            2 => {
                let (length, rest) = varint(rest)?;
                rest.get(usize::try_from(length).ok()?..)?
            }
            5 => rest.get(4..)?,
            _ => return None,
        };
    }
    Some(status)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * at as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}
