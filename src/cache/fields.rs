//! Which fields of a response are kept in its stored copy (RFC 9111 section 3.1), and which are sent from it.

use http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE,
    HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, VARY,
};

use super::control::trim_ows;
use super::freshness::single_date;
use super::status::CACHE_STATUS;

/// Fields of one connection, or of the path it came by (RFC 9110 sections 7.6.1 and 11.7). `Age` and `Cache-Status`
/// are kept elsewhere and written anew with each answer.
static NOT_KEPT: [HeaderName; 12] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    AGE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("proxy-connection"),
    CACHE_STATUS,
];

/// What neither Connection nor `no-cache="..."` can take out of a stored copy: without these its bytes would be read
/// wrongly, or it would be confirmed for requests it does not answer.
static ALWAYS_KEPT: [HeaderName; 5] = [
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    VARY,
];

/// The last second of the year 9999: no HTTP-date is later.
const LAST_DATE_S: u64 = 253_402_300_799;

/// Takes out of a stored copy what is not kept: fields of the connection, those that Connection names, and `left_out`
/// of the plan. Trailers never come here: they are not stored (RFC 9110 section 6.5.1 lets them be dropped).
pub fn strip(fields: &mut HeaderMap, left_out: &[HeaderName]) {
    let mut nominated = Vec::new();
    for line in fields.get_all(CONNECTION) {
        for name in line.as_bytes().split(|byte| *byte == b',').map(trim_ows) {
            if let Ok(name) = HeaderName::from_bytes(name) {
                nominated.push(name);
            }
        }
    }
    for name in NOT_KEPT.iter().chain(&nominated).chain(left_out) {
        if !ALWAYS_KEPT.contains(name) {
            fields.remove(name);
        }
    }
}

/// Gives a response without a readable Date the moment it came, as whoever keeps or forwards it must (RFC 9110 section
/// 6.6.1). Hits then carry the Date that their Age was counted from.
pub fn ensure_date(fields: &mut HeaderMap, wall_s: u64) {
    if single_date(fields, &DATE, wall_s).is_some() {
        return;
    }
    let since = std::time::Duration::from_secs(wall_s.min(LAST_DATE_S));
    let text = httpdate::fmt_http_date(std::time::UNIX_EPOCH + since);
    if let Ok(value) = text.parse() {
        fields.insert(DATE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::cases;

    #[test]
    fn what_belongs_to_a_connection_is_not_kept() {
        let mut fields = cases::fields(
            "Connection: a, B ,close\nConnection: d, \"x\"\na: 1\nb: 2\nc: 3\nd: 4\nKeep-Alive: 5\nTransfer-Encoding: chunked\n\
             Proxy-Authenticate: x\nProxy-Authentication-Info: x\nProxy-Authorization: x\nProxy-Connection: x\nTE: x\n\
             Trailer: x\nUpgrade: x\nAge: 10\nCache-Status: x\nSet-Cookie: a=b\nContent-Length: 5",
        );
        strip(&mut fields, &[http::header::SET_COOKIE]);
        let mut left: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["c", "content-length"]);
    }

    #[test]
    fn connection_cannot_name_what_decides() {
        let mut fields = cases::fields(
            "Connection: Cache-Control, Content-Length\nCache-Control: max-age=1\nContent-Length: 1",
        );
        strip(&mut fields, &[]);
        assert_eq!(fields.len(), 2);
        let mut fields = cases::fields("Vary: a\nContent-Type: a\nContent-Encoding: a\nX: 1");
        let x = HeaderName::from_static("x");
        strip(&mut fields, &[VARY, CONTENT_TYPE, CONTENT_ENCODING, x]);
        assert_eq!(fields.len(), 3);
    }

    #[test]
    fn a_date_is_given_where_there_is_none() {
        let dated = |text: &str, wall_s| {
            let mut fields = cases::fields(text);
            ensure_date(&mut fields, wall_s);
            let lines: Vec<_> = fields.get_all(DATE).iter().cloned().collect();
            assert_eq!(lines.len(), 1);
            lines
                .first()
                .and_then(|line| line.to_str().ok())
                .map(str::to_owned)
        };
        let now = Some("Thu, 01 Jan 2026 00:00:00 GMT".to_owned());
        assert_eq!(dated("A: 1", 1_767_225_600), now);
        assert_eq!(dated("Date: yesterday", 1_767_225_600), now);
        let own = "Thursday, 01-Jan-15 00:00:00 GMT";
        assert_eq!(
            dated(&format!("Date: {own}"), 1_767_225_600),
            Some(own.to_owned())
        );
        let last = Some("Fri, 31 Dec 9999 23:59:59 GMT".to_owned());
        assert_eq!(dated("", u64::MAX), last);
    }

    #[test]
    fn stripping_twice_is_stripping_once() {
        let mut once = cases::fields("Connection: a\na: 1\nb: 2");
        strip(&mut once, &[]);
        let mut twice = once.clone();
        strip(&mut twice, &[]);
        assert_eq!(once, twice);
    }
}
