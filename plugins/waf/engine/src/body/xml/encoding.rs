//! From the bytes of a document to UTF-8.

use std::borrow::Cow;

use super::XmlError;

/// A document in UTF-8, as far as its bytes are text.
pub(super) struct Document<'a> {
    bytes: Cow<'a, [u8]>,
    broken_at: Option<usize>,
}

impl Document<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the bytes stopped being text in their encoding.
    pub(super) fn broken_at(&self) -> Option<usize> {
        self.broken_at
    }
}

/// The error of bytes that are not text.
pub(super) fn broken(offset: usize) -> XmlError {
    XmlError {
        offset,
        reason: "bytes that are not text in the document's encoding",
    }
}

/// Finds the encoding by the byte order mark, the first characters and the declaration.
pub(super) fn to_utf8(input: &[u8]) -> Result<Document<'_>, XmlError> {
    match input {
        [0xff, 0xfe, rest @ ..] => Ok(utf16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Ok(utf16(rest, u16::from_be_bytes)),
        [b'<', 0, _, 0, ..] => Ok(utf16(input, u16::from_le_bytes)),
        [0, b'<', 0, _, ..] => Ok(utf16(input, u16::from_be_bytes)),
        [0xef, 0xbb, 0xbf, rest @ ..] => eight_bits(rest, true),
        _ => eight_bits(input, false),
    }
}

fn eight_bits(input: &[u8], marked: bool) -> Result<Document<'_>, XmlError> {
    match declared(input) {
        // The mark has decided.
        _ if marked => Ok(utf8(input)),
        None => Ok(utf8(input)),
        Some(name) if is(name, &[b"utf-8", b"utf8"]) => Ok(utf8(input)),
        Some(name) if is(name, &[b"us-ascii", b"ascii"]) => Ok(ascii(input)),
        Some(name)
            if is(
                name,
                &[
                    b"iso-8859-1",
                    b"iso_8859-1",
                    b"iso8859-1",
                    b"latin1",
                    b"iso-latin-1",
                ],
            ) =>
        {
            Ok(latin1(input))
        }
        // The bytes are no UTF-16, or the declaration could not have been read: libxml2 goes on in UTF-8.
        Some(name) if is(name, &[b"utf-16", b"utf16"]) => Ok(utf8(input)),
        Some(_) => Err(XmlError {
            offset: 0,
            reason: "the document declares an encoding that is not read",
        }),
    }
}

fn is(name: &[u8], names: &[&[u8]]) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The encoding that the declaration names.
fn declared(input: &[u8]) -> Option<&[u8]> {
    let declaration = input.strip_prefix(b"<?xml")?;
    declaration
        .first()
        .filter(|byte| byte.is_ascii_whitespace())?;
    let end = memchr::memmem::find(declaration, b"?>")?;
    let declaration = declaration.get(..end)?;
    let at = memchr::memmem::find(declaration, b"encoding")?;
    let behind = declaration
        .get(at + 8..)?
        .trim_ascii_start()
        .strip_prefix(b"=")?
        .trim_ascii_start();
    let (quote, value) = behind.split_first()?;
    let end = matches!(quote, b'"' | b'\'')
        .then(|| memchr::memchr(*quote, value))
        .flatten()?;
    value.get(..end)
}

fn utf8(input: &[u8]) -> Document<'_> {
    match std::str::from_utf8(input) {
        Ok(_) => Document {
            bytes: Cow::Borrowed(input),
            broken_at: None,
        },
        Err(error) => cut(input, error.valid_up_to()),
    }
}

fn ascii(input: &[u8]) -> Document<'_> {
    match input.iter().position(|byte| !byte.is_ascii()) {
        None => Document {
            bytes: Cow::Borrowed(input),
            broken_at: None,
        },
        Some(at) => cut(input, at),
    }
}

fn cut(input: &[u8], at: usize) -> Document<'_> {
    Document {
        bytes: Cow::Borrowed(input.get(..at).unwrap_or_default()),
        broken_at: Some(at),
    }
}

fn latin1(input: &[u8]) -> Document<'_> {
    if input.is_ascii() {
        return Document {
            bytes: Cow::Borrowed(input),
            broken_at: None,
        };
    }
    let mut bytes = Vec::with_capacity(input.len().saturating_mul(2));
    for byte in input {
        bytes.extend_from_slice(char::from(*byte).encode_utf8(&mut [0; 4]).as_bytes());
    }
    Document {
        bytes: Cow::Owned(bytes),
        broken_at: None,
    }
}

fn utf16(input: &[u8], number: fn([u8; 2]) -> u16) -> Document<'static> {
    let (pairs, left) = input.as_chunks::<2>();
    let mut bytes = Vec::with_capacity(input.len().saturating_mul(3) / 2);
    for unit in char::decode_utf16(pairs.iter().map(|pair| number(*pair))) {
        let Ok(character) = unit else {
            let broken_at = Some(bytes.len());
            return Document {
                bytes: Cow::Owned(bytes),
                broken_at,
            };
        };
        bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    let broken_at = (!left.is_empty()).then_some(bytes.len());
    Document {
        bytes: Cow::Owned(bytes),
        broken_at,
    }
}
