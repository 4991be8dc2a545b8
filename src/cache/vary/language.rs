//! Accept-Language: as a sorted list, or as the best of the site's languages (RFC 4647 section 3.4, lookup).

use http::header::{ACCEPT_LANGUAGE, HeaderMap};

use super::encoding::weight_of;
use crate::cache::control::trim_ows;

/// Members of the field that are looked at; further ones are compared as they stand.
const MOST_MEMBERS: usize = 32;

/// The members, heaviest first, those of one weight by name: their order within one weight has no meaning
/// (RFC 9110 section 12.5.4). Lower case, without spaces.
pub(super) fn sorted(fields: &HeaderMap) -> Vec<u8> {
    let mut members: Vec<(u16, &[u8])> = members(fields).take(MOST_MEMBERS + 1).collect();
    if members.len() > MOST_MEMBERS {
        // Not a browser. Compared as it stands.
        let lines = fields.get_all(ACCEPT_LANGUAGE).iter();
        return lines.fold(Vec::new(), |mut all, line| {
            all.extend_from_slice(line.as_bytes());
            all.push(b',');
            all
        });
    }
    members.sort_by(|(a, left), (b, right)| {
        b.cmp(a).then_with(|| {
            let left = left.iter().map(u8::to_ascii_lowercase);
            left.cmp(right.iter().map(u8::to_ascii_lowercase))
        })
    });
    let mut out = Vec::with_capacity(64);
    for (weight, tag) in members {
        out.extend(tag.iter().map(u8::to_ascii_lowercase));
        out.push(b';');
        out.extend(weight.to_be_bytes());
    }
    out
}

/// The language of `site` a request likes most; none if it likes none of them. Of two that it likes equally, the
/// site's order decides.
pub(super) fn best<'a>(fields: &HeaderMap, site: &'a [String]) -> Option<&'a str> {
    site.iter()
        .filter_map(|language| {
            let weight = members(fields)
                .take(MOST_MEMBERS)
                .filter_map(|(weight, range)| {
                    fit(language.as_bytes(), range).map(|length| (length, weight))
                })
                // The longest range that fits decides, not the heaviest.
                .max_by_key(|(length, _)| *length)
                .map(|(_, weight)| weight)?;
            (weight > 0).then_some((weight, language))
        })
        // Later ones win only when they are heavier.
        .fold(None, |best, (weight, language)| match best {
            Some((heaviest, _)) if heaviest >= weight => best,
            _ => Some((weight, language)),
        })
        .map(|(_, language)| language.as_str())
}

/// How well a range fits a language: the length of what they share. `de` fits `de-at`, and `de-at` fits `de`, as a
/// site that has only `de` serves an Austrian better with it than with nothing.
fn fit(language: &[u8], range: &[u8]) -> Option<usize> {
    if range == b"*" {
        return Some(0);
    }
    let (short, long) = match language.len() <= range.len() {
        true => (language, range),
        false => (range, language),
    };
    let (head, rest) = long.split_at_checked(short.len())?;
    (head.eq_ignore_ascii_case(short) && matches!(rest, [] | [b'-', ..])).then_some(short.len())
}

fn members(fields: &HeaderMap) -> impl Iterator<Item = (u16, &[u8])> {
    fields
        .get_all(ACCEPT_LANGUAGE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|member| {
            let mut parts = member.split(|byte| *byte == b';').map(trim_ows);
            let tag = parts.next().filter(|tag| !tag.is_empty())?;
            let weight = parts
                .find_map(|parameter| match parameter {
                    [b'q' | b'Q', b'=', weight @ ..] => Some(weight_of(weight).unwrap_or(0)),
                    _ => None,
                })
                .unwrap_or(1000);
            Some((weight, tag))
        })
}
