//! Lists of actions: names and values, commas, quotes.

use super::super::problem::{Notes, shown};

/// The first action's name, its value, and the rest of the list.
#[expect(clippy::type_complexity, reason = "a tuple read at one place")]
pub(super) fn split<'a>(
    list: &'a [u8],
    notes: &mut Notes<'_>,
) -> Option<(&'a [u8], Option<Vec<u8>>, &'a [u8])> {
    let skipped = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
    let start = list.iter().position(|byte| !skipped(byte))?;
    let list = list.get(start..)?;
    let end = memchr::memchr2(b':', b',', list).unwrap_or(list.len());
    let name = list.get(..end)?.trim_ascii();
    let after = list.get(end..)?;
    let Some(value) = after.strip_prefix(b":") else {
        return Some((name, None, after));
    };
    let mut text = Vec::new();
    let mut bytes = value.trim_ascii_start();
    let mut quoted = false;
    // A quote opens at the value's start or right after `=` (`setvar:tx.a='x,y'`).
    let mut opens = true;
    while let Some((byte, left)) = bytes.split_first() {
        match (byte, quoted) {
            (b'\'', false) if opens => quoted = true,
            (b'\'', true) => {
                bytes = left.trim_ascii_start();
                if !matches!(bytes.first(), None | Some(b',')) {
                    notes.error(
                        format!(
                            "`{}` follows the closing quote of `{}`",
                            shown(bytes),
                            shown(name)
                        ),
                        "actions are separated by `,`; write `\\'` for a quote inside of quotes",
                    );
                    bytes = memchr::memchr(b',', bytes)
                        .and_then(|at| bytes.get(at..))
                        .unwrap_or_default();
                }
                return Some((name, Some(text), bytes));
            }
            (b'\\', true) if matches!(left.first(), Some(b'\'' | b'\\')) => {
                if left.first() == Some(&b'\\') {
                    text.push(b'\\');
                }
                text.extend(left.first());
                bytes = left.get(1..).unwrap_or_default();
                opens = false;
                continue;
            }
            (b',', false) => break,
            _ => text.push(*byte),
        }
        opens = *byte == b'=';
        bytes = left;
    }
    if quoted {
        notes.error(
            format!("the value of `{}` is not closed", shown(name)),
            "close it with `'`; write `\\'` for one inside",
        );
        return None;
    }
    text.truncate(text.trim_ascii_end().len());
    Some((name, Some(text), bytes))
}
