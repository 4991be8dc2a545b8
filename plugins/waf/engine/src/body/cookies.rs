//! The `Cookie` field.

/// Splits a `Cookie` field (format 0) and visits each name and value, in order.
///
/// As ModSecurity v3: `;` separates, the first `=` ends the name, white space before a name and behind
/// the last cookie goes, a cookie without a name is skipped, nothing is decoded.
pub fn cookies(header: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) {
    for cookie in trim_end(header).split(|byte| *byte == b';') {
        let (name, value) =
            match memchr::memchr(b'=', cookie).and_then(|at| cookie.split_at_checked(at)) {
                Some((name, behind)) => (name, behind.get(1..).unwrap_or_default()),
                None => (cookie, &[][..]),
            };
        let name = trim_start(name);
        if !name.is_empty() {
            visit(name, value);
        }
    }
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        if !is_space(*first) {
            break;
        }
        bytes = rest;
    }
    bytes
}

fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes {
        if !is_space(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// White space as C's `isspace` sees it in the C locale.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}
