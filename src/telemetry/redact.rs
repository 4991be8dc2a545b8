//! What never reaches a log: credential headers, and the values of query keys and words that name a secret.
//!
//! Always on. It runs where text is written: the access log's lines, `explain`, the event log.

use std::borrow::Cow;

use super::credentials::{Credentials, is_in_force};

/// What stands in the place of a secret.
pub const REDACTED: &str = "REDACTED";

/// Headers that carry credentials: never logged, not even when a configuration asks for them.
const CREDENTIAL_HEADERS: &[&str] = &[
    "authorization",
    "authentication-info",
    "cookie",
    "proxy-authorization",
    "proxy-authenticate",
    "set-cookie",
    "www-authenticate",
    "x-access-token",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-goog-api-key",
    "x-goog-iap-jwt-assertion",
    "x-vault-token",
    "x-xsrf-token",
    "api-key",
    "apikey",
    "cf-access-client-secret",
    "cf-access-jwt-assertion",
    "private-token",
    "x-amzn-oidc-accesstoken",
    "x-amzn-oidc-data",
    "x-forwarded-access-token",
    "x-forwarded-client-cert",
    "x-hub-signature",
    "x-hub-signature-256",
];

/// Query keys whose values are secrets, compared without case, and `-` and `.` read as `_`.
const SECRET_KEYS: &[&str] = &[
    "access_token",
    "api_key",
    "apikey",
    "assertion",
    "auth",
    "authorization",
    "awsaccesskeyid",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "credential",
    "credentials",
    "csrf",
    "hmac",
    "id_token",
    "id_token_hint",
    "jwt",
    "key",
    "otp",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "pwd",
    "refresh_token",
    "samlrequest",
    "samlresponse",
    "secret",
    "session",
    "session_id",
    "sessionid",
    "sid",
    "sig",
    "signature",
    "ticket",
    "token",
    "x_amz_credential",
    "x_amz_security_token",
    "x_amz_signature",
    "x_api_key",
    "x_goog_credential",
    "x_goog_signature",
];

/// Keys that are secrets in a query but everyday words in a sentence ("code: 7", "state: open").
const QUERY_ONLY: &[&str] = &["auth", "code", "key", "session", "sid", "ticket"];

const LONGEST_KEY: usize = 32;

/// True for a header that is never logged; the case does not matter.
pub fn is_credential_header(name: &str) -> bool {
    CREDENTIAL_HEADERS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

/// The key as it is compared: percent-decoded (a client may write `%74oken`), lower case, `-` and `.` as `_`,
/// what follows `[` cut (`token[]`). None when it is longer than any known one.
fn folded_key<'a>(key: &[u8], buffer: &'a mut [u8; LONGEST_KEY]) -> Option<&'a [u8]> {
    let mut length = 0;
    let mut rest = key;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let mut byte = first;
        if let (b'%', Some((&[high, low], after))) = (first, tail.split_first_chunk::<2>())
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            byte = high << 4 | low;
            rest = after;
        }
        match byte {
            b'[' => break,
            b' ' | b'+' => continue,
            b'-' | b'.' => byte = b'_',
            _ => byte = byte.to_ascii_lowercase(),
        }
        *buffer.get_mut(length)? = byte;
        length += 1;
    }
    buffer.get(..length)
}

/// True for a query key whose value is a secret.
pub fn is_secret_key(key: &[u8]) -> bool {
    let mut buffer = [0; LONGEST_KEY];
    folded_key(key, &mut buffer)
        .is_some_and(|folded| SECRET_KEYS.iter().any(|known| known.as_bytes() == folded))
}

/// True if `key`, as it stands in a query, is `known` after decoding its escapes; the case does not matter.
pub(super) fn is_key(key: &[u8], known: &[u8]) -> bool {
    let mut rest = key;
    for known in known {
        let Some((&first, tail)) = rest.split_first() else {
            return false;
        };
        rest = tail;
        let mut byte = first;
        if let (b'%', Some((&[high, low], after))) = (first, tail.split_first_chunk::<2>())
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            byte = high << 4 | low;
            rest = after;
        }
        if !byte.eq_ignore_ascii_case(known) {
            return false;
        }
    }
    rest.is_empty()
}

/// Replaces the values of secret keys, and of `more`, in everything after the first `?` (and `#`) of a target or URL.
/// Pairs are parted by `&` or `;`. Without a `?` nothing is looked at. Bytes of any value pass.
pub fn redact_query<'a>(target: &'a [u8], more: &Credentials) -> Cow<'a, [u8]> {
    let Some(start) = memchr::memchr2(b'?', b'#', target) else {
        return Cow::Borrowed(target);
    };
    let (path, query) = target.split_at(start);
    let parts = |byte: &u8| matches!(byte, b'?' | b'#' | b'&' | b';');
    if !query
        .split(parts)
        .any(|pair| secret_value(pair, more).is_some())
    {
        return Cow::Borrowed(target);
    }
    let mut out = Vec::with_capacity(target.len() + REDACTED.len());
    out.extend_from_slice(path);
    for piece in query.split_inclusive(parts) {
        let pair = match piece.split_last() {
            Some((last, pair)) if parts(last) => pair,
            _ => piece,
        };
        match secret_value(pair, more) {
            Some(at) => {
                out.extend_from_slice(pair.get(..at).unwrap_or_default());
                out.extend_from_slice(REDACTED.as_bytes());
                out.extend_from_slice(piece.get(pair.len()..).unwrap_or_default());
            }
            None => out.extend_from_slice(piece),
        }
    }
    Cow::Owned(out)
}

/// Where the value of a pair begins, if it is a secret and not empty.
fn secret_value(pair: &[u8], more: &Credentials) -> Option<usize> {
    let equals = memchr::memchr(b'=', pair)?;
    let key = pair.get(..equals)?;
    let secret = || is_secret_key(key) || more.is_query_key(key);
    (equals + 1 < pair.len() && secret()).then_some(equals + 1)
}

/// Replaces secrets in free text: `password=...`, `authorization: ...`, `Bearer ...`, `user:password@host`.
/// A net under the rule that nobody formats a secret into an event, not a licence to do it.
pub fn scrub(text: &str) -> Cow<'_, str> {
    if !text.contains(['=', ':']) && !text.contains("earer ") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    // The next word goes: after `authorization:` the scheme stays and the credentials go, after `Bearer` too.
    let mut swallow = false;
    for piece in text.split_inclusive([' ', '\t', '\n', ',', '&', ';', '?']) {
        let word = piece.trim_end_matches([' ', '\t', '\n', ',', '&', ';', '?']);
        let tail = piece.get(word.len()..).unwrap_or_default();
        if word.is_empty() {
            out.push_str(piece);
            continue;
        }
        if swallow {
            changed = true;
            let scheme = is_scheme(word);
            out.push_str(if scheme { word } else { REDACTED });
            swallow = scheme;
            out.push_str(tail);
            continue;
        }
        let bare = |key: &str| key.trim_matches(['"', '\'', '{', '(', '[']).to_owned();
        let sign = if word.contains('=') { '=' } else { ':' };
        let pair = word
            .split_once(sign)
            .map(|(key, value)| (key, value, bare(key)));
        match pair {
            Some((key, value, name)) if secret_word(&name) || is_in_force(&name, sign) => {
                changed = true;
                out.push_str(key);
                out.push_str(word.get(key.len()..key.len() + 1).unwrap_or_default());
                if is_scheme(value) || value.trim_matches(['"', '\'']).is_empty() {
                    out.push_str(value);
                    swallow = true;
                } else {
                    out.push_str(REDACTED);
                }
            }
            _ if word.eq_ignore_ascii_case("bearer") => {
                out.push_str(word);
                swallow = true;
            }
            _ => match without_userinfo(word) {
                Some(clean) => {
                    changed = true;
                    out.push_str(&clean);
                }
                None => out.push_str(word),
            },
        }
        out.push_str(tail);
    }
    match changed {
        true => Cow::Owned(out),
        false => Cow::Borrowed(text),
    }
}

/// The scheme before the credentials, RFC 9110 section 11.4.
fn is_scheme(word: &str) -> bool {
    ["bearer", "basic", "digest", "negotiate", "apikey"]
        .iter()
        .any(|scheme| scheme.eq_ignore_ascii_case(word))
}

fn secret_word(name: &str) -> bool {
    is_credential_header(name)
        || (is_secret_key(name.as_bytes())
            && !QUERY_ONLY.iter().any(|w| w.eq_ignore_ascii_case(name)))
}

/// `scheme://user:password@host` without the password.
fn without_userinfo(word: &str) -> Option<String> {
    let (scheme, rest) = word.split_once("://")?;
    let authority = rest.split('/').next()?;
    let (userinfo, _) = authority.rsplit_once('@')?;
    let (user, _) = userinfo.split_once(':')?;
    let after = rest.get(userinfo.len()..)?;
    Some(format!("{scheme}://{user}:{REDACTED}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_of_secret_keys_vanish() {
        for (given, expected) in [
            ("/a", "/a"),
            ("/token=x", "/token=x"),
            ("/a?b=1&c=2", "/a?b=1&c=2"),
            ("/a?token=x", "/a?token=REDACTED"),
            ("/a?b=1&TOKEN=x&c=2", "/a?b=1&TOKEN=REDACTED&c=2"),
            ("/a?%74oken=x", "/a?%74oken=REDACTED"),
            ("/a?token%5B%5D=x", "/a?token%5B%5D=REDACTED"),
            ("/a?api-key=x;sig=y", "/a?api-key=REDACTED;sig=REDACTED"),
            ("/a?token=&token", "/a?token=&token"),
            ("/a?password=a=b", "/a?password=REDACTED"),
            ("/cb#access_token=x&y=1", "/cb#access_token=REDACTED&y=1"),
            ("/a?u=/b?code=x", "/a?u=/b?code=REDACTED"),
            ("/a?X-Amz-Signature=x", "/a?X-Amz-Signature=REDACTED"),
            ("/a?monkey=x&tokens=y", "/a?monkey=x&tokens=y"),
            ("/ä?session=ö&ü=1", "/ä?session=REDACTED&ü=1"),
            ("/a?pass%=x&%zz=1", "/a?pass%=x&%zz=1"),
        ] {
            let hidden = redact_query(given.as_bytes(), &crate::telemetry::credentials::NONE);
            assert_eq!(String::from_utf8_lossy(&hidden), expected, "{given}");
        }
    }

    #[test]
    fn every_key_of_the_list_is_found() {
        for key in SECRET_KEYS {
            assert!(is_secret_key(key.as_bytes()), "{key}");
            assert!(is_secret_key(key.to_uppercase().as_bytes()), "{key}");
        }
        assert!(!is_secret_key(b""));
        assert!(!is_secret_key(&[b'a'; 200]));
    }

    #[test]
    fn credential_headers_are_known_in_any_case() {
        for name in ["Authorization", "COOKIE", "set-cookie", "X-Api-Key"] {
            assert!(is_credential_header(name));
        }
        assert!(!is_credential_header("x-request-id"));
    }

    #[test]
    fn events_are_scrubbed() {
        for (given, hidden) in [
            ("login with password=hunter2 failed", "hunter2"),
            ("header authorization: Bearer abc.def", "abc.def"),
            ("Authorization:Basic dXNlcg==", "dXNlcg=="),
            ("sent Bearer abc.def to it", "abc.def"),
            ("GET /x?token=abc&b=1", "abc"),
            ("cannot reach redis://me:geheim@host:1/0", "geheim"),
            ("{\"client_secret\":\"abc\"}", "abc"),
        ] {
            let text = scrub(given);
            assert!(!text.contains(hidden), "{given} -> {text}");
            assert!(text.contains(REDACTED), "{given} -> {text}");
        }
        for plain in [
            "listening on 127.0.0.1:80",
            "exit code: 7",
            "state=open",
            "http://host:80/a",
        ] {
            assert_eq!(scrub(plain), plain);
        }
    }
}
