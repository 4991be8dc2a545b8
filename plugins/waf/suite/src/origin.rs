//! The answers of the suite's origin: `POST /reflect` answers what its JSON body says, everything else
//! 200 and nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::schema::Fields;

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// 100 to 599.
    pub status: u16,
    /// Without Content-Length.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What `/reflect` is told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Reflect {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: Fields,
    #[serde(default)]
    body: String,
    #[serde(default)]
    encoded_body: String,
    #[serde(default)]
    log_message: String,
}

/// The answer to a request.
pub fn answer(method: &[u8], target: &[u8], body: &[u8]) -> Answer {
    let path = target
        .split(|byte| *byte == b'?')
        .next()
        .unwrap_or_default();
    if method != b"POST" || !(path == b"/reflect" || path.starts_with(b"/reflect/")) {
        return Answer {
            status: 200,
            ..Answer::default()
        };
    }
    reflect(body).unwrap_or_else(|error| Answer {
        status: 400,
        fields: vec![("Content-Type".into(), "text/plain; charset=utf-8".into())],
        body: error.into_bytes(),
    })
}

fn reflect(body: &[u8]) -> Result<Answer, String> {
    let told: Reflect = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let _ = told.log_message;
    let status = told.status.filter(|status| *status > 0).unwrap_or(200);
    if !(100..600).contains(&status) {
        return Err(format!("{status} is no status"));
    }
    let body = if told.body.is_empty() {
        STANDARD
            .decode(told.encoded_body)
            .map_err(|error| error.to_string())?
    } else {
        told.body.into_bytes()
    };
    let mut fields = told.headers.0;
    if !body.is_empty()
        && !fields
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        fields.push(("Content-Type".into(), media_type(&body).into()));
    }
    Ok(Answer {
        status,
        fields,
        body,
    })
}

/// The type that a browser would guess from the first bytes (a part of the MIME sniffing standard).
fn media_type(body: &[u8]) -> &'static str {
    const MARKUP: [&str; 8] = [
        "<!doctype html",
        "<html",
        "<head",
        "<script",
        "<body",
        "<title",
        "<div",
        "<!--",
    ];
    let start = body.trim_ascii_start();
    let start = start.get(..16).unwrap_or(start).to_ascii_lowercase();
    if MARKUP.iter().any(|tag| start.starts_with(tag.as_bytes())) {
        return "text/html; charset=utf-8";
    }
    if start.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    if start.starts_with(&[0x1f, 0x8b, 0x08]) {
        return "application/x-gzip";
    }
    let is_binary = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if body.iter().take(512).any(is_binary) {
        return "application/octet-stream";
    }
    "text/plain; charset=utf-8"
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn reflect_answers_as_told() {
        let told = br#"{"status":201,"headers":{"x-a":"1"},"encodedBody":"aGk="}"#;
        let got = answer(b"POST", b"/reflect?x", told);
        assert_eq!((got.status, got.body.as_slice()), (201, &b"hi"[..]));
        assert_eq!(got.fields[0], ("x-a".into(), "1".into()));
        assert_eq!(got.fields[1].1, "text/plain; charset=utf-8");
        assert_eq!(answer(b"POST", b"/reflect", b"no").status, 400);
        assert_eq!(
            answer(b"POST", b"/reflect", b"{\"body\":\"<html>\"}").fields[0].1,
            "text/html; charset=utf-8"
        );
        let other = answer(b"GET", b"/reflect", told);
        assert_eq!((other.status, other.body.is_empty()), (200, true));
    }
}
