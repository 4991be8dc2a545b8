//! Classes of bytes in paths and queries, as tables that are computed by the compiler.

/// What to do with a byte of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathByte {
    /// A legal character: kept.
    Plain,
    /// May begin or end a segment, a dot segment or an escape, or end the path.
    Special,
    /// Not legal in a path: escaped.
    Escape,
    /// A control byte, a space or `#`: refused.
    Refuse,
}

const PATH: [PathByte; 256] = path_table();

const fn path_table() -> [PathByte; 256] {
    let mut table = [PathByte::Escape; 256];
    let mut byte = 0u8;
    loop {
        table[byte as usize] = match byte {
            b'/' | b'.' | b'%' | b'?' => PathByte::Special,
            0..=0x20 | 0x7f | b'#' => PathByte::Refuse,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':'
            | b'@' => PathByte::Plain,
            _ if is_unreserved(byte) => PathByte::Plain,
            _ => PathByte::Escape,
        };
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

/// The class of a byte in a path.
#[inline]
pub(super) fn path_byte(byte: u8) -> PathByte {
    // A u8 cannot leave a table of 256.
    PATH[usize::from(byte)]
}

/// RFC 3986 section 2.3: characters whose escapes mean the same as they do.
pub(super) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Characters of a query that are kept. Wider than RFC 3986: what browsers send as it is (the query state of
/// the WHATWG URL standard) stays, as signatures are made over it.
#[inline]
pub(super) fn is_query_byte(byte: u8) -> bool {
    byte > 0x20 && byte < 0x7f && !matches!(byte, b'"' | b'<' | b'>' | b'#')
}

/// The value of an escape `%XY` from its two digits.
#[inline]
pub(super) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    Some(digit(high)? << 4 | digit(low)?)
}

/// Appends `%XY` with upper-case digits.
pub(super) fn push_escaped(out: &mut String, byte: u8) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}
