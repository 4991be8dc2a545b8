//! Comments: `removeComments`, `replaceComments`, `removeCommentsChar`.

use super::copying::copy_until;

/// C comments and HTML comments go, `--` and `#` cut off the rest. As ModSecurity does it: either
/// end closes either beginning, the byte after an end is copied without a look at it (after an end
/// at the very end that is the NUL behind the string), and what is left open becomes a space.
pub(super) fn remove_comments(input: &[u8], out: &mut Vec<u8>) -> bool {
    let special = |rest: &[u8]| {
        rest.iter()
            .position(|byte| matches!(byte, b'/' | b'<' | b'-' | b'#'))
    };
    let mut rest = copy_until(input, out, special);
    if rest.is_empty() {
        return false;
    }
    loop {
        let inside = match rest {
            [] | [b'#', ..] | [b'-', b'-', ..] => return true,
            [b'/', b'*', inside @ ..] | [b'<', b'!', b'-', b'-', inside @ ..] => inside,
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = copy_until(tail, out, special);
                continue;
            }
        };
        match comment_end(inside) {
            None => {
                out.push(b' ');
                return true;
            }
            Some([]) => {
                out.push(0);
                return true;
            }
            Some([byte, tail @ ..]) => {
                out.push(*byte);
                rest = copy_until(tail, out, special);
            }
        }
    }
}

/// What follows the end of the comment.
fn comment_end(mut inside: &[u8]) -> Option<&[u8]> {
    loop {
        let at = memchr::memchr2(b'*', b'-', inside)?;
        match inside.get(at..)? {
            [b'*', b'/', rest @ ..] | [b'-', b'-', b'>', rest @ ..] => return Some(rest),
            [_, rest @ ..] => inside = rest,
            [] => return None,
        }
    }
}

/// Each C comment becomes a space, an unclosed one too.
pub(super) fn replace_comments(input: &[u8], out: &mut Vec<u8>) -> bool {
    if memchr::memmem::find(input, b"/*").is_none() {
        return false;
    }
    let mut rest = input;
    loop {
        rest = copy_until(rest, out, |rest| memchr::memmem::find(rest, b"/*"));
        let [_, _, inside @ ..] = rest else {
            return true;
        };
        out.push(b' ');
        let Some(end) = memchr::memmem::find(inside, b"*/") else {
            return true;
        };
        rest = inside.get(end + 2..).unwrap_or_default();
    }
}

/// The marks go, what stands between them stays. What a removed mark brings together is not
/// looked at again.
pub(super) fn remove_comments_char(input: &[u8], out: &mut Vec<u8>) -> bool {
    let special = |rest: &[u8]| {
        rest.iter()
            .position(|byte| matches!(byte, b'/' | b'*' | b'<' | b'-' | b'#'))
    };
    let mut rest = copy_until(input, out, special);
    if rest.is_empty() {
        return false;
    }
    loop {
        rest = match rest {
            [] => return true,
            [b'<', b'!', b'-', b'-', tail @ ..]
            | [b'-', b'-', b'>', tail @ ..]
            | [b'/', b'*', tail @ ..]
            | [b'*', b'/', tail @ ..]
            | [b'-', b'-', tail @ ..]
            | [b'#', tail @ ..] => tail,
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
        rest = copy_until(rest, out, special);
    }
}
