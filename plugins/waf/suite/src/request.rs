//! The bytes of a stage's request, made as go-ftw makes them, and read again as a lenient server does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::schema::Input;
use crate::template::expand;

/// The request's bytes.
///
/// # Errors
/// Base64 that is none; both words for one thing.
pub fn build(input: &Input) -> Result<Vec<u8>, String> {
    if let Some(text) = &input.encoded_request {
        return decode(text).map_err(|error| format!("encoded_request: {error}"));
    }
    let autocomplete = match (input.autocomplete_headers, input.stop_magic) {
        (Some(_), Some(_)) => return Err("autocomplete_headers and stop_magic".into()),
        (Some(autocomplete), None) => autocomplete,
        (None, stop) => !stop.unwrap_or(false),
    };
    let mut body = match (&input.data, &input.encoded_data) {
        (Some(_), Some(_)) => return Err("data and encoded_data".into()),
        (Some(text), None) => expand(text).into_bytes(),
        (None, Some(text)) => decode(text).map_err(|error| format!("encoded_data: {error}"))?,
        (None, None) => Vec::new(),
    };
    let method = input.method.as_deref().unwrap_or("GET");
    let uri = expand(input.uri.as_deref().unwrap_or("/"));
    let version = input.version.as_deref().unwrap_or("HTTP/1.1");
    let mut fields = input.headers.0.clone();
    if autocomplete && !body.is_empty() {
        if value(&fields, "content-type").is_none() {
            fields.push((
                "Content-Type".into(),
                "application/x-www-form-urlencoded".into(),
            ));
        }
        let is_form = value(&fields, "content-type")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
        if is_form && is_plain(&body) {
            body = encode_form(&body);
        }
    }
    let is_multipart = value(&fields, "content-type")
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("multipart/form-data;"));
    if is_multipart {
        body = with_crlf(&body);
    }
    if autocomplete {
        if value(&fields, "connection").is_none() {
            fields.push(("Connection".into(), "close".into()));
        }
        let may_have_body = method.starts_with("POST")
            || method.contains("PUT")
            || method.contains("PATCH")
            || method.ends_with("DELETE");
        if value(&fields, "content-length").is_none() && (may_have_body || !body.is_empty()) {
            fields.push(("Content-Length".into(), body.len().to_string()));
        }
    }
    let mut out = format!("{method} {uri} {version}\r\n").into_bytes();
    for (name, value) in &fields {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
    Ok(out)
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    let text: String = text.split_whitespace().collect();
    STANDARD.decode(text).map_err(|error| error.to_string())
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let field = fields
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name));
    field.map(|(_, value)| value.as_str())
}

/// True if decoding a form changes nothing: then the test's author has not encoded it.
fn is_plain(body: &[u8]) -> bool {
    !body.contains(&b'%') && !body.contains(&b'+')
}

/// Names and values percent-encoded, `&` and the first `=` of each pair kept.
fn encode_form(body: &[u8]) -> Vec<u8> {
    let pairs = body.split(|byte| *byte == b'&').map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let mut out = Vec::new();
        escape(halves.next().unwrap_or_default(), &mut out);
        if let Some(value) = halves.next() {
            out.push(b'=');
            escape(value, &mut out);
        }
        out
    });
    let mut pairs: Vec<Vec<u8>> = pairs.collect();
    // As the original: what ends in `&` has no empty pair behind it.
    if pairs.last().is_some_and(Vec::is_empty) {
        pairs.pop();
    }
    pairs.join(&b'&')
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b' ' => out.push(b'+'),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

/// Every LF becomes CRLF; a CRLF becomes CR CR LF, as in the original.
fn with_crlf(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for byte in body {
        if *byte == b'\n' {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

/// A request as it is given to an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Before the first space of the first line.
    pub method: Vec<u8>,
    /// Between the first space and the last.
    pub target: Vec<u8>,
    /// Behind the last space: `HTTP/1.1`.
    pub protocol: Vec<u8>,
    /// In order, repeated ones too, values without the blanks around.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Chunks joined; as long as Content-Length says, or shorter when less came.
    pub body: Vec<u8>,
}

impl Request {
    /// Reads bytes without judging them.
    pub fn read(bytes: &[u8]) -> Self {
        let (line, mut rest) = cut_line(bytes);
        let mut request = Self::default();
        let first = line.iter().position(|byte| *byte == b' ');
        let last = line.iter().rposition(|byte| *byte == b' ');
        match (first, last) {
            (Some(first), Some(last)) if first < last => {
                request.method = line[..first].to_vec();
                request.target = line[first + 1..last].to_vec();
                request.protocol = line[last + 1..].to_vec();
            }
            (Some(only), _) => {
                request.method = line[..only].to_vec();
                request.target = line[only + 1..].to_vec();
            }
            _ => request.method = line.to_vec(),
        }
        while !rest.is_empty() {
            let (line, after) = cut_line(rest);
            rest = after;
            if line.is_empty() {
                break;
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            request.fields.push((name.to_vec(), value.to_vec()));
        }
        request.body = request.body_of(rest);
        request
    }

    fn body_of(&self, rest: &[u8]) -> Vec<u8> {
        let chunked = self.field("transfer-encoding");
        if chunked.is_some_and(|value| value.to_ascii_lowercase().ends_with(b"chunked")) {
            return dechunk(rest);
        }
        let length = self
            .field("content-length")
            .and_then(|text| std::str::from_utf8(text).ok());
        let length = length.and_then(|text| text.parse().ok()).unwrap_or(0_usize);
        rest[..length.min(rest.len())].to_vec()
    }

    /// The first value of a field, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value.as_slice())
    }
}

/// A line without its end, and what follows.
fn cut_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => {
            let line = &bytes[..at];
            (line.strip_suffix(b"\r").unwrap_or(line), &bytes[at + 1..])
        }
        None => (bytes, b""),
    }
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let (line, after) = cut_line(rest);
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        let size = usize::from_str_radix(digits.trim(), 16).unwrap_or(0);
        if size == 0 || after.is_empty() {
            return out;
        }
        let size = size.min(after.len());
        out.extend_from_slice(&after[..size]);
        rest = cut_line(&after[size..]).1;
    }
}

#[cfg(test)]
mod tests {
    use super::{Request, build};
    use crate::schema::{Fields, Input};

    fn text(input: &Input) -> String {
        String::from_utf8(build(input).unwrap()).unwrap()
    }

    #[test]
    fn what_is_missing_is_added() {
        let mut input = Input {
            method: Some("POST".into()),
            data: Some("a=1 2&b='&c".into()),
            ..Input::default()
        };
        assert_eq!(
            text(&input),
            "POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Connection: close\r\nContent-Length: 14\r\n\r\na=1+2&b=%27&c"
                .replace("14", "13")
        );
        input.autocomplete_headers = Some(false);
        assert_eq!(text(&input), "POST / HTTP/1.1\r\n\r\na=1 2&b='&c");
    }

    #[test]
    fn an_encoded_form_stays() {
        let input = Input {
            data: Some("a=%27 b".into()),
            ..Input::default()
        };
        assert!(text(&input).ends_with("\r\n\r\na=%27 b"));
    }

    #[test]
    fn multipart_has_crlf() {
        let kind = (
            "Content-Type".into(),
            "multipart/form-data; boundary=x".into(),
        );
        let input = Input {
            headers: Fields(vec![kind]),
            data: Some("--x\n\n1\n--x--\n".into()),
            ..Input::default()
        };
        assert!(
            text(&input).ends_with(
                "Content-Length: 19\r\n\r\n--x\r\n\r\n1\r\n--x--\r\n"
                    .replace("19", "17")
                    .as_str()
            )
        );
    }

    #[test]
    fn bytes_are_read_as_they_are() {
        let request = Request::read(b"GET /a b HTTP/1.1\r\nA: 1 \r\na:2\r\n\r\nrest");
        assert_eq!(request.method, b"GET");
        assert_eq!(request.target, b"/a b");
        assert_eq!(request.protocol, b"HTTP/1.1");
        assert_eq!(request.fields.len(), 2);
        assert_eq!(request.field("a"), Some(&b"1"[..]));
        assert_eq!(request.body, b"");
        let request = Request::read(
            b"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n3;x\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        );
        assert_eq!(request.body, b"abcde");
    }
}
