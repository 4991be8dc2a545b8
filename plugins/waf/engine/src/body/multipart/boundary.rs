//! The boundary in a `Content-Type` field.

use super::super::cookies::is_space;
use super::MultipartFlags;

/// The longest `Content-Type` that v3 takes for multipart.
const CONTENT_TYPE: usize = 1024;

/// Finds the boundary; the error is the reason why there is none that can be used.
pub(super) fn find<'a>(
    content_type: &'a [u8],
    flags: &mut MultipartFlags,
) -> Result<&'a [u8], &'static str> {
    const MALFORMED: &str = "the boundary in Content-Type is malformed";
    if content_type.is_empty() {
        return Err("there is no Content-Type");
    }
    if content_type.len() > CONTENT_TYPE {
        return Err("Content-Type is too long");
    }
    let parameters = match content_type.split_at_checked(19) {
        Some((kind, rest)) if kind.eq_ignore_ascii_case(b"multipart/form-data") => rest,
        _ => return Err("Content-Type is not multipart/form-data"),
    };
    let named = count_parameters(content_type);
    if named > 1 {
        return Err("Content-Type has several boundaries");
    }
    let Some(at) = memchr::memmem::find(parameters, b"boundary") else {
        return Err(if named > 0 {
            "the word boundary in Content-Type is not in small letters"
        } else {
            "Content-Type has no boundary"
        });
    };
    let (before, parameter) = parameters.split_at_checked(at).ok_or(MALFORMED)?;
    let mut semicolon = false;
    for byte in before.iter().filter(|byte| !is_space(**byte)) {
        if semicolon || *byte != b';' {
            return Err(MALFORMED);
        }
        semicolon = true;
    }
    flags.missing_semicolon = !semicolon;
    let behind_word = parameter.get(8..).ok_or(MALFORMED)?;
    let equals = memchr::memchr(b'=', behind_word).ok_or(MALFORMED)?;
    let (between, value) = behind_word.split_at_checked(equals).ok_or(MALFORMED)?;
    if !between.iter().all(|byte| is_space(*byte)) {
        return Err("something stands between the word boundary and =");
    }
    let value = value.get(1..).ok_or(MALFORMED)?;
    flags.boundary_whitespace =
        !between.is_empty() || value.first().is_some_and(|byte| is_space(*byte));
    let boundary = match value {
        [b'"', quoted @ .., b'"'] => {
            flags.boundary_quoted = !quoted.is_empty();
            quoted
        }
        [b'"', ..] | [_, .., b'"'] => return Err("the boundary in Content-Type has one quote"),
        plain => plain.split(|byte| *byte == b';').next().unwrap_or_default(),
    };
    if boundary.is_empty() {
        return Err("the boundary in Content-Type is empty");
    }
    if count_parameters(boundary) != 0 {
        return Err("the boundary in Content-Type holds the word boundary");
    }
    if !boundary.iter().all(|byte| is_boundary(*byte)) || boundary.last() == Some(&b' ') {
        return Err("the boundary in Content-Type holds characters that are not allowed");
    }
    Ok(boundary)
}

/// How often the word stands there with a `=` somewhere behind it.
fn count_parameters(bytes: &[u8]) -> usize {
    let Some(last) = memchr::memrchr(b'=', bytes) else {
        return 0;
    };
    let mut count = 0;
    let mut rest = bytes.get(..last).unwrap_or_default();
    while let Some(at) = rest
        .windows(8)
        .position(|word| word.eq_ignore_ascii_case(b"boundary"))
    {
        count += 1;
        rest = rest.get(at + 8..).unwrap_or_default();
    }
    count
}

/// The characters of RFC 2046.
fn is_boundary(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || memchr::memchr(byte, b" '()+_,-./:=?").is_some()
}
