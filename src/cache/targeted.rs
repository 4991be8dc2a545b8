//! Targeted cache control (RFC 9213): `CDN-Cache-Control` and fields like it, which speak to us alone.
//!
//! The first field of the list that is there, is not empty and parses as a dictionary (RFC 9651) replaces
//! Cache-Control and Expires, whole. One that does not parse is as if it were absent (section 2.2). Members of a
//! type that their directive cannot have: numbers of seconds become invalid, and so mean stale; a word that
//! forbids counts with any value but `?0`; a word that permits counts only as `?1`.

use http::header::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, ParseMore, Parser};

use super::control::{Argument, Directives, MOST_SECONDS, Seconds};

/// The field every shared cache between origin and client listens to (RFC 9213 section 3.1).
pub const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The largest field that is looked at, bytes over all its lines.
const MOST_BYTES: usize = 8 * 1024;

/// The directives of the first usable field of `list`; none means that Cache-Control speaks.
pub fn directives(fields: &HeaderMap, list: &[HeaderName]) -> Option<Directives> {
    list.iter().find_map(|name| {
        let dictionary = dictionary(fields, name)?;
        let mut found = Directives::default();
        for (key, entry) in &dictionary {
            take(&mut found, key, entry);
        }
        found.present = true;
        Some(found)
    })
}

fn dictionary(fields: &HeaderMap, name: &HeaderName) -> Option<Dictionary> {
    let mut lines = fields.get_all(name).iter();
    let first = lines.next()?.as_bytes();
    let mut bytes = first.len();
    if bytes > MOST_BYTES {
        return None;
    }
    let mut dictionary = Parser::parse_dictionary(first).ok()?;
    for line in lines {
        let line = line.as_bytes();
        bytes += line.len();
        if bytes > MOST_BYTES {
            return None;
        }
        // The empty line adds nothing; the crate would call it an error.
        if !line.trim_ascii().is_empty() {
            dictionary.parse_more(line).ok()?;
        }
    }
    (!dictionary.is_empty()).then_some(dictionary)
}

fn take(found: &mut Directives, key: &str, entry: &ListEntry) {
    let item = match entry {
        ListEntry::Item(item) => &item.bare_item,
        // A list of fields is a String in this mapping; as a list it forbids as if it named nothing.
        ListEntry::InnerList(_) => return found.take(key.as_bytes(), Argument::Broken),
    };
    match item {
        BareItem::Boolean(true) => found.take(key.as_bytes(), Argument::None),
        BareItem::Boolean(false) => {
            // `max-age=?0` is there and has no seconds; `no-store=?0` says that it is not there.
            let seconds = match key {
                "max-age" => &mut found.max_age,
                "s-maxage" => &mut found.s_maxage,
                "stale-while-revalidate" => &mut found.stale_while_revalidate,
                "stale-if-error" => &mut found.stale_if_error,
                _ => return,
            };
            *seconds = Seconds::Invalid;
        }
        BareItem::Integer(value) => {
            let capped = (*value).min(i64::from(MOST_SECONDS));
            match u32::try_from(capped) {
                Ok(value) => found.take(
                    key.as_bytes(),
                    Argument::Token(value.to_string().as_bytes()),
                ),
                Err(_) => found.take(key.as_bytes(), Argument::Broken),
            }
        }
        BareItem::String(text) if is_reach(key) => {
            found.take(key.as_bytes(), Argument::Quoted(text.as_bytes()));
        }
        BareItem::Token(text) if is_reach(key) => {
            found.take(key.as_bytes(), Argument::Token(text.as_bytes()));
        }
        BareItem::String(_) | BareItem::Token(_) | BareItem::Decimal(_) | BareItem::ByteSeq(_) => {
            found.take(key.as_bytes(), Argument::Broken)
        }
    }
}

fn is_reach(key: &str) -> bool {
    matches!(key, "no-cache" | "private")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::cases;
    use crate::cache::control::Reach;

    fn of(text: &str) -> Option<Directives> {
        directives(&cases::fields(text), &[CDN_CACHE_CONTROL])
    }

    #[test]
    fn every_case() {
        for case in cases::rows(include_str!("cases/targeted.txt"), 2) {
            let [want, lines] = case.columns.as_slice() else {
                panic!("line {}: two columns", case.line);
            };
            let got = match of(lines) {
                None => "ignored".to_owned(),
                Some(found) => {
                    let mut words = Vec::new();
                    if found.no_store {
                        words.push("no-store".to_owned());
                    }
                    if found.private == Reach::Whole {
                        words.push("private".to_owned());
                    }
                    if found.no_cache == Reach::Whole {
                        words.push("no-cache".to_owned());
                    }
                    if !found.fields.is_empty() {
                        words.push(format!("{} fields", found.fields.len()));
                    }
                    if found.public {
                        words.push("public".to_owned());
                    }
                    if found.must_revalidate {
                        words.push("must-revalidate".to_owned());
                    }
                    if let Some(seconds) = found.s_maxage.or_stale() {
                        words.push(format!("s-maxage={seconds}"));
                    }
                    if let Some(seconds) = found.max_age.or_stale() {
                        words.push(format!("max-age={seconds}"));
                    }
                    if words.is_empty() {
                        "nothing known".to_owned()
                    } else {
                        words.join(" ")
                    }
                }
            };
            assert_eq!(&got, want, "line {}: {lines:?}", case.line);
        }
    }

    #[test]
    fn the_first_usable_field_of_the_list_speaks() {
        let ours = HeaderName::from_static("farmgate-cache-control");
        let list = [ours, CDN_CACHE_CONTROL];
        let age = |text: &str| directives(&cases::fields(text), &list).map(|found| found.max_age);
        let both = "CDN-Cache-Control: max-age=1\nFarmgate-Cache-Control: max-age=2";
        assert_eq!(age(both), Some(Seconds::Value(2)));
        let broken = "CDN-Cache-Control: max-age=1\nFarmgate-Cache-Control: max-age=?";
        assert_eq!(age(broken), Some(Seconds::Value(1)));
        let empty = "CDN-Cache-Control: max-age=1\nFarmgate-Cache-Control:";
        assert_eq!(age(empty), Some(Seconds::Value(1)));
        assert_eq!(age("Cache-Control: max-age=1"), None);
    }

    #[test]
    fn a_huge_field_is_ignored() {
        let huge = format!("CDN-Cache-Control: max-age=1, {}", "a, ".repeat(4000) + "a");
        assert_eq!(of(&huge), None);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_odd(lines in proptest::collection::vec("[ -~\t\u{80}-\u{ff}]{0,60}", 0..4)) {
            let mut fields = HeaderMap::new();
            for line in &lines {
                if let Ok(value) = line.parse() {
                    fields.append(CDN_CACHE_CONTROL, value);
                }
            }
            let _ = directives(&fields, &[CDN_CACHE_CONTROL]);
        }
    }
}
