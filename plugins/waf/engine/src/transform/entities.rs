//! `htmlEntityDecode`.

use super::{blank::NO_BREAK_SPACE, copying::copy_until};

/// The named entities that ModSecurity knows, in any case.
const NAMED: [(&[u8], u8); 5] = [
    (b"quot", b'"'),
    (b"amp", b'&'),
    (b"lt", b'<'),
    (b"gt", b'>'),
    (b"nbsp", NO_BREAK_SPACE),
];

/// Numbers become their low byte, five names their character, with or without a semicolon; a name
/// reaches to the last letter or digit, so `&ltx` is none.
pub(super) fn html_entity_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    if memchr::memchr(b'&', input).is_none() {
        return false;
    }
    let mut rest = input;
    loop {
        rest = copy_until(rest, out, |rest| memchr::memchr(b'&', rest));
        let [sign, tail @ ..] = rest else {
            return true;
        };
        match entity(tail) {
            Some((byte, tail)) => {
                out.push(byte);
                rest = match tail {
                    [b';', tail @ ..] => tail,
                    _ => tail,
                };
            }
            None => {
                out.push(*sign);
                rest = tail;
            }
        }
    }
}

fn entity(tail: &[u8]) -> Option<(u8, &[u8])> {
    match tail {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16),
        [b'#', digits @ ..] => number(digits, 10),
        _ => {
            let letters = tail.iter().take_while(|byte| byte.is_ascii_alphanumeric());
            let (name, rest) = tail.split_at_checked(letters.count())?;
            let (_, byte) = NAMED
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
            Some((*byte, rest))
        }
    }
}

/// The low byte of a number that stops growing at 2^63-1, as C's `strtol`.
fn number(digits: &[u8], base: u8) -> Option<(u8, &[u8])> {
    let mut value = 0i64;
    let mut rest = digits;
    while let [byte, tail @ ..] = rest
        && let Some(digit) = char::from(*byte).to_digit(u32::from(base))
    {
        value = value
            .checked_mul(i64::from(base))
            .and_then(|value| value.checked_add(i64::from(digit)))
            .unwrap_or(i64::MAX);
        rest = tail;
    }
    (rest.len() < digits.len()).then_some(((value & 0xff) as u8, rest))
}
