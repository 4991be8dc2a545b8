//! Base64: `base64Encode`, the strict `base64Decode`, the forgiving `base64DecodeExt`.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// The standard alphabet, padded.
pub(super) fn base64_encode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let letter = |bits: u32| ALPHABET.get((bits & 63) as usize).copied().unwrap_or(b'=');
    for group in input.chunks(3) {
        let (a, b, c) = match *group {
            [a, b, c] => (a, b, c),
            [a, b] => (a, b, 0),
            [a] => (a, 0, 0),
            _ => continue,
        };
        let bits = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
        out.push(letter(bits >> 18));
        out.push(letter(bits >> 12));
        out.push(if group.len() > 1 {
            letter(bits >> 6)
        } else {
            b'='
        });
        out.push(if group.len() > 2 { letter(bits) } else { b'=' });
    }
    true
}

/// As mbed TLS decodes it, up to the first NUL: one byte that does not belong makes all of it
/// empty. Line ends and spaces before them are skipped, two padding signs at most, nothing but
/// them at the end; a last group that is not full is dropped.
pub(super) fn base64_decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let text = match memchr::memchr(0, input).and_then(|end| input.get(..end)) {
        Some(text) => text,
        None => input,
    };
    if !is_strict(text) {
        return true;
    }
    let mut bits = 0u32;
    let mut count = 0;
    let mut padding = 0;
    for &byte in text {
        let value = match digit(byte) {
            Some(value) => value,
            None if byte == b'=' => {
                padding += 1;
                0
            }
            None => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 1;
        if count == 4 {
            count = 0;
            let [_, bytes @ ..] = (bits & 0x00ff_ffff).to_be_bytes();
            out.extend(bytes.iter().take(3usize.saturating_sub(padding)));
        }
    }
    true
}

/// True if mbed TLS takes every byte of it.
fn is_strict(text: &[u8]) -> bool {
    let mut rest = text;
    let mut padding = 0;
    loop {
        let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
        rest = rest.get(spaces..).unwrap_or_default();
        match rest {
            [] => return true,
            [b'\n', tail @ ..] | [b'\r', b'\n', tail @ ..] => rest = tail,
            _ if spaces > 0 => return false,
            [b'=', tail @ ..] => {
                padding += 1;
                if padding > 2 {
                    return false;
                }
                rest = tail;
            }
            [byte, tail @ ..] => {
                if padding > 0 || digit(*byte).is_none() {
                    return false;
                }
                rest = tail;
            }
        }
    }
}

/// Whatever does not belong is skipped, the signs `-` and `_` of the URL alphabet too. Padding
/// after a single digit of a group makes all of it empty, and so does a last byte `9` there: its
/// value is the code of the padding sign, which ModSecurity then takes it for.
pub(super) fn base64_decode_ext(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut bits = 0u8;
    let mut count = 0u8;
    let mut rest = input;
    let mut last = None;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        last = Some(*byte);
        let value = match *byte {
            b'=' => {
                if count == 1 && tail.first() != Some(&b'=') {
                    out.clear();
                    return true;
                }
                continue;
            }
            other => match digit(other) {
                Some(value) => value,
                None => continue,
            },
        };
        match count {
            0 => bits = value << 2,
            1 => {
                out.push(bits | value >> 4);
                bits = value << 4;
            }
            2 => {
                out.push(bits | value >> 2);
                bits = value << 6;
            }
            _ => out.push(bits | value),
        }
        count = (count + 1) & 3;
    }
    if count == 1 && matches!(last, Some(b'9' | b'=')) {
        out.clear();
    }
    true
}
