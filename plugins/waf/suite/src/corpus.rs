//! Requests in a short text format: one corpus a folder of `.txt` files.
//!
//! ```text
//! # comment
//! == login POST /login            one request, with fields, an empty line, a body
//! Content-Type: application/x-www-form-urlencoded
//!
//! user=a&password=b
//! == search QUERIES /find q       a GET of /find?q=... for every line
//! size 5 or larger
//! == note FORMS /notes text       a form with text=... for every line
//! == api JSON /v1/orders          a POST of every line as application/json
//! ```
//! `== name PUT JSON /path` is JSON by another method. In a multipart body every line ends in CRLF.
//! What a browser always sends (Host, User-Agent, Accept) is added where it is not written, and so is
//! Content-Length.

use std::path::Path;

/// One request.
#[derive(Clone, Debug)]
pub struct Sample {
    /// `file/name` or `file/name.3` for the third line of a list.
    pub name: String,
    /// Its bytes.
    pub request: Vec<u8>,
}

/// What is added unless it is written.
const USUAL: [(&str, &str); 5] = [
    ("Host", "shop.example"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Connection", "close"),
];

/// All requests of the `.txt` files in a folder, by file name, then in the order written.
///
/// # Errors
/// Names the file and the request: unreadable, not of the format, a name twice.
pub fn read(folder: &Path) -> Result<Vec<Sample>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        if path.extension().is_some_and(|ext| ext == "txt") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut samples: Vec<Sample> = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(told)?;
        let file = path.file_stem().unwrap_or_default().to_string_lossy();
        parse(&file, &text, &mut samples)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let mut names: Vec<&str> = samples.iter().map(|sample| sample.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("{}: {} is there twice", folder.display(), pair[0])),
        None => Ok(samples),
    }
}

fn parse(file: &str, text: &str, samples: &mut Vec<Sample>) -> Result<(), String> {
    let mut blocks = text.split("\n== ");
    let start = blocks.next().unwrap_or_default();
    let first = start.strip_prefix("== ");
    if first.is_none()
        && start
            .lines()
            .any(|line| !line.is_empty() && !line.starts_with('#'))
    {
        return Err("text before the first `==`".into());
    }
    for block in first.into_iter().chain(blocks) {
        let (head, rest) = block.split_once('\n').unwrap_or((block, ""));
        let told = |error: &str| format!("`{head}`: {error}");
        let words: Vec<&str> = head.split_whitespace().collect();
        let name = format!("{file}/{}", words.first().ok_or_else(|| told("no name"))?);
        let lines = || {
            rest.lines()
                .filter(|line| !line.trim().is_empty() && !line.starts_with("# "))
        };
        let mut add = |at: usize, request: Vec<u8>| {
            samples.push(Sample {
                name: format!("{name}.{}", at + 1),
                request,
            });
        };
        match words.get(1..).unwrap_or_default() {
            ["QUERIES", path, key] => {
                for (at, line) in lines().enumerate() {
                    add(
                        at,
                        request("GET", &format!("{path}?{key}={}", encode(line)), &[], b""),
                    );
                }
            }
            ["FORMS", path, key] => {
                for (at, line) in lines().enumerate() {
                    let kind = ("Content-Type", "application/x-www-form-urlencoded");
                    let body = format!("{key}={}", encode(line));
                    add(at, request("POST", path, &[kind], body.as_bytes()));
                }
            }
            ["JSON", path] | ["POST", "JSON", path] => json("POST", path, lines(), &mut add),
            [method, "JSON", path] => json(method, path, lines(), &mut add),
            [method, target] => {
                samples.push(Sample {
                    name,
                    request: written(method, target, rest).map_err(|e| told(&e))?,
                });
            }
            _ => {
                return Err(told(
                    "write NAME METHOD TARGET, or NAME QUERIES|FORMS PATH FIELD",
                ));
            }
        }
    }
    Ok(())
}

fn json<'a>(
    method: &str,
    path: &str,
    lines: impl Iterator<Item = &'a str>,
    add: &mut impl FnMut(usize, Vec<u8>),
) {
    for (at, line) in lines.enumerate() {
        add(
            at,
            request(
                method,
                path,
                &[("Content-Type", "application/json")],
                line.as_bytes(),
            ),
        );
    }
}

/// A request written with its fields and body.
fn written(method: &str, target: &str, rest: &str) -> Result<Vec<u8>, String> {
    let (head, body) = match rest.strip_prefix('\n') {
        Some(body) => ("", body),
        None => rest.split_once("\n\n").unwrap_or((rest, "")),
    };
    let mut fields = Vec::new();
    for line in head
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (name, value) = line
            .split_once(": ")
            .ok_or_else(|| format!("{line:?} is no field"))?;
        fields.push((name, value));
    }
    let is_multipart = fields
        .iter()
        .any(|(_, value)| value.starts_with("multipart/"));
    let body = body.trim_end_matches('\n');
    let body = if is_multipart {
        format!("{}\r\n", body.replace('\n', "\r\n"))
    } else {
        body.into()
    };
    Ok(request(method, target, &fields, body.as_bytes()))
}

fn request(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("{method} {target} HTTP/1.1\r\n");
    let has = |name: &str| fields.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    let usual = USUAL.iter().filter(|(name, _)| !has(name));
    for (name, value) in usual.chain(fields) {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    if !has("content-length") && (!body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH")) {
        out.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    out.push_str("\r\n");
    [out.as_bytes(), body].concat()
}

/// A value of a form, as browsers write it.
fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_format_is_read() {
        let mut samples = Vec::new();
        let text = "# note\n== a QUERIES /s q\nx y\nö\n== b POST /p\nHost: h\nContent-Type: multipart/form-data; \
                    boundary=x\n\n--x\n--x--\n== c PUT JSON /j\n{}\n== d GET /plain\n";
        parse("f", text, &mut samples).unwrap();
        let names: Vec<&str> = samples.iter().map(|sample| sample.name.as_str()).collect();
        assert_eq!(names, ["f/a.1", "f/a.2", "f/b", "f/c.1", "f/d"]);
        let bytes = |at: usize| String::from_utf8(samples[at].request.clone()).unwrap();
        assert!(bytes(0).starts_with("GET /s?q=x+y HTTP/1.1\r\nHost: shop.example\r\n"));
        assert!(bytes(1).contains("q=%C3%B6 "));
        assert!(bytes(2).ends_with("Content-Length: 12\r\n\r\n--x\r\n--x--\r\n"));
        assert_eq!(bytes(2).matches("Host").count(), 1);
        assert!(bytes(3).starts_with("PUT /j ") && bytes(3).ends_with("\r\n\r\n{}"));
        assert!(bytes(4).ends_with("Connection: close\r\n\r\n"));
        assert!(parse("f", "x\n== a GET /", &mut samples).is_err());
        assert!(parse("f", "== a GET", &mut samples).is_err());
    }
}
