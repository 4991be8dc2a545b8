//! The target, split and brought to its one form.

use crate::protocol::http1::authority::Authority;
use crate::protocol::http1::{Reason, Reject, Span, TargetForm, split_absolute};

use super::classes::{PathByte, hex_pair, is_query_byte, is_unreserved, path_byte, push_escaped};

/// What becomes of `%2F` in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EscapedSlash {
    /// It stays: a character of its segment, not a separator.
    #[default]
    Keep,
    /// It becomes `/`, before dot segments are removed.
    Decode,
    /// The request is refused.
    Reject,
}

/// The listener's choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UriPolicy {
    /// What becomes of `%2F`.
    pub escaped_slash: EscapedSlash,
    /// Whether `//` becomes `/`, before dot segments are removed.
    pub merge_slashes: bool,
}

impl Default for UriPolicy {
    /// Escaped slashes stay, slashes are merged.
    fn default() -> Self {
        Self {
            escaped_slash: EscapedSlash::Keep,
            merge_slashes: true,
        }
    }
}

/// The one form of a target: where it stands in the raw one, or a copy where they differ.
///
/// The raw target is given to the readers below, so that nothing is copied when it was normal already.
/// Reuse a value to reuse its memory.
#[derive(Clone, Debug, Default)]
pub struct NormalisedUri {
    authority: Option<Span>,
    /// Path and query within the raw target, when they are normal there.
    verbatim: Option<Span>,
    /// Path and query otherwise.
    text: String,
    path_len: usize,
}

impl NormalisedUri {
    /// Path and query, always ASCII: the path begins with `/`, or is `*`.
    pub fn path_and_query<'a>(&'a self, raw: &'a [u8]) -> &'a str {
        match self.verbatim {
            Some(span) => std::str::from_utf8(span.of(raw)).unwrap_or("/"),
            None => &self.text,
        }
    }

    /// The path.
    pub fn path<'a>(&'a self, raw: &'a [u8]) -> &'a str {
        let whole = self.path_and_query(raw);
        whole.get(..self.path_len).unwrap_or(whole)
    }

    /// The query without its `?`; none when there is no `?`.
    pub fn query<'a>(&'a self, raw: &'a [u8]) -> Option<&'a str> {
        self.path_and_query(raw).get(self.path_len + 1..)
    }

    /// The authority of an absolute target, as written; it was checked to be `host[:port]`.
    pub fn authority<'a>(&self, raw: &'a [u8]) -> Option<&'a str> {
        self.authority
            .and_then(|span| std::str::from_utf8(span.of(raw)).ok())
    }

    /// True when path and query stand in the raw target as they are: nothing was copied.
    pub fn is_verbatim(&self) -> bool {
        self.verbatim.is_some()
    }
}

/// Brings a target to its one form. Idempotent; costs one pass and no memory when nothing is to do.
///
/// In the path: escapes of unreserved characters are decoded, other escapes get upper-case digits, illegal
/// characters and bytes from 0x80 are escaped (`\` becomes `%5C`), dot segments are removed and never climb
/// above the root. The query keeps its escapes; only illegal bytes are escaped.
///
/// # Errors
/// 400 for control bytes, spaces and fragments, for `%` without two digits and `%00` in the path, for `%2F`
/// where the policy says so, and for targets that are neither a path, nor absolute (http, https), nor `*`.
pub fn normalise(target: &[u8], policy: &UriPolicy, out: &mut NormalisedUri) -> Result<(), Reject> {
    out.authority = None;
    out.verbatim = None;
    out.text.clear();
    out.path_len = 0;
    let start = match target {
        [b'/', ..] => 0,
        b"*" => {
            out.verbatim = Some(Span { start: 0, end: 1 });
            out.path_len = 1;
            return Ok(());
        }
        _ => {
            let (_, authority): (TargetForm, Span) =
                split_absolute(target).ok_or(Reject::new(Reason::BadTarget))?;
            Authority::parse(authority.of(target)).ok_or(Reject::new(Reason::BadHost))?;
            out.authority = Some(authority);
            authority.end
        }
    };
    let raw = target.get(start..).unwrap_or_default();
    if let Some(path_len) = normal_path_len(raw, policy) {
        out.verbatim = Some(Span {
            start,
            end: target.len(),
        });
        out.path_len = path_len;
        return Ok(());
    }
    let path_len = raw.iter().position(|&byte| byte == b'?');
    let (path, query) = raw.split_at(path_len.unwrap_or(raw.len()));
    // The worst case, that every byte is escaped, is rare: grow then.
    out.text.reserve(raw.len() + 16);
    write_path(path, policy, &mut out.text)?;
    out.path_len = out.text.len();
    write_query(query, &mut out.text)?;
    Ok(())
}

/// The length of the path when path and query are in their one form already.
fn normal_path_len(raw: &[u8], policy: &UriPolicy) -> Option<usize> {
    if raw.first() != Some(&b'/') {
        return None;
    }
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        match path_byte(byte) {
            PathByte::Plain => {}
            PathByte::Escape | PathByte::Refuse => return None,
            PathByte::Special => match byte {
                b'?' => {
                    let query = raw.get(at + 1..)?;
                    return query.iter().all(|&byte| is_query_byte(byte)).then_some(at);
                }
                b'/' => {
                    let rest = raw.get(at + 1..)?;
                    if is_dot_segment(rest) || (policy.merge_slashes && rest.first() == Some(&b'/'))
                    {
                        return None;
                    }
                }
                b'%' => {
                    let (&high, &low) = (raw.get(at + 1)?, raw.get(at + 2)?);
                    let value = hex_pair(high, low)?;
                    let stays = value != 0
                        && !is_unreserved(value)
                        && !high.is_ascii_lowercase()
                        && !low.is_ascii_lowercase()
                        && (value != b'/' || policy.escaped_slash == EscapedSlash::Keep);
                    if !stays {
                        return None;
                    }
                    at += 2;
                }
                _ => {}
            },
        }
        at += 1;
    }
    Some(raw.len())
}

/// True when a segment that is `.` or `..` stands at the front.
fn is_dot_segment(rest: &[u8]) -> bool {
    matches!(
        rest,
        [b'.'] | [b'.', b'/' | b'?', ..] | [b'.', b'.'] | [b'.', b'.', b'/' | b'?', ..]
    )
}

fn write_path(path: &[u8], policy: &UriPolicy, out: &mut String) -> Result<(), Reason> {
    // `http://host?query` has an empty path, which is `/`.
    out.push('/');
    let mut segment = out.len();
    let mut bytes = path.strip_prefix(b"/").unwrap_or(path).iter();
    while let Some(&byte) = bytes.next() {
        let separator = match path_byte(byte) {
            PathByte::Refuse => return Err(Reason::BadTarget),
            PathByte::Escape => {
                push_escaped(out, byte);
                false
            }
            PathByte::Special if byte == b'%' => {
                let pair = bytes.next().zip(bytes.next());
                let value = pair.and_then(|(&high, &low)| hex_pair(high, low));
                match value.ok_or(Reason::BadEscape)? {
                    0 => return Err(Reason::EscapedNul),
                    b'/' => match policy.escaped_slash {
                        EscapedSlash::Keep => {
                            push_escaped(out, b'/');
                            false
                        }
                        EscapedSlash::Decode => true,
                        EscapedSlash::Reject => return Err(Reason::EscapedSlash),
                    },
                    value if is_unreserved(value) => {
                        out.push(char::from(value));
                        false
                    }
                    value => {
                        push_escaped(out, value);
                        false
                    }
                }
            }
            PathByte::Special if byte == b'/' => true,
            PathByte::Special | PathByte::Plain => {
                out.push(char::from(byte));
                false
            }
        };
        if separator {
            let ends_open =
                end_segment(out, segment) || (policy.merge_slashes && out.len() == segment);
            if !ends_open {
                out.push('/');
            }
            segment = out.len();
        }
    }
    end_segment(out, segment);
    Ok(())
}

/// Removes the segment that begins at `segment` if it is a dot segment, and its parent with `..`
/// (RFC 3986 section 5.2.4). True when it did; `out` then ends with `/`.
fn end_segment(out: &mut String, segment: usize) -> bool {
    match out.get(segment..) {
        Some(".") => {
            out.truncate(segment);
            true
        }
        Some("..") => {
            out.truncate(segment);
            // Above the root there is nothing: `/` stays.
            let parent = out
                .get(..segment.saturating_sub(1))
                .and_then(|above| above.rfind('/'));
            if let Some(slash) = parent {
                out.truncate(slash + 1);
            }
            true
        }
        _ => false,
    }
}

fn write_query(query: &[u8], out: &mut String) -> Result<(), Reason> {
    for &byte in query {
        if is_query_byte(byte) {
            out.push(char::from(byte));
        } else if byte > 0x20 && byte != 0x7f && byte != b'#' {
            push_escaped(out, byte);
        } else {
            return Err(Reason::BadTarget);
        }
    }
    Ok(())
}
