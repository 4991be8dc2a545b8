//! From a request to its answer: one function per target.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, LOCATION, SERVER};
use http::header::{SET_COOKIE, TRAILER};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::body::{self, OriginBody};
use super::page;
use super::query::{Query, Refusal, number};
use super::serving::Shared;
use super::websocket;
use super::wire::Line;

const MAX_BYTES: u64 = 1024 * 1024 * 1024;
const MAX_DELAY_MS: u64 = 600_000;
const MAX_CHUNKS: u64 = 100_000;
const MAX_CHUNK_BYTES: u64 = 1024 * 1024;
const MAX_CUT_BYTES: u64 = 64 * 1024;
const NAME: HeaderValue = HeaderValue::from_static("farmgate-origin");

/// The request ends without an answer, and its connection with it.
#[derive(Debug)]
pub(super) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection is reset, as asked")
    }
}

impl std::error::Error for Cut {}

/// How a target ends: with an answer, a 400 that says what is wrong, or a cut connection.
enum Failure {
    Refused(Refusal),
    Cut,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Answers one request. `Err` makes the server drop the connection.
pub(super) async fn answer(
    shared: Arc<Shared>,
    line: Arc<Line>,
    request: Request<Incoming>,
) -> Result<Response<OriginBody>, Cut> {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    line.requests.fetch_add(1, Ordering::Relaxed);
    let mut response = match dispatch(&shared, &line, request).await {
        Ok(response) => response,
        Err(Failure::Refused(Refusal(reason))) => {
            let mut response = text(format!("{reason}\n"));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
        Err(Failure::Cut) => {
            line.reset();
            return Err(Cut);
        }
    };
    response.headers_mut().insert(SERVER, NAME);
    Ok(response)
}

async fn dispatch(
    shared: &Arc<Shared>,
    line: &Arc<Line>,
    request: Request<Incoming>,
) -> Result<Response<OriginBody>, Failure> {
    let uri = request.uri().clone();
    let path = uri.path().trim_start_matches('/');
    let (target, rest) = path.split_once('/').unwrap_or((path, ""));
    let query = Query(uri.query().unwrap_or(""));
    let response = match target {
        "echo" => echo(line, query, request).await,
        "headers" => json_text(&head(line, &request)),
        "bytes" => pattern(number("N", rest, MAX_BYTES)?, true),
        "chunked" => pattern(number("N", rest, MAX_BYTES)?, false),
        "status" => status(rest)?,
        "delay" => {
            let wait = number("MS", rest, MAX_DELAY_MS)?;
            let _worker = match &shared.workers {
                // It is never closed.
                Some(workers) => workers.acquire().await.ok(),
                None => None,
            };
            tokio::time::sleep(Duration::from_millis(wait)).await;
            text(format!("waited {wait} ms\n"))
        }
        "slow-body" => slow_body(query)?,
        "sse" => events(query)?,
        "ws" => websocket::upgrade(shared, line, request)?,
        "trailers" => trailers(),
        "reset" => return Err(Failure::Cut),
        "close-mid" => close_mid(query)?,
        "count" => count(shared, line),
        "cookie" => cookie(query, request.headers())?,
        "redirect" => redirect(query)?,
        _ => page::hello(&head(line, &request), request.headers()),
    };
    Ok(response)
}

/// The request's head as it was seen.
fn head<B>(line: &Line, request: &Request<B>) -> Value {
    let headers: Vec<[String; 2]> = request
        .headers()
        .iter()
        .map(|(name, value)| [name.to_string(), lossy(value)])
        .collect();
    json!({
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "version": format!("{:?}", request.version()),
        "peer": line.peer,
        "headers": headers,
    })
}

async fn echo(line: &Line, query: Query<'_>, request: Request<Incoming>) -> Response<OriginBody> {
    if query.text("headers").as_deref() == Some("1") {
        let mut seen = head(line, &request);
        let (bytes, complete) = drain(request.into_body()).await;
        if let Some(fields) = seen.as_object_mut() {
            fields.insert("body_bytes".into(), bytes.into());
            fields.insert("body_complete".into(), complete.into());
        }
        return json_text(&seen);
    }
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let body = request.into_body().map_err(io::Error::other).boxed_unsync();
    let mut response = Response::new(body);
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

/// Reads a body to its end; how many bytes it had, and whether the end was a good one.
async fn drain(mut body: Incoming) -> (u64, bool) {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Err(_) => return (bytes, false),
        }
    }
    (bytes, true)
}

fn pattern(bytes: u64, sized: bool) -> Response<OriginBody> {
    let mut response = Response::new(body::pattern(bytes, sized));
    let octets = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, octets);
    response
}

fn status(code: &str) -> Result<Response<OriginBody>, Failure> {
    let status = code
        .parse::<u16>()
        .ok()
        .filter(|code| (200..=599).contains(code))
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| Refusal(format!("CODE must be from 200 to 599, not `{code}`")))?;
    // These two have no body (RFC 9110, 15.3.5 and 15.4.5).
    let mut response = match status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Response::new(body::whole("")),
        _ => text(format!("{status}\n")),
    };
    *response.status_mut() = status;
    Ok(response)
}

fn slow_body(query: Query<'_>) -> Result<Response<OriginBody>, Failure> {
    let chunks = query.number("chunks", 5, MAX_CHUNKS)?;
    let size = query.number("size", 64, MAX_CHUNK_BYTES)?;
    let interval = Duration::from_millis(query.number("interval_ms", 200, MAX_DELAY_MS)?);
    let chunk: Bytes = (0..size).map(body::pattern_byte).collect();
    Ok(Response::new(body::paced(chunks, interval, move |_| {
        chunk.clone()
    })))
}

fn events(query: Query<'_>) -> Result<Response<OriginBody>, Failure> {
    let count = query.number("count", 5, MAX_CHUNKS)?;
    let interval = Duration::from_millis(query.number("interval_ms", 1000, MAX_DELAY_MS)?);
    let events = body::paced(count, interval, |number| {
        format!("id: {number}\nevent: tick\ndata: {{\"n\":{number}}}\n\n").into()
    });
    let mut response = Response::new(events);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn trailers() -> Response<OriginBody> {
    const TEXT: &str = "trailers follow\n";
    let mut trailers = HeaderMap::new();
    trailers.insert("x-body-bytes", HeaderValue::from(TEXT.len()));
    trailers.insert("x-end", HeaderValue::from_static("complete"));
    let mut response = Response::new(body::with_trailers(TEXT, trailers));
    let names = HeaderValue::from_static("x-body-bytes, x-end");
    response.headers_mut().insert(TRAILER, names);
    response
}

fn close_mid(query: Query<'_>) -> Result<Response<OriginBody>, Failure> {
    let size = query.number("size", 1024, MAX_CUT_BYTES)?.max(1);
    let mut response = Response::new(body::broken((size / 2) as usize));
    let length = HeaderValue::from(size);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    Ok(response)
}

fn count(shared: &Shared, line: &Line) -> Response<OriginBody> {
    json_text(&json!({
        "requests": shared.requests.load(Ordering::Relaxed),
        "connections": shared.connections.load(Ordering::Relaxed),
        "requests_on_this_connection": line.requests.load(Ordering::Relaxed),
    }))
}

fn cookie(query: Query<'_>, headers: &HeaderMap) -> Result<Response<OriginBody>, Failure> {
    let received: Vec<[String; 2]> = headers
        .get_all(COOKIE)
        .iter()
        .map(lossy)
        .flat_map(|line| {
            line.split(';')
                .filter_map(|pair| pair.trim().split_once('='))
                .map(|(name, value)| [name.to_owned(), value.to_owned()])
                .collect::<Vec<_>>()
        })
        .collect();
    let name = query.text("name").unwrap_or("demo".into());
    let value = query.text("value").unwrap_or("1".into());
    let mut response = json_text(&json!({ "received": received }));
    let line = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax");
    response.headers_mut().insert(
        SET_COOKIE,
        HeaderValue::try_from(line)
            .map_err(|_| Refusal("name and value must be printable".into()))?,
    );
    Ok(response)
}

fn redirect(query: Query<'_>) -> Result<Response<OriginBody>, Failure> {
    let code = query.number("status", 302, 399)?;
    let status = u16::try_from(code)
        .ok()
        .filter(|code| *code >= 300)
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| Refusal("status must be from 300 to 399".into()))?;
    let to = query.text("to").unwrap_or("/".into());
    let location = HeaderValue::try_from(to.as_ref())
        .map_err(|_| Refusal("to must be a printable URL".into()))?;
    let mut response = text(format!("to {to}\n"));
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// A 200 of plain text.
pub(super) fn text(text: String) -> Response<OriginBody> {
    typed("text/plain; charset=utf-8", text)
}

/// A 200 of the content type given.
pub(super) fn typed(content_type: &'static str, text: String) -> Response<OriginBody> {
    let mut response = Response::new(body::whole(text));
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn json_text(value: &Value) -> Response<OriginBody> {
    typed("application/json", format!("{value}\n"))
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
