//! Guards against poisoned and deceived caches.
//!
//! - Poisoning by errors (CPDoS): a request may be made so that the origin refuses it, and the refusal then stands in
//!   the cache for everybody. An error that an odd request drew is not stored, whatever its headers say.
//! - Poisoning by unkeyed input: fields that origins are known to build URLs or answers from, and that are not part
//!   of the key, do not reach the origin of a cached route.
//! - Deception: `/account/x.css` may be answered with the account. Where the policy asks for it, the type of a
//!   response must fit the extension of its path.

use http::header::{
    CONTENT_TYPE, EXPECT, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};

/// Bytes of fields beyond which common origins begin to refuse a request (Tomcat: 8 KiB for all, Apache: 8,190 for
/// one).
const MANY_FIELD_BYTES: usize = 4 * 1024;

/// Fields beyond which common origins begin to refuse (Apache: 100).
const MANY_FIELDS: usize = 64;

/// Bytes of a target beyond which common origins begin to refuse (IIS: 2,048 for a query).
const LONG_TARGET: usize = 1_536;

/// Fields that make some frameworks see another method.
static METHOD_OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

/// Fields that origins build answers from and that no client of a cached route may choose for others.
static UNKEYED: [HeaderName; 17] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-amz-website-redirect-location"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-path"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-ssl"),
    HeaderName::from_static("x-host"),
    HeaderName::from_static("x-http-host-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// The client's fields that do not reach the origin of a cached route, except those the key holds. Fields of these
/// names that the proxy itself writes are set afterwards.
pub fn unkeyed(keyed: &[HeaderName]) -> impl Iterator<Item = &'static HeaderName> {
    UNKEYED.iter().filter(move |name| !keyed.contains(name))
}

/// True for a request that may draw an error which other clients would not get.
pub fn is_odd(fields: &HeaderMap, target_bytes: usize, has_body: bool) -> bool {
    if has_body || target_bytes > LONG_TARGET || fields.len() > MANY_FIELDS {
        return true;
    }
    let mut bytes = 0_usize;
    for (name, value) in fields {
        bytes += name.as_str().len() + value.len();
        if value.as_bytes().iter().any(|byte| !is_plain(*byte)) {
            return true;
        }
    }
    bytes > MANY_FIELD_BYTES
        || [EXPECT, UPGRADE, TRANSFER_ENCODING]
            .iter()
            .any(|name| fields.contains_key(name))
        || METHOD_OVERRIDES
            .iter()
            .any(|name| fields.contains_key(name))
}

/// Origins differ in what they make of other bytes; clients rarely send any.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

/// Extensions and the media types that fit them: whole types, or a prefix that ends in `/` or `*`.
const TYPES: [(&[&str], &[&str]); 11] = [
    (&["css"], &["text/css"]),
    (
        &["js", "mjs"],
        &[
            "application/javascript",
            "text/javascript",
            "application/x-javascript",
            "application/ecmascript",
        ],
    ),
    (
        &[
            "avif", "bmp", "cur", "gif", "ico", "jpeg", "jpg", "png", "svg", "svgz", "tif", "tiff",
            "webp", "jxl",
        ],
        &["image/"],
    ),
    (
        &["eot", "otf", "ttf", "woff", "woff2"],
        &[
            "font/",
            "application/font*",
            "application/x-font*",
            "application/vnd.ms-fontobject",
        ],
    ),
    (
        &[
            "aac", "flac", "m4a", "mid", "midi", "mp3", "oga", "ogg", "opus", "wav", "weba",
        ],
        &["audio/", "application/ogg", "video/ogg"],
    ),
    (
        &[
            "avi", "m4v", "mkv", "mov", "mp4", "mpeg", "ogv", "ts", "webm", "m4s",
        ],
        &[
            "video/",
            "audio/",
            "application/mp4",
            "application/typescript",
            "text/typescript",
        ],
    ),
    (
        &["json", "webmanifest"],
        &["application/json", "application/manifest+json", "text/json"],
    ),
    (&["pdf"], &["application/pdf"]),
    (&["txt", "csv"], &["text/", "application/csv"]),
    (&["wasm"], &["application/wasm"]),
    (
        &[
            "7z", "apk", "bin", "bz2", "class", "deb", "dmg", "doc", "docx", "ear", "exe", "gz",
            "iso", "jar", "pls", "ppt", "pptx", "ps", "rar", "rpm", "swf", "tar", "tgz", "war",
            "xls", "xlsx", "xz", "zip", "zst",
        ],
        &["application/"],
    ),
];

/// True if a response of this type may be stored under this path: its extension is not one of the list, or the type
/// fits it. Without a type nothing fits; `application/octet-stream` fits everything, as browsers do not run it.
pub fn type_fits(path: &str, content_type: Option<&HeaderValue>) -> bool {
    let last = path.rsplit('/').next().unwrap_or(path);
    let Some((_, extension)) = last.rsplit_once('.') else {
        return true;
    };
    let Some((_, fitting)) = TYPES.iter().find(|(extensions, _)| {
        extensions
            .iter()
            .any(|known| known.eq_ignore_ascii_case(extension))
    }) else {
        return true;
    };
    let Some(given) = content_type.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let given = given.split(';').next().unwrap_or(given).trim();
    given.eq_ignore_ascii_case("application/octet-stream")
        || fitting.iter().any(|fit| match fit.strip_suffix('*') {
            Some(prefix) => starts_with(given, prefix),
            None if fit.ends_with('/') => starts_with(given, fit) && !is_document(given),
            None => given.eq_ignore_ascii_case(fit),
        })
}

/// Pages and data, which are `application/` or `text/` too.
fn is_document(given: &str) -> bool {
    [
        "application/xhtml+xml",
        "application/json",
        "application/xml",
        "text/html",
    ]
    .iter()
    .any(|document| given.eq_ignore_ascii_case(document))
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// The type of a response, for [`type_fits`]; two of them fit nothing.
pub fn content_type(fields: &HeaderMap) -> Option<&HeaderValue> {
    let mut types = fields.get_all(CONTENT_TYPE).iter();
    let first = types.next();
    match types.next() {
        None => first,
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::cases;

    #[test]
    fn every_type_case() {
        for case in cases::rows(include_str!("cases/types.txt"), 3) {
            let [want, path, given] = case.columns.as_slice() else {
                panic!("line {}: three columns", case.line);
            };
            let value = (given != "-").then(|| HeaderValue::from_str(given).expect("a type"));
            let got = if type_fits(path, value.as_ref()) {
                "fits"
            } else {
                "not"
            };
            assert_eq!(got, want, "line {}: {path} {given}", case.line);
        }
    }

    #[test]
    fn odd_requests() {
        let odd = |text: &str| is_odd(&cases::fields(text), 10, false);
        assert!(!odd(
            "Host: a.test\nAccept: */*\nCookie: a=b\nRange: bytes=0-1"
        ));
        assert!(odd("X-HTTP-Method-Override: DELETE"));
        assert!(odd("Expect: 100-continue"));
        assert!(odd("Upgrade: h2c"));
        assert!(odd("X: caf\u{e9}"));
        assert!(odd(&format!("X: {}", "a".repeat(MANY_FIELD_BYTES))));
        assert!(odd(&"X: a\n".repeat(MANY_FIELDS + 1)));
        let plain = HeaderMap::new();
        assert!(!is_odd(&plain, LONG_TARGET, false));
        assert!(is_odd(&plain, LONG_TARGET + 1, false));
        assert!(is_odd(&plain, 1, true));
    }

    #[test]
    fn a_keyed_field_reaches_the_origin() {
        let host = HeaderName::from_static("x-forwarded-host");
        assert!(unkeyed(&[]).any(|name| *name == host));
        assert_eq!(unkeyed(&[]).count(), UNKEYED.len());
        assert!(unkeyed(std::slice::from_ref(&host)).all(|name| *name != host));
    }
}
