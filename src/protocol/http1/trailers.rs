//! The trailer section of a chunked body, checked byte by byte (RFC 9112 section 7.1.2).

use super::classes::{is_token_byte, is_value_byte};
use super::error::Reason;

/// Most bytes of a trailer section.
pub const MAX_TRAILER_BYTES: u32 = 64 * 1024;

/// Longest name that is compared with the forbidden ones.
const NAME_BYTES: usize = 32;

/// Fields that a recipient must know before the body, or that it would believe if a later reader merged
/// trailers into the head: framing, routing, authentication, request modifiers, content format
/// (RFC 9110 section 6.5.1), and what proxies say of the client.
const FORBIDDEN: &[&[u8]] = &[
    b"age",
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"keep-alive",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"via",
    b"www-authenticate",
    b"x-http-method-override",
    b"x-original-url",
    b"x-real-ip",
    b"x-rewrite-url",
];

/// No field of this family may come late.
const FORBIDDEN_PREFIX: &[u8] = b"x-forwarded-";

/// Follows a trailer section to the empty line that ends it.
#[derive(Clone, Debug)]
pub(super) struct Trailers {
    place: Place,
    bytes: u32,
    /// The front of the name in lower case, with `-` for `_`.
    name: [u8; NAME_BYTES],
    name_len: usize,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    LineStart,
    Name,
    Value,
    ValueLf,
    EndLf,
}

impl Trailers {
    pub(super) fn new() -> Self {
        Self {
            place: Place::LineStart,
            bytes: 0,
            name: [0; NAME_BYTES],
            name_len: 0,
        }
    }

    /// Takes the next byte; true when it was the last one of the section.
    pub(super) fn push(&mut self, byte: u8) -> Result<bool, Reason> {
        self.bytes += 1;
        if self.bytes > MAX_TRAILER_BYTES {
            return Err(Reason::TrailersTooLarge);
        }
        self.place = match (self.place, byte) {
            (Place::LineStart, b'\r') => Place::EndLf,
            (Place::LineStart | Place::ValueLf | Place::EndLf, b'\n') => match self.place {
                Place::EndLf => return Ok(true),
                Place::ValueLf => Place::LineStart,
                _ => return Err(Reason::BareLf),
            },
            (Place::LineStart, b' ' | b'\t') => return Err(Reason::ObsFold),
            (Place::LineStart, _) => {
                self.name_len = 0;
                self.push_name(byte)?;
                Place::Name
            }
            (Place::Name, b':') => {
                if self.is_forbidden() {
                    return Err(Reason::ForbiddenTrailer);
                }
                Place::Value
            }
            (Place::Name, _) => {
                self.push_name(byte)?;
                Place::Name
            }
            (Place::Value, b'\r') => Place::ValueLf,
            (Place::Value, b'\n') => return Err(Reason::BareLf),
            (Place::Value, _) if is_value_byte(byte) => Place::Value,
            (Place::Value, _) => return Err(Reason::BadTrailer),
            (Place::ValueLf | Place::EndLf, _) => return Err(Reason::BareCr),
        };
        Ok(false)
    }

    fn push_name(&mut self, byte: u8) -> Result<(), Reason> {
        if !is_token_byte(byte) {
            return Err(Reason::BadTrailer);
        }
        if let Some(slot) = self.name.get_mut(self.name_len) {
            // Gateways to CGI cannot tell `_` from `-`.
            *slot = if byte == b'_' {
                b'-'
            } else {
                byte.to_ascii_lowercase()
            };
        }
        self.name_len += 1;
        Ok(())
    }

    fn is_forbidden(&self) -> bool {
        match self.name.get(..self.name_len) {
            Some(name) => FORBIDDEN.contains(&name) || name.starts_with(FORBIDDEN_PREFIX),
            None => self.name.starts_with(FORBIDDEN_PREFIX),
        }
    }
}
