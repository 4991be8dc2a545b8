//! Entity tags (RFC 9110 section 8.8.3), compared as bytes: some origins leave the quotes out, and such a tag is equal
//! to itself only.

/// A tag as it stands in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Etag<'a> {
    /// Begins with `W/`.
    pub weak: bool,
    /// The rest, with its quotes.
    pub opaque: &'a [u8],
}

impl<'a> Etag<'a> {
    /// Reads one tag; none if the field is empty.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (weak, opaque) = match value.strip_prefix(b"W/") {
            Some(opaque) => (true, opaque),
            None => (false, value),
        };
        (!opaque.is_empty()).then_some(Self { weak, opaque })
    }

    /// For If-None-Match: weakness does not count.
    pub fn equals_weakly(self, other: Self) -> bool {
        self.opaque == other.opaque
    }

    /// For If-Match, If-Range and the joining of parts: a weak tag equals nothing, and a tag without quotes is not
    /// known to be strong.
    pub fn equals_strongly(self, other: Self) -> bool {
        !self.weak
            && !other.weak
            && self.opaque == other.opaque
            && matches!(self.opaque, [b'"', .., b'"'])
    }
}

/// The members of a list of tags. A comma inside quotes belongs to its tag.
pub fn list(value: &[u8]) -> impl Iterator<Item = Etag<'_>> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            // A backslash is an ordinary byte of a tag.
            let mut quoted = false;
            let end = rest
                .iter()
                .position(|byte| {
                    quoted ^= *byte == b'"';
                    *byte == b',' && !quoted
                })
                .unwrap_or(rest.len());
            let (member, after) = rest.split_at_checked(end)?;
            rest = after.get(1..).unwrap_or_default();
            if let Some(tag) = Etag::read(member) {
                return Some(tag);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Etag<'_> {
        Etag::read(text.as_bytes()).expect("a tag")
    }

    #[test]
    fn both_comparisons() {
        for (a, b, weakly, strongly) in [
            ("\"a\"", "\"a\"", true, true),
            ("W/\"a\"", "\"a\"", true, false),
            ("W/\"a\"", "W/\"a\"", true, false),
            ("\"a\"", "\"b\"", false, false),
            ("a", "a", true, false),
            ("a", "\"a\"", false, false),
            ("w/\"a\"", "\"a\"", false, false),
            ("\"\"", "\"\"", true, true),
            ("\"", "\"", true, false),
        ] {
            assert_eq!(tag(a).equals_weakly(tag(b)), weakly, "{a} {b}");
            assert_eq!(tag(a).equals_strongly(tag(b)), strongly, "{a} {b}");
            assert_eq!(tag(b).equals_weakly(tag(a)), weakly, "{b} {a}");
        }
        assert_eq!(Etag::read(b" "), None);
        assert_eq!(Etag::read(b"W/"), None);
    }

    #[test]
    fn lists() {
        let read = |text: &'static str| -> Vec<&[u8]> {
            list(text.as_bytes()).map(|tag| tag.opaque).collect()
        };
        assert_eq!(read("\"a\", W/\"b\" ,,c"), [&b"\"a\""[..], b"\"b\"", b"c"]);
        assert_eq!(read("\"a,b\",\"c\""), [&b"\"a,b\""[..], b"\"c\""]);
        assert_eq!(read("\"a\\\",\"b\""), [&b"\"a\\\""[..], b"\"b\""]);
        assert!(read(" , ").is_empty());
        assert_eq!(read("\"a, b"), [&b"\"a, b"[..]]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>) {
            proptest::prop_assert!(list(&bytes).count() <= bytes.len() + 1);
        }
    }
}
