//! Media types with wildcards: `text/*`, `application/*+json`, `*/*`.

use http::HeaderValue;

/// What is worth compressing where nothing is written: text in the widest sense, as the cache has it.
pub(super) const USUAL: [&str; 16] = [
    "text/*",
    "*/*+json",
    "*/*+xml",
    "application/javascript",
    "application/ecmascript",
    "application/json",
    "application/x-javascript",
    "application/xml",
    "application/x-ndjson",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
];

/// Types whose framing others must be able to read: never compressed.
const NEVER: [&str; 2] = ["application/grpc", "multipart/byteranges"];

/// A pattern, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Empty: any.
    kind: Box<str>,
    /// Empty: any with this suffix.
    sub: Box<str>,
    /// `+json`, or empty.
    suffix: Box<str>,
}

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, and on a second line what to write.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "`{text}` is no media type: {what}\nwrite \"application/json\", \"text/*\" or \"application/*+json\""
            )
        };
        let lower = text.to_ascii_lowercase();
        let (kind, sub) = lower
            .split_once('/')
            .ok_or_else(|| wrong("it has no `/`"))?;
        let (sub, suffix) = match sub.strip_prefix('*') {
            None => (sub, ""),
            Some(suffix) if suffix.is_empty() || suffix.starts_with('+') => ("", suffix),
            Some(_) => return Err(wrong("behind `*` only a suffix as `+json` is possible")),
        };
        let any = kind == "*";
        let kind = if any { "" } else { kind };
        if any && !sub.is_empty() {
            return Err(wrong("`*` before `/` needs one behind it"));
        }
        // RFC 6838 section 4.2.
        let plain = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        let empty = (kind.is_empty() && !any) || (sub.is_empty() && suffix == "+");
        let named = lower.contains("/*") || !sub.is_empty();
        if empty
            || !named
            || ![kind, sub, suffix]
                .iter()
                .all(|part| part.chars().all(plain))
        {
            return Err(wrong("a part of it is none"));
        }
        Ok(Self {
            kind: kind.into(),
            sub: sub.into(),
            suffix: suffix.into(),
        })
    }

    fn fits(&self, kind: &[u8], sub: &[u8]) -> bool {
        let same = |pattern: &str, text: &[u8]| {
            pattern.is_empty() || text.eq_ignore_ascii_case(pattern.as_bytes())
        };
        let suffix = self.suffix.as_bytes();
        let ends = sub
            .len()
            .checked_sub(suffix.len())
            .and_then(|at| sub.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix));
        same(&self.kind, kind) && same(&self.sub, sub) && ends
    }
}

/// True for a Content-Type that fits one of the patterns.
pub(super) fn fits(patterns: &[Pattern], content_type: &HeaderValue) -> bool {
    let text = content_type.as_bytes();
    let essence = text.split(|byte| *byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii();
    let Some(slash) = essence.iter().position(|byte| *byte == b'/') else {
        return false;
    };
    let (Some(kind), Some(sub)) = (essence.get(..slash), essence.get(slash + 1..)) else {
        return false;
    };
    let never = NEVER.iter().any(|one| {
        let start = essence.get(..one.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(one.as_bytes()))
    });
    !never && patterns.iter().any(|pattern| pattern.fits(kind, sub))
}
