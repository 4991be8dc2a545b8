//! `normalizePath`, `normalizePathWin`: empty segments and self references go, back references take
//! the segment before them along.

pub(super) fn normalize_path(input: &[u8], out: &mut Vec<u8>) -> bool {
    if is_normal(input) {
        return false;
    }
    Walk {
        input,
        windows: false,
    }
    .run(out);
    true
}

/// As [`normalize_path`], where a backslash is a slash too.
pub(super) fn normalize_path_win(input: &[u8], out: &mut Vec<u8>) -> bool {
    if is_normal(input) && memchr::memchr(b'\\', input).is_none() {
        return false;
    }
    Walk {
        input,
        windows: true,
    }
    .run(out);
    true
}

/// True if no segment is empty and none ends in a dot: then there is nothing to do.
fn is_normal(input: &[u8]) -> bool {
    let before = |at: usize| at.checked_sub(1).and_then(|at| input.get(at));
    input.last() != Some(&b'.')
        && memchr::memchr_iter(b'/', input).all(|at| !matches!(before(at), Some(b'/' | b'.')))
}

struct Walk<'a> {
    input: &'a [u8],
    windows: bool,
}

impl Walk<'_> {
    fn is_slash(&self, byte: u8) -> bool {
        byte == b'/' || (self.windows && byte == b'\\')
    }

    /// The byte at a place, a slash for each kind of slash; nothing behind the end.
    fn at(&self, place: usize) -> Option<u8> {
        let byte = *self.input.get(place)?;
        Some(if self.is_slash(byte) { b'/' } else { byte })
    }

    fn run(&self, out: &mut Vec<u8>) {
        let Some(end) = self.input.len().checked_sub(1) else {
            return;
        };
        let relative = self.at(0) != Some(b'/');
        let trailing = self.at(end) == Some(b'/');
        // A relative path that climbed above its beginning: further back references stay.
        let mut at_root = false;
        let mut from = 0;
        while let Some(byte) = self.at(from) {
            let done = from == end;
            // Of the bytes to come ModSecurity has made slashes of these two.
            let rewritten = from + 1;
            if done || self.at(from + 1) == Some(b'/') {
                match byte {
                    b'/' if !done => {}
                    b'.' if out.last() == Some(&b'.') => {
                        if relative && (at_root || out.len() <= 2) {
                            at_root = true;
                        } else {
                            at_root |= self.climb(out, !relative && done);
                            if done {
                                break;
                            }
                            from += 1;
                        }
                    }
                    b'.' if out.is_empty() => {
                        if done {
                            break;
                        }
                        from += 1;
                    }
                    b'.' if out.last() == Some(&b'/') => {
                        if done {
                            break;
                        }
                        out.pop();
                        from += 1;
                    }
                    b'.' => {}
                    _ if !out.is_empty() => at_root = false,
                    _ => {}
                }
            }
            from = self.copy(from, rewritten, relative, out);
            if done {
                break;
            }
        }
        if !trailing && out.last() == Some(&b'/') {
            out.pop();
        }
    }

    /// Takes back the dot that is written and the segment before it; true if nothing is left above.
    fn climb(&self, out: &mut Vec<u8>, keep_root: bool) -> bool {
        let before = out.len().saturating_sub(3);
        let kept = out
            .get(..=before)
            .and_then(|written| memchr::memrchr(b'/', written))
            .unwrap_or(0);
        if out.len() < 3 || kept == 0 {
            out.truncate(usize::from(keep_root));
            return true;
        }
        out.truncate(kept);
        false
    }

    /// Copies the byte at `from`, of several slashes the last; returns where to go on.
    fn copy(&self, from: usize, rewritten: usize, relative: bool, out: &mut Vec<u8>) -> usize {
        let Some(mut byte) = self.at(from) else {
            return from;
        };
        let mut last = from;
        if byte == b'/' {
            while self.at(last + 1) == Some(b'/') {
                last += 1;
            }
            if relative && out.is_empty() {
                return last + 1;
            }
            if last > rewritten {
                byte = self.input.get(last).copied().unwrap_or(byte);
            }
        }
        out.push(byte);
        last + 1
    }
}
