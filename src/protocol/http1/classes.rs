//! Classes of bytes, as tables that are computed by the compiler (RFC 9110 section 5.6.2, RFC 9112 section 5).

use memchr::memchr;

use super::error::Reason;

const TOKEN: [bool; 256] = token_table();

const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0u8;
    loop {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

/// True for the characters of a token.
#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    // A u8 cannot leave a table of 256.
    TOKEN[usize::from(byte)]
}

/// True for a token: at least one character, and only token characters.
#[inline]
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// True for a byte that may stand in a field value: HTAB, printable ASCII and bytes from 0x80.
#[inline]
pub(super) fn is_value_byte(byte: u8) -> bool {
    (byte >= 0x20 && byte != 0x7f) || byte == b'\t'
}

/// True when all bytes may stand in a field value. No early exit, so that the compiler vectorises it.
#[inline]
pub(super) fn is_value(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(true, |good, &byte| good & is_value_byte(byte))
}

/// The bytes without the spaces and tabs around them.
#[inline]
pub(super) fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The reason for a line that holds a byte it may not hold: a lone CR has a name of its own.
pub(super) fn blame(line: &[u8], otherwise: Reason) -> Reason {
    if memchr(b'\r', line).is_some() {
        Reason::BareCr
    } else {
        otherwise
    }
}
