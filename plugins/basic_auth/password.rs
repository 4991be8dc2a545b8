//! Hashes of passwords: bcrypt and argon2, no others.

use std::fmt;

use argon2::{Argon2, Params, PasswordHash, PasswordVerifier};
use bcrypt::HashParts;

/// bcrypt's cost, a power of two. 16 takes some four seconds.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=16;
/// Most memory of argon2, in KiB: 256 MiB. Checks run at once, two on each core.
const MAX_ARGON2_KIB: u32 = 256 * 1024;
/// Most work of argon2: memory in KiB, times passes over it. Some two seconds.
const MAX_ARGON2_WORK: u64 = 1024 * 1024;
/// Most lanes of argon2.
const MAX_ARGON2_LANES: u32 = 16;
/// The one version of argon2 that is in use, 1.3.
const ARGON2_VERSION: u32 = 19;

const REWRITE: &str = "write the entry again: `htpasswd -B FILE USER`";

/// The hash of a password, ready to be checked.
pub(super) enum Password {
    /// `$2a$`, `$2b$` or `$2y$`.
    Bcrypt(Box<str>),
    /// `$argon2id$` or `$argon2i$`.
    Argon2(Box<PasswordHash>),
}

/// Why a text is no hash that can be used; without the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PasswordError {
    what: String,
    help: &'static str,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.help)
    }
}

impl Password {
    /// Reads what stands behind the colon of a line.
    ///
    /// # Errors
    /// It is another form, is damaged, or costs more than a request may.
    pub(super) fn parse(text: &str) -> Result<Self, PasswordError> {
        let bcrypt = ["$2a$", "$2b$", "$2y$"];
        if bcrypt.iter().any(|prefix| text.starts_with(prefix)) {
            return parse_bcrypt(text);
        }
        if text.starts_with("$argon2id$") || text.starts_with("$argon2i$") {
            return parse_argon2(text);
        }
        Err(wrong(&format!("{}, not bcrypt or argon2", form(text))))
    }

    /// Whether it is the hash of this password; none if that cannot be told: there is no memory for it.
    /// Takes as long as the hash wants it to.
    pub(super) fn check(&self, password: &[u8]) -> Option<bool> {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).ok(),
            Self::Argon2(hash) => match Argon2::default().verify_password(password, &**hash) {
                Ok(()) => Some(true),
                Err(argon2::password_hash::Error::PasswordInvalid) => Some(false),
                Err(_) => None,
            },
        }
    }
}

fn parse_bcrypt(text: &str) -> Result<Password, PasswordError> {
    let parts: HashParts = text.parse().map_err(|_| wrong("a damaged bcrypt hash"))?;
    if !BCRYPT_COSTS.contains(&parts.get_cost()) {
        let (least, most) = (BCRYPT_COSTS.start(), BCRYPT_COSTS.end());
        return Err(PasswordError {
            what: format!(
                "a bcrypt hash of cost {}; {least} to {most} are possible",
                parts.get_cost()
            ),
            help: "write the entry again: `htpasswd -B -C 10 FILE USER`",
        });
    }
    Ok(Password::Bcrypt(text.into()))
}

fn parse_argon2(text: &str) -> Result<Password, PasswordError> {
    let damaged = || wrong("a damaged argon2 hash");
    let hash = PasswordHash::new(text).map_err(|_| damaged())?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(damaged());
    }
    if hash.version != Some(ARGON2_VERSION) {
        return Err(wrong("an argon2 hash that is not of version 19"));
    }
    let params = Params::try_from(&hash).map_err(|_| damaged())?;
    let (memory, passes) = (params.m_cost(), params.t_cost());
    let is_large = memory > MAX_ARGON2_KIB
        || u64::from(memory) * u64::from(passes) > MAX_ARGON2_WORK
        || params.p_cost() > MAX_ARGON2_LANES;
    if is_large {
        return Err(PasswordError {
            what: format!(
                "an argon2 hash of m={memory},t={passes},p={}",
                params.p_cost()
            ),
            help: "at most m=262144, m*t=1048576 and p=16 are possible; m=65536,t=3,p=4 is usual",
        });
    }
    Ok(Password::Argon2(Box::new(hash)))
}

fn wrong(what: &str) -> PasswordError {
    PasswordError {
        what: what.to_owned(),
        help: REWRITE,
    }
}

/// The name of a form that is not taken.
fn form(text: &str) -> &'static str {
    const FORMS: [(&str, &str); 10] = [
        ("$apr1$", "an MD5 hash (apr1)"),
        ("$1$", "an MD5 hash"),
        ("{SHA}", "a SHA-1 hash"),
        ("{SSHA}", "a SHA-1 hash"),
        ("$2x$", "a hash of a bcrypt with a known mistake (2x)"),
        ("$5$", "a SHA-256 hash (crypt)"),
        ("$6$", "a SHA-512 hash (crypt)"),
        ("$y$", "a yescrypt hash"),
        ("$7$", "a scrypt hash"),
        ("$argon2d$", "an argon2d hash"),
    ];
    let known = FORMS.iter().find(|(prefix, _)| text.starts_with(prefix));
    known.map_or(
        "a plain password, or a hash of a form that is not known",
        |(_, name)| name,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Password::parse(text)
            .err()
            .expect("it is refused")
            .to_string()
    }

    #[test]
    fn hashes_of_other_programs_are_checked() {
        // By htpasswd of Apache 2.4.71, argon2-cffi 25.1.0 and bcrypt 5.0.0 of PyPI; the password is "open sesame".
        for hash in include_str!("tests/hashes.txt").lines() {
            let password = Password::parse(hash).unwrap();
            assert_eq!(password.check(b"open sesame"), Some(true), "{hash}");
            for other in ["", "open sesam", "open sesame\0", "Open sesame"] {
                assert_eq!(
                    password.check(other.as_bytes()),
                    Some(false),
                    "{hash}: {other:?}"
                );
            }
        }
    }

    #[test]
    fn other_forms_are_refused_by_name_and_with_a_remedy() {
        for (text, name) in [
            (
                "$apr1$JmUvqBEr$wNjD1QmXyLhuPS3Y0ZBlG0",
                "an MD5 hash (apr1), not bcrypt",
            ),
            ("$1$abcdefgh$ZJ0fPgjLIDrNGqiUU0TYe0", "an MD5 hash"),
            ("{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", "a SHA-1 hash"),
            ("$5$salt$hash", "a SHA-256 hash"),
            ("$6$salt$hash", "a SHA-512 hash"),
            ("$y$j9T$salt$hash", "a yescrypt hash"),
            (
                "$argon2d$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
                "an argon2d hash",
            ),
            ("rqXexS6ZhobKA", "a plain password"),
            ("", "a plain password"),
            ("$2y$05$tooshort", "a damaged bcrypt hash"),
            (
                "$2y$05$éééééééééééééééééééééééééé5",
                "a damaged bcrypt hash",
            ),
            (
                "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ",
                "a damaged argon2 hash",
            ),
            ("$argon2id$", "a damaged argon2 hash"),
            (
                "$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
                "a damaged argon2 hash",
            ),
            (
                "$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
                "not of version 19",
            ),
            (
                "$argon2id$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
                "not of version 19",
            ),
        ] {
            let error = refused(text);
            assert!(
                error.contains(name) && error.contains("`htpasswd -B FILE USER`"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_costs_too_much_is_refused() {
        let cost = |cost: u32| {
            format!("$2y${cost:02}$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy")
        };
        assert!(Password::parse(&cost(16)).is_ok());
        for bad in [17, 31, 3] {
            assert!(
                refused(&cost(bad))
                    .contains("4 to 16 are possible; write the entry again: `htpasswd -B -C 10")
            );
        }
        let argon = |words: &str| format!("$argon2i$v=19${words}$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo");
        for good in ["m=262144,t=4,p=1", "m=65536,t=16,p=16"] {
            assert!(Password::parse(&argon(good)).is_ok(), "{good}");
        }
        for bad in [
            "m=262145,t=1,p=1",
            "m=65536,t=17,p=1",
            "m=65536,t=1,p=17",
            "m=4294967295,t=4294967295,p=1",
        ] {
            assert!(
                refused(&argon(bad)).contains("m=65536,t=3,p=4 is usual"),
                "{bad}"
            );
        }
    }
}
