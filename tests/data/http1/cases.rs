//! Reads `requests.txt` and `framing.txt`: raw HTTP/1 requests and what a strict reader makes of them. Included by the unit
//! tests of the reader and by the tests over TCP, so that both see the same bytes.

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All bytes are complete requests, or follow one that closes the connection.
    Ok,
    /// The bytes end within a request.
    Wait,
    /// The client gets this status and the connection closes.
    Status(u16),
}

/// One line of a file.
#[derive(Debug)]
pub(crate) struct Case {
    /// Unique name.
    pub(crate) name: &'static str,
    /// What becomes of the bytes.
    pub(crate) outcome: Outcome,
    /// Complete requests before the outcome; the most that an origin may see.
    pub(crate) requests: usize,
    /// The bytes, with their escapes resolved.
    pub(crate) bytes: Vec<u8>,
}

/// All cases in the order of the files. Panics on a malformed line, naming it.
pub(crate) fn cases() -> Vec<Case> {
    [include_str!("requests.txt"), include_str!("framing.txt")]
        .iter()
        .flat_map(|file| file.lines())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| read_case(line).unwrap_or_else(|| panic!("malformed case: {line}")))
        .collect()
}

fn read_case(line: &'static str) -> Option<Case> {
    let (name, rest) = line.split_once(' ')?;
    let (outcome, rest) = rest.trim_start().split_once(' ')?;
    let (requests, bytes) = rest.trim_start().split_once(' ')?;
    let outcome = match outcome {
        "ok" => Outcome::Ok,
        "wait" => Outcome::Wait,
        status => Outcome::Status(status.parse().ok()?),
    };
    Some(Case {
        name,
        outcome,
        requests: requests.parse().ok()?,
        bytes: unescape(bytes.trim_start())?,
    })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let taken = match escaped.chars().next()? {
            'r' => push(&mut bytes, b"\r", 1),
            'n' => push(&mut bytes, b"\n", 1),
            't' => push(&mut bytes, b"\t", 1),
            '\\' => push(&mut bytes, b"\\", 1),
            'x' => {
                let byte = u8::from_str_radix(escaped.get(1..3)?, 16).ok()?;
                push(&mut bytes, &[byte], 3)
            }
            '{' => {
                let end = escaped.find('}')?;
                let (inner, count) = escaped.get(1..end)?.rsplit_once('*')?;
                let repeated = unescape(inner)?.repeat(count.parse().ok()?);
                push(&mut bytes, &repeated, end + 1)
            }
            _ => return None,
        };
        rest = escaped.get(taken..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// Appends what an escape stands for and returns how long the escape is.
fn push(bytes: &mut Vec<u8>, more: &[u8], escape_len: usize) -> usize {
    bytes.extend_from_slice(more);
    escape_len
}
