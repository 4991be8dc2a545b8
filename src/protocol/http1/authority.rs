//! `host[:port]` as it stands in Host and in absolute targets (RFC 3986 section 3.2, RFC 9110 section 7.2).

use std::net::Ipv6Addr;

/// A checked authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host as written; an IPv6 literal with its brackets.
    pub host: &'a str,
    /// The port, if one is written.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads `host[:port]`; none when it is anything else.
    ///
    /// Stricter than the grammar of RFC 3986 where readers differ: no userinfo, no empty host, no empty
    /// port, no percent-escapes, no comma (which reads as a list), no IPvFuture and no zone.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if let Some(rest) = text.strip_prefix('[') {
            let (inner, after) = rest.split_once(']')?;
            inner.parse::<Ipv6Addr>().ok()?;
            let host = text.get(..inner.len() + 2)?;
            let port = match after.strip_prefix(':') {
                Some(digits) => Some(parse_port(digits)?),
                None if after.is_empty() => None,
                None => return None,
            };
            return Some(Self { host, port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, digits)) => (host, Some(parse_port(digits)?)),
            None => (text, None),
        };
        let known = !host.is_empty() && host.bytes().all(is_host_byte);
        known.then_some(Self { host, port })
    }

    /// True when both mean the same place. `default_port` is that of the scheme.
    pub fn is_same(&self, other: &Self, default_port: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// Reads a port of one to five digits, 0 to 65535.
fn parse_port(digits: &str) -> Option<u16> {
    let plain = (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Unreserved characters and sub-delims, without the comma.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b';'
                | b'='
        )
}

#[cfg(test)]
mod tests {
    use super::Authority;

    fn read(text: &str) -> Option<(&str, Option<u16>)> {
        Authority::parse(text.as_bytes()).map(|a| (a.host, a.port))
    }

    #[test]
    fn reads_hosts_and_ports() {
        for (text, host, port) in [
            ("a", "a", None),
            ("Example.test:80", "Example.test", Some(80)),
            ("a_b.test.", "a_b.test.", None),
            ("127.0.0.1:65535", "127.0.0.1", Some(65535)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:8443", "[2001:db8::1]", Some(8443)),
        ] {
            assert_eq!(read(text), Some((host, port)), "{text}");
        }
    }

    #[test]
    fn refuses_what_readers_differ_on() {
        for text in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:000080",
            "a:+80",
            "u@a",
            "u:p@a",
            "a/b",
            "a?b",
            "a#b",
            "a b",
            "a,b",
            "a%2eb",
            "a\\b",
            "[::1",
            "[::1]80",
            "[::1]:",
            "[v1.a]",
            "[fe80::1%25eth0]",
            "[]",
            "::1",
            "b\u{fc}cher.test",
            "a\tb",
            "<a>",
            "\"a\"",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn default_ports_do_not_matter() {
        let same = |a: &str, b: &str, port| {
            let (a, b) = (
                Authority::parse(a.as_bytes()),
                Authority::parse(b.as_bytes()),
            );
            a.unwrap().is_same(&b.unwrap(), port)
        };
        assert!(same("A.test", "a.TEST:80", 80));
        assert!(!same("a.test", "a.test:80", 443));
        assert!(!same("a.test", "a.test.", 80));
        assert!(!same("a.test", "b.test", 80));
    }
}
