//! Accept-Encoding as one of eight sets (RFC 9110 section 12.5.3).

use http::header::{ACCEPT_ENCODING, HeaderMap};

use crate::cache::control::trim_ows;

/// The content codings a request accepts, of those the cache knows. Identity is always among them: a client that
/// refuses it gets it nevertheless rather than a 415.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encodings {
    /// `zstd` (RFC 8878)
    pub zstd: bool,
    /// `br` (RFC 7932)
    pub br: bool,
    /// `gzip`, and its old name `x-gzip`
    pub gzip: bool,
}

impl Encodings {
    /// The set of a request. Without the field it is identity alone: the RFC would allow anything, but clients that
    /// say nothing are those that understand nothing.
    pub fn of_request(fields: &HeaderMap) -> Self {
        let (mut zstd, mut br, mut gzip, mut any) = (None, None, None, None);
        for line in fields.get_all(ACCEPT_ENCODING) {
            for member in line.as_bytes().split(|byte| *byte == b',') {
                let (coding, accepted) = member_of(member);
                let is = |name: &[u8]| coding.eq_ignore_ascii_case(name);
                let slot = if is(b"zstd") {
                    &mut zstd
                } else if is(b"br") {
                    &mut br
                } else if is(b"gzip") || is(b"x-gzip") {
                    &mut gzip
                } else if is(b"*") {
                    &mut any
                } else {
                    continue;
                };
                // Refused once is refused.
                *slot = Some(slot.unwrap_or(true) && accepted);
            }
        }
        let any = any.unwrap_or(false);
        Self {
            zstd: zstd.unwrap_or(any),
            br: br.unwrap_or(any),
            gzip: gzip.unwrap_or(any),
        }
    }

    /// The set as a field value; what the request that fills the cache carries. Empty: the field is left out.
    pub fn canonical(self) -> &'static str {
        match (self.zstd, self.br, self.gzip) {
            (false, false, false) => "",
            (false, false, true) => "gzip",
            (false, true, false) => "br",
            (false, true, true) => "br, gzip",
            (true, false, false) => "zstd",
            (true, false, true) => "zstd, gzip",
            (true, true, false) => "zstd, br",
            (true, true, true) => "zstd, br, gzip",
        }
    }
}

/// A member's coding, and whether its weight is above 0. A weight that cannot be read counts as 0.
fn member_of(member: &[u8]) -> (&[u8], bool) {
    let mut parts = member.split(|byte| *byte == b';').map(trim_ows);
    let coding = parts.next().unwrap_or_default();
    let accepted = parts.all(|parameter| match parameter {
        [b'q' | b'Q', b'=', weight @ ..] => weight_of(weight).is_some_and(|weight| weight > 0),
        _ => true,
    });
    (coding, accepted)
}

/// A weight in thousandths (RFC 9110 section 12.4.2): `0` to `1` with up to three digits.
pub(super) fn weight_of(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole] => (whole, [].as_slice()),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut thousandths = 0;
    let mut place = 100;
    for digit in fraction {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * place;
        place /= 10;
    }
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
    }
}
