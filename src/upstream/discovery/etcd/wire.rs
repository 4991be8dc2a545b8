//! The messages of etcd's JSON gateway: keys and values in base64, numbers as text, one message a line in a watch.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::json;

use super::{EtcdOptions, Login};
use crate::upstream::discovery::ask::shown;
use crate::upstream::discovery::dial::Dialer;
use crate::upstream::discovery::fetch::{Answer, fetch, public};
use crate::upstream::discovery::source::SourceError;
use crate::upstream::discovery::targets::MAX_FOUND;

/// Most bytes of an answer, and of one message of a watch.
const MAX_ANSWER: usize = 8 << 20;

/// Most changes of one watch that wait to be taken.
const MAX_CHANGES: usize = 4 * MAX_FOUND;

/// A change of one key.
pub(super) enum Change {
    /// The key has this value.
    Put(Vec<u8>, Vec<u8>),
    /// The key is gone.
    Delete(Vec<u8>),
}

#[derive(Deserialize)]
struct Header {
    revision: Option<String>,
}

#[derive(Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct Range {
    header: Header,
    #[serde(default)]
    kvs: Vec<KeyValue>,
    #[serde(default)]
    more: bool,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
struct Event {
    /// Left out for a put.
    #[serde(rename = "type", default)]
    kind: String,
    kv: KeyValue,
}

#[derive(Deserialize)]
struct Watched {
    #[serde(default)]
    canceled: bool,
    #[serde(default)]
    cancel_reason: String,
    compact_revision: Option<String>,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Message {
    result: Option<Watched>,
    error: Option<serde_json::Value>,
}

/// The members, and what it takes to talk to them.
pub(super) struct Session {
    dialer: Arc<dyn Dialer>,
    servers: Vec<Uri>,
    /// The member that is asked.
    turn: usize,
    login: Option<Login>,
    /// Of the login, as long as it is believed.
    token: Option<HeaderValue>,
    /// First key and the first one behind the last.
    range: (String, String),
}

/// Keys and values of one moment.
pub(super) type All = Vec<(Vec<u8>, Vec<u8>)>;

impl Session {
    pub(super) fn new(options: &EtcdOptions, dialer: Arc<dyn Dialer>) -> Self {
        let (first, end) = range_of(options.prefix.as_bytes());
        Self {
            dialer,
            servers: options.servers.clone(),
            turn: 0,
            login: options.login.clone(),
            token: None,
            range: (BASE64.encode(first), BASE64.encode(end)),
        }
    }

    /// The next member is asked from now on. A token is good for all of them.
    pub(super) fn turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }

    fn url(&self) -> Option<&Uri> {
        let turn = self.turn.checked_rem(self.servers.len())?;
        self.servers.get(turn)
    }

    /// The member that is asked, for messages.
    pub(super) fn server(&self) -> String {
        self.url().map(public).unwrap_or_default()
    }

    /// Reads all keys, and watches what happens after.
    pub(super) async fn open(&mut self) -> Result<(All, Watch), SourceError> {
        let had_token = self.token.is_some();
        let opened = self.open_once().await;
        if opened.is_err() {
            self.token = None;
            if had_token {
                // It may have run out, or the server forgot it.
                return self.open_once().await;
            }
        }
        opened
    }

    async fn open_once(&mut self) -> Result<(All, Watch), SourceError> {
        if self.token.is_none()
            && let Some(Login { user, password }) = self.login.clone()
        {
            let body = json!({ "name": user, "password": password });
            let token: Token = self.ask("/v3/auth/authenticate", &body).await?;
            let mut token = HeaderValue::from_str(&token.token)
                .map_err(|_| SourceError::new(format!("{}: a strange token", self.server())))?;
            token.set_sensitive(true);
            self.token = Some(token);
        }
        let (key, range_end) = &self.range;
        let body =
            json!({ "key": key, "range_end": range_end, "limit": (MAX_FOUND + 1).to_string() });
        let range: Range = self.ask("/v3/kv/range", &body).await?;
        let wrong = |why: &str| SourceError::new(format!("{}: {why}", self.server()));
        if range.more || range.kvs.len() > MAX_FOUND {
            let why = format!("more than {MAX_FOUND} keys begin with the prefix");
            return Err(wrong(&why));
        }
        let revision = range
            .header
            .revision
            .and_then(|text| text.parse::<i64>().ok());
        let revision = revision.ok_or_else(|| wrong("an answer without a revision"))?;
        let all: Result<All, SourceError> = range
            .kvs
            .into_iter()
            .map(|pair| pair.decode().ok_or_else(|| wrong("a key is not base64")))
            .collect();
        let body = json!({ "create_request": {
            "key": key, "range_end": range_end, "start_revision": revision.saturating_add(1).to_string(),
        }});
        let answer = self.send("/v3/watch", &body).await?;
        let watch = Watch {
            answer,
            line: BytesMut::new(),
        };
        Ok((all?, watch))
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        path: &'static str,
        body: &serde_json::Value,
    ) -> Result<T, SourceError> {
        let mut answer = self.send(path, body).await?;
        let bytes = answer.whole(MAX_ANSWER).await?;
        // The decoder's message may show what it read, and that may be a token.
        serde_json::from_slice(&bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            answer.error(format_args!(
                "no answer of an etcd v3 at line {line} column {column}"
            ))
        })
    }

    async fn send(
        &self,
        path: &'static str,
        body: &serde_json::Value,
    ) -> Result<Answer, SourceError> {
        let wrong = |why: &dyn std::fmt::Display| {
            SourceError::new(format!("{}: {}", self.server(), shown(&why.to_string())))
        };
        let mut url = self
            .url()
            .cloned()
            .ok_or_else(|| wrong(&"no server"))?
            .into_parts();
        url.path_and_query = Some(PathAndQuery::from_static(path));
        let url = Uri::from_parts(url).map_err(|why| wrong(&why))?;
        let mut request = Request::post(url).header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let body = Full::new(Bytes::from(body.to_string()));
        let request = request.body(body).map_err(|why| wrong(&why))?;
        let answer = fetch(&*self.dialer, request).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.refusal().await);
        }
        Ok(answer)
    }
}

impl KeyValue {
    fn decode(self) -> Option<(Vec<u8>, Vec<u8>)> {
        let key = BASE64.decode(self.key).ok()?;
        Some((key, BASE64.decode(self.value).ok()?))
    }
}

/// The keys that begin with `prefix`: the first one and the end, which is not one of them. `"\0"` as the end: all.
fn range_of(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return (prefix.to_vec(), end);
        }
    }
    let first = if prefix.is_empty() { &[0][..] } else { prefix };
    (first.to_vec(), vec![0])
}

/// An open watch.
pub(super) struct Watch {
    answer: Answer,
    /// Bytes behind the last whole line.
    line: BytesMut,
}

impl Watch {
    /// Waits for the next piece and adds its changes, maybe none. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The watch is over: all must be read anew.
    pub(super) async fn read(&mut self, changes: &mut VecDeque<Change>) -> Result<(), SourceError> {
        let Some(piece) = self.answer.piece().await? else {
            return Err(self.answer.error("the server ended the watch"));
        };
        let mut searched = self.line.len();
        if searched + piece.len() > MAX_ANSWER {
            let why = format!("a message of more than {MAX_ANSWER} bytes");
            return Err(self.answer.error(why));
        }
        self.line.extend_from_slice(&piece);
        while let Some(end) = self.line.get(searched..).and_then(end_of_line) {
            let line = self.line.split_to(searched + end + 1);
            searched = 0;
            take(&line, changes).map_err(|why| self.answer.error(shown(&why)))?;
        }
        Ok(())
    }
}

/// Adds the changes of one line of a watch. An error ends the watch.
fn take(line: &[u8], changes: &mut VecDeque<Change>) -> Result<(), String> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let message: Message = serde_json::from_slice(line)
        .map_err(|_| "a message that is none of an etcd v3".to_owned())?;
    if let Some(error) = message.error {
        return Err(error.to_string());
    }
    let Some(watched) = message.result else {
        return Ok(());
    };
    if watched.canceled {
        let compacted = watched.compact_revision.is_some();
        return Err(match watched.cancel_reason {
            reason if !reason.is_empty() => reason,
            _ if compacted => "the changes were compacted".to_owned(),
            _ => "the server cancelled the watch".to_owned(),
        });
    }
    for event in watched.events {
        let (key, value) = event.kv.decode().ok_or("a key is not base64")?;
        changes.push_back(match event.kind.as_str() {
            "DELETE" => Change::Delete(key),
            _ => Change::Put(key, value),
        });
    }
    if changes.len() > MAX_CHANGES {
        return Err("more changes at once than can be taken".to_owned());
    }
    Ok(())
}

fn end_of_line(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of an etcd 3.4.
    #[test]
    fn lines_are_read_as_etcd_writes_them() {
        let mut changes = VecDeque::new();
        for line in [
            r#"{"result":{"header":{"revision":"2"},"created":true}}"#,
            r#"{"result":{"header":{"revision":"3"},"events":[{"kv":{"key":"L2EvMg==","mod_revision":"3","value":"eQ=="}},{"type":"DELETE","kv":{"key":"L2EvMQ==","mod_revision":"3"}}]}}"#,
            "\n",
        ] {
            take(line.as_bytes(), &mut changes).unwrap();
        }
        assert!(matches!(&changes[0], Change::Put(key, value) if key == b"/a/2" && value == b"y"));
        assert!(matches!(&changes[1], Change::Delete(key) if key == b"/a/1"));
        assert_eq!(changes.len(), 2);
        for (line, expected) in [
            (
                r#"{"result":{"canceled":true,"compact_revision":"4"}}"#,
                "compacted",
            ),
            (
                r#"{"result":{"canceled":true,"cancel_reason":"permission denied"}}"#,
                "permission denied",
            ),
            (
                r#"{"error":{"grpc_code":14,"message":"unavailable"}}"#,
                "unavailable",
            ),
            (r#"{"result":{"events":[{"kv":{"key":"*"}}]}}"#, "base64"),
            ("{\"result\":", "none of an etcd"),
        ] {
            let error = take(line.as_bytes(), &mut changes).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_flood_of_changes_ends_the_watch() {
        let event = r#"{"kv":{"key":"L2EvMg==","value":"eQ=="}}"#;
        let line = format!(
            r#"{{"result":{{"events":[{}]}}}}"#,
            vec![event; MAX_CHANGES + 1].join(",")
        );
        let error = take(line.as_bytes(), &mut VecDeque::new()).unwrap_err();
        assert!(error.contains("more changes"), "{error}");
    }

    #[test]
    fn a_prefix_is_a_range() {
        assert_eq!(range_of(b"/a/"), (b"/a/".to_vec(), b"/a0".to_vec()));
        assert_eq!(range_of(b"a\xff"), (b"a\xff".to_vec(), b"b".to_vec()));
        assert_eq!(range_of(b"\xff"), (b"\xff".to_vec(), vec![0]));
        assert_eq!(range_of(b""), (vec![0], vec![0]));
    }
}
