//! `cmdLine`.

use super::copying::copy_until;

/// What the shells of Windows and Unix see through: quotes, carets and backslashes go; commas,
/// semicolons and white space become one space, none before a slash or a bracket; small letters.
pub(super) fn cmd_line(input: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = copy_until(input, out, |rest| {
        rest.iter().position(|byte| matters(*byte))
    });
    if rest.is_empty() {
        return false;
    }
    // Whether the last byte written is a space that this function wrote.
    let mut space = false;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => {}
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !space {
                    out.push(b' ');
                    space = true;
                }
            }
            b'/' | b'(' => {
                if space {
                    out.pop();
                    space = false;
                }
                out.push(*byte);
            }
            other => {
                out.push(other.to_ascii_lowercase());
                space = false;
            }
        }
    }
    true
}

/// True for a byte without which nothing changes.
pub(super) const fn matters(byte: u8) -> bool {
    matches!(
        byte,
        b'"' | b'\'' | b'\\' | b'^' | b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' | b'A'..=b'Z'
    )
}
