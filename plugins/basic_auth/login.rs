//! The login that a request brings along: an Authorization field of scheme Basic (RFC 7617).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, header};
use zeroize::Zeroizing;

/// Longest login in base64, in bytes. It holds the longest name and some 1,200 bytes of password.
const MAX_BASE64_BYTES: usize = 2048;
/// What that decodes to.
const MAX_BYTES: usize = MAX_BASE64_BYTES / 4 * 3;

/// Some clients leave the padding out; it says nothing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Name and password. Wiped when it is dropped.
pub(super) struct Login {
    bytes: Zeroizing<[u8; MAX_BYTES]>,
    /// Where the colon stands.
    colon: usize,
    len: usize,
}

/// Why a request has no login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoLogin {
    /// There is no Authorization field, or it has another scheme.
    Missing,
    /// It is no login: several fields, no base64, no colon, no UTF-8, control characters, or too long.
    Malformed,
}

impl Login {
    /// Reads the field. Allocates nothing.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, NoLogin> {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let first = fields.next().ok_or(NoLogin::Missing)?;
        if fields.next().is_some() {
            return Err(NoLogin::Malformed);
        }
        let (scheme, token) = first
            .as_bytes()
            .split_at_checked(6)
            .ok_or(NoLogin::Missing)?;
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return Err(NoLogin::Missing);
        }
        Self::decode(token.trim_ascii()).ok_or(NoLogin::Malformed)
    }

    fn decode(token: &[u8]) -> Option<Self> {
        if token.len() > MAX_BASE64_BYTES {
            return None;
        }
        let mut bytes = Zeroizing::new([0; MAX_BYTES]);
        let len = BASE64.decode_slice(token, &mut *bytes).ok()?;
        let text = std::str::from_utf8(bytes.get(..len)?).ok()?;
        // RFC 7617, section 2: neither part holds control characters. bcrypt would end at a zero byte.
        let colon = text
            .find(':')
            .filter(|_| !text.chars().any(char::is_control))?;
        Some(Self { bytes, colon, len })
    }

    /// The name of the user.
    pub(super) fn user(&self) -> &str {
        let bytes = self.bytes.get(..self.colon).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The password. Keep it out of messages and logs.
    pub(super) fn password(&self) -> &[u8] {
        self.bytes.get(self.colon + 1..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn read(field: impl AsRef<[u8]>) -> Result<(String, Vec<u8>), NoLogin> {
        let mut headers = HeaderMap::new();
        headers.append(
            "authorization",
            HeaderValue::from_bytes(field.as_ref()).unwrap(),
        );
        let login = Login::read(&headers)?;
        Ok((login.user().to_owned(), login.password().to_vec()))
    }

    fn basic(login: impl AsRef<[u8]>) -> String {
        format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(login)
        )
    }

    #[test]
    fn the_examples_of_the_standard() {
        let login =
            |user: &str, password: &str| Ok((user.to_owned(), password.as_bytes().to_vec()));
        assert_eq!(
            read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            login("Aladdin", "open sesame")
        );
        assert_eq!(read("Basic dGVzdDoxMjPCow=="), login("test", "123£"));
        assert_eq!(read("basic dGVzdDoxMjPCow"), login("test", "123£"));
        assert_eq!(read("BASIC   dGVzdDoxMjPCow== "), login("test", "123£"));
        assert_eq!(read(basic("a:b:c")), login("a", "b:c"));
        assert_eq!(read(basic(":")), login("", ""));
    }

    #[test]
    fn anything_else_is_no_login() {
        for field in [
            "",
            "Basic",
            "Bearer abc",
            "Digest username=\"a\"",
            "Basicabc",
        ] {
            assert_eq!(read(field), Err(NoLogin::Missing), "{field}");
        }
        for field in [
            "Basic ",
            "Basic !",
            "Basic YQ==",
            "Basic Zm9v YmFy",
            "Basic YTpi YTpi",
            "Basic YTpi\u{80}",
        ] {
            assert_eq!(read(field), Err(NoLogin::Malformed), "{field}");
        }
        assert_eq!(read(basic(b"a:\xff")), Err(NoLogin::Malformed));
        assert_eq!(read(basic("a:b\0")), Err(NoLogin::Malformed));
        assert_eq!(read(basic("a\n:b")), Err(NoLogin::Malformed));
        assert_eq!(
            read(basic("x".repeat(1535) + ":")),
            Ok(("x".repeat(1535), Vec::new()))
        );
        assert_eq!(read(basic("x".repeat(1536) + ":")), Err(NoLogin::Malformed));
        let mut two = HeaderMap::new();
        two.append("authorization", HeaderValue::from_static("Basic YTpi"));
        two.append("authorization", HeaderValue::from_static("Basic YTpi"));
        assert_eq!(Login::read(&two).err(), Some(NoLogin::Malformed));
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read(user in "[^:\\pC]{0,40}", password in "[^\\pC]{0,80}") {
            let expected = (user.clone(), password.clone().into_bytes());
            prop_assert_eq!(read(basic(format!("{user}:{password}"))), Ok(expected));
        }

        #[test]
        fn no_field_is_too_strange(token in prop::collection::vec(0x20_u8..0x7f, 0..200)) {
            let _ = read([b"Basic ".as_slice(), &token].concat());
        }
    }
}
