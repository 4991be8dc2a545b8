//! Path patterns: how they are written, what they match and which of two is more specific.

mod error;
mod normal;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

pub use error::PathError;
use normal::normalise;

/// The most captures of one pattern, `{rest}` included.
pub const MAX_CAPTURES: usize = 8;

/// The most segments of one pattern. It also bounds the depth of the trie.
pub const MAX_SEGMENTS: usize = 64;

/// Words that mean a source in templates and keys, so a capture cannot have them as its name.
const RESERVED: [&str; 7] = [
    "client_ip",
    "client_san",
    "consumer",
    "global",
    "host",
    "method",
    "path",
];

/// A compiled path pattern.
///
/// `/a/b` matches itself only. `/users/{id}/orders` captures one whole, non-empty segment as `id`.
/// `/v1/*` matches `/v1`, `/v1/` and all below, and captures what follows the slash as `rest`
/// (empty for the first two). Paths are compared as normalised, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
    /// Closes with `/*`.
    open: bool,
    names: Option<Arc<[Arc<str>]>>,
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// This very text, possibly empty (`/` is one empty segment).
    Literal(Box<str>),
    /// Any non-empty segment.
    Name,
}

impl PathPattern {
    /// Reads a pattern. It must be in the normalised form that requests are compared in
    /// (RFC 3986 section 6.2.2, and no `//`).
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let path = text.strip_prefix('/').ok_or(PathError::NoSlash)?;
        if text.contains(['?', '#']) {
            return Err(PathError::NotPath);
        }
        let normal = normalise(path)?;
        if normal != text {
            return Err(PathError::NotNormal(normal));
        }
        let mut segments = Vec::new();
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut open = false;
        for part in path.split('/') {
            if open {
                return Err(PathError::StarInside);
            }
            if part == "*" {
                open = true;
                add_name(&mut names, "rest")?;
            } else if part.contains('*') {
                return Err(PathError::StarInside);
            } else if let Some(name) = braced(part)? {
                check_name(name)?;
                add_name(&mut names, name)?;
                segments.push(Segment::Name);
            } else {
                segments.push(Segment::Literal(part.into()));
            }
        }
        if segments.len() > MAX_SEGMENTS || names.len() > MAX_CAPTURES {
            return Err(PathError::TooLong);
        }
        Ok(Self {
            text: text.into(),
            segments: segments.into(),
            open,
            names: (!names.is_empty()).then(|| names.into()),
        })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names it captures, in the order they stand in.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .flat_map(|names| names.iter())
            .map(|name| &**name)
    }

    /// Whether the pattern matches this normalised path.
    pub fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else {
            return false;
        };
        let mut parts = path.split('/');
        for segment in &self.segments {
            let fits = match (segment, parts.next()) {
                (Segment::Literal(literal), Some(part)) => **literal == *part,
                (Segment::Name, Some(part)) => !part.is_empty(),
                (_, None) => false,
            };
            if !fits {
                return false;
            }
        }
        self.open || parts.next().is_none()
    }

    /// Compares two patterns that match the same path: the greater one is more specific.
    pub(super) fn cmp_rank(&self, other: &Self) -> Ordering {
        let mut mine = self.segments.iter();
        let mut theirs = other.segments.iter();
        loop {
            match (mine.next(), theirs.next()) {
                (Some(Segment::Literal(_)), Some(Segment::Name)) => return Ordering::Greater,
                (Some(Segment::Name), Some(Segment::Literal(_))) => return Ordering::Less,
                (Some(_), Some(_)) => {}
                // The shorter one matches the same path, so it is the open one.
                (Some(_), None) => return Ordering::Greater,
                (None, Some(_)) => return Ordering::Less,
                (None, None) => return other.open.cmp(&self.open),
            }
        }
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn names(&self) -> Option<&Arc<[Arc<str>]>> {
        self.names.as_ref()
    }

    /// Calls `note(place, start, end)` for every capture in `path`, which the pattern matches.
    pub(super) fn places(&self, path: &str, mut note: impl FnMut(usize, usize, usize)) {
        let mut start = 1;
        let mut place = 0;
        for segment in &self.segments {
            let left = path.get(start..).unwrap_or_default();
            let end = start + left.find('/').unwrap_or(left.len());
            if *segment == Segment::Name {
                note(place, start, end);
                place += 1;
            }
            start = end + 1;
        }
        if self.open {
            note(place, start.min(path.len()), path.len());
        }
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PathPattern({})", self.text)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The name inside braces, none for a segment without braces.
fn braced(part: &str) -> Result<Option<&str>, PathError> {
    let inner = part
        .strip_prefix('{')
        .and_then(|part| part.strip_suffix('}'));
    if inner.unwrap_or(part).contains(['{', '}']) {
        return Err(PathError::BraceInside);
    }
    Ok(inner)
}

fn check_name(name: &str) -> Result<(), PathError> {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let all = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !first || !all || name.len() > 32 {
        return Err(PathError::Name(name.to_owned()));
    }
    if RESERVED.contains(&name) {
        return Err(PathError::Reserved(name.to_owned()));
    }
    Ok(())
}

fn add_name(names: &mut Vec<Arc<str>>, name: &str) -> Result<(), PathError> {
    if names.iter().any(|known| &**known == name) {
        return Err(PathError::Twice(name.to_owned()));
    }
    names.push(name.into());
    Ok(())
}
