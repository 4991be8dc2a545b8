//! Accept (RFC 9110 section 12.5.1): a page for people, or a problem for programs?

use http::HeaderMap;
use http::header::ACCEPT;

/// How well something is liked: the weight in thousandths, and how exactly it was named (1 to 3; 0: not).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Liked {
    weight: u16,
    named: u8,
}

/// True if the client likes HTML more than JSON. Without a word about either it gets the problem.
pub(super) fn prefers_html(fields: &HeaderMap) -> bool {
    let (mut html, mut json) = (Liked::default(), Liked::default());
    for line in fields.get_all(ACCEPT) {
        for member in line.as_bytes().split(|byte| *byte == b',') {
            let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let range = parts.next().unwrap_or_default();
            let mut weight = 1000;
            for parameter in parts {
                if let [b'q' | b'Q', b'=', text @ ..] = parameter {
                    weight = weight_of(text);
                    break;
                }
            }
            let is = |known: &[u8]| range.eq_ignore_ascii_case(known);
            let of_json = is(b"application/problem+json") || is(b"application/json");
            let (named_html, named_json) = match () {
                () if is(b"text/html") => (3, 0),
                () if is(b"text/*") => (2, 0),
                () if of_json => (0, 3),
                () if is(b"application/*") => (0, 2),
                () if is(b"*/*") => (1, 1),
                () => (0, 0),
            };
            for (liked, named) in [(&mut html, named_html), (&mut json, named_json)] {
                // The most exact range counts.
                if named > liked.named {
                    *liked = Liked { weight, named };
                } else if named == liked.named && named > 0 {
                    liked.weight = liked.weight.max(weight);
                }
            }
        }
    }
    html.weight > 0 && html > json
}

/// A weight in thousandths; 0 where it cannot be read.
fn weight_of(text: &[u8]) -> u16 {
    match text {
        [b'1'] | [b'1', b'.', b'0', ..] => 1000,
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            let mut place = 100;
            let mut weight = 0;
            for digit in digits {
                weight += u16::from(digit - b'0') * place;
                place /= 10;
            }
            weight
        }
        _ => 0,
    }
}
