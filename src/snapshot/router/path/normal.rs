//! The normalised form of a pattern (RFC 3986 section 6.2.2), to say it when another is written.

use super::PathError;

/// The normalised form of what follows the first slash of a pattern, with that slash. Braces and
/// stars stay as they are: they are not text to compare.
pub(super) fn normalise(path: &str) -> Result<String, PathError> {
    let mut segments: Vec<String> = Vec::new();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let part = normalise_segment(part)?;
        match part.as_str() {
            "." if last => segments.push(String::new()),
            "." => {}
            ".." => {
                segments.pop();
                if last {
                    segments.push(String::new());
                }
            }
            "" if !last => {}
            _ => segments.push(part),
        }
    }
    Ok(format!("/{}", segments.join("/")))
}

/// RFC 3986: unreserved octets are not escaped, all but pchar is, in upper-case hexadecimal.
fn normalise_segment(part: &str) -> Result<String, PathError> {
    let mut out = String::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        let (byte, escaped) = if byte == b'%' {
            let byte = bytes.next().and_then(hex).zip(bytes.next().and_then(hex));
            let (high, low) = byte.ok_or(PathError::Escape)?;
            (high << 4 | low, true)
        } else {
            (byte, false)
        };
        match byte {
            0 if escaped => return Err(PathError::Escape),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            b'!' | b'$' | b'&'..=b',' | b';' | b'=' | b':' | b'@' | b'{' | b'}' if !escaped => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
