//! Which responses are worth compressing.

use http::StatusCode;
use http::header::{CONTENT_ENCODING, HeaderMap};

use super::guard;

/// True for a response whose body is worth compressing: text in the widest sense, plain so far.
pub fn is_compressible(status: StatusCode, fields: &HeaderMap, no_transform: bool) -> bool {
    if status != StatusCode::OK || no_transform || fields.contains_key(CONTENT_ENCODING) {
        return false;
    }
    let Some(given) = guard::content_type(fields).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let given = given.split(';').next().unwrap_or(given).trim();
    let given = given.to_ascii_lowercase();
    given.starts_with("text/")
        || given.ends_with("+json")
        || given.ends_with("+xml")
        || matches!(
            given.as_str(),
            "application/javascript"
                | "application/ecmascript"
                | "application/json"
                | "application/ld+json"
                | "application/manifest+json"
                | "application/vnd.ms-fontobject"
                | "application/wasm"
                | "application/x-javascript"
                | "application/xml"
                | "font/otf"
                | "font/ttf"
                | "image/bmp"
                | "image/x-icon"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::cases;

    #[test]
    fn text_in_the_widest_sense() {
        let fits = |text: &str| is_compressible(StatusCode::OK, &cases::fields(text), false);
        for kind in [
            "text/html; charset=utf-8",
            "TEXT/CSS",
            "application/json",
            "application/problem+json",
            "image/svg+xml",
            "application/wasm",
        ] {
            assert!(fits(&format!("Content-Type: {kind}")), "{kind}");
        }
        for kind in [
            "image/png",
            "video/mp4",
            "application/zip",
            "font/woff2",
            "",
        ] {
            assert!(!fits(&format!("Content-Type: {kind}")), "{kind}");
        }
        assert!(!fits(""));
        assert!(!fits("Content-Type: text/css\nContent-Encoding: gzip"));
        let css = cases::fields("Content-Type: text/css");
        assert!(!is_compressible(StatusCode::NOT_FOUND, &css, false));
        assert!(!is_compressible(StatusCode::OK, &css, true));
    }
}
