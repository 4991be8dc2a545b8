//! A key for people: its parts by name. Secrets are hidden as the access log hides them; cookies altogether.

use super::{Key, KeyRules, KeyView, Parts};
use crate::telemetry::credentials::Credentials;
use crate::telemetry::redact::{is_credential_header, redact_query};

/// What stands for a value that is not shown.
const HIDDEN: &str = "(hidden)";

/// A key in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable {
    /// What of the URL counts.
    pub url: String,
    /// What else does, as `route site`, `header x-device: phone`, `cookie lang: (hidden)`, `consumer -`; `-` is what
    /// the request did not have.
    pub and: Vec<String>,
}

impl Key {
    /// The key in words. Without the rules it was made by, or by other ones, only what every key has.
    ///
    /// Values of `hidden` are hidden besides those of everyday secrets. None if the text is not one of this layout.
    pub fn readable(&self, rules: Option<&KeyRules>, hidden: &Credentials) -> Option<Readable> {
        let view = self.read()?;
        let query = view.query.map(|query| format!("?{query}"));
        let query = query.unwrap_or_default();
        let query = redact_query(query.as_bytes(), hidden);
        let mut and = vec![format!("route {}", view.route)];
        if !view.side.is_empty() {
            and.push(format!("upstream {}", view.side));
        }
        if let Some(rules) = rules {
            and.extend(chosen(&self.text, rules, hidden).unwrap_or_default());
        }
        let KeyView {
            scheme, host, path, ..
        } = view;
        let query = String::from_utf8_lossy(&query);
        Some(Readable {
            url: format!("{scheme}://{host}{path}{query}"),
            and,
        })
    }
}

/// What a policy put into a key.
fn chosen(text: &[u8], rules: &KeyRules, hidden: &Credentials) -> Option<Vec<String>> {
    let mut parts = Parts::of(text)?;
    // Scheme, host, path, query, route, side.
    for _ in 0..6 {
        parts.next()?;
    }
    let mut out = Vec::new();
    for name in &rules.headers {
        if parts.next()?? != name.as_str().as_bytes() {
            return None;
        }
        let mut lines = Vec::new();
        for _ in 0..parts.number()? {
            lines.push(String::from_utf8_lossy(parts.next()??));
        }
        let value = match lines.as_slice() {
            [] => "-".to_owned(),
            _ if is_credential_header(name.as_str()) || hidden.is_header(name.as_str()) => {
                HIDDEN.to_owned()
            }
            lines => lines.join(" | "),
        };
        out.push(format!("header {name}: {value}"));
    }
    for name in &rules.cookies {
        if parts.next()?? != name.as_bytes() {
            return None;
        }
        let count = parts.number()?;
        for _ in 0..count {
            parts.next()??;
        }
        let value = match count {
            0 => "-".to_owned(),
            1 => HIDDEN.to_owned(),
            count => format!("{HIDDEN}, {count} of them"),
        };
        out.push(format!("cookie {name}: {value}"));
    }
    if rules.consumer {
        let consumer = parts.next()?.map(String::from_utf8_lossy);
        out.push(format!("consumer {}", consumer.unwrap_or("-".into())));
    }
    parts.is_at_end().then_some(out)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{AUTHORIZATION, HeaderName};

    use super::*;
    use crate::cache::cases;
    use crate::cache::key::KeyParts;
    use crate::telemetry::credentials::NONE;

    fn key(fields: &HeaderMap, consumer: Option<&str>, rules: &KeyRules) -> Key {
        Key::build(
            &KeyParts {
                scheme: "https",
                host: "a.test:8443",
                path: "/p",
                query: Some("q=1&token=topsecret"),
                route: "site",
                side: "app",
                fields,
                consumer,
            },
            rules,
        )
    }

    #[test]
    fn parts_have_names_and_secrets_are_hidden() {
        let rules = KeyRules {
            headers: vec![
                HeaderName::from_static("x-device"),
                AUTHORIZATION,
                HeaderName::from_static("x-none"),
            ],
            cookies: vec!["lang".to_owned(), "none".to_owned()],
            consumer: true,
            ..KeyRules::default()
        };
        let fields = cases::fields(
            "X-Device: phone\nX-Device: big\nAuthorization: Basic topsecret\nCookie: lang=topsecret",
        );
        let readable = key(&fields, Some("alice"), &rules)
            .readable(Some(&rules), &NONE)
            .expect("a key");
        assert!(
            !format!("{readable:?}").contains("topsecret"),
            "{readable:?}"
        );
        assert!(readable.url.starts_with("https://a.test:8443/p?q=1&token="));
        assert_eq!(
            readable.and,
            [
                "route site",
                "upstream app",
                "header x-device: phone | big",
                "header authorization: (hidden)",
                "header x-none: -",
                "cookie lang: (hidden)",
                "cookie none: -",
                "consumer alice",
            ]
        );
    }

    #[test]
    fn by_other_rules_it_says_what_every_key_has() {
        let rules = KeyRules {
            consumer: true,
            ..KeyRules::default()
        };
        let key = key(&HeaderMap::new(), None, &rules);
        let least = ["route site", "upstream app"];
        let other = KeyRules::default();
        let said = |rules: Option<&KeyRules>| key.readable(rules, &NONE).expect("a key").and;
        assert_eq!(said(None), least);
        assert_eq!(said(Some(&other)), least);
        assert_eq!(said(Some(&rules)), [&least[..], &["consumer -"]].concat());
        let cut = Key::from_text(key.text.slice(..key.text.len() - 1));
        assert_eq!(cut.readable(Some(&rules), &NONE).expect("a key").and, least);
        assert_eq!(
            Key::from_text(key.text.slice(1..)).readable(None, &NONE),
            None
        );
    }
}
