//! Addresses as operators write them: where a listener binds and where an endpoint answers.

use std::fmt;
use std::net::SocketAddr;

use farmgate_plugin_api::decode::{RelPath, current};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// Most bytes of a unix socket's path (`sun_path` of Linux holds 108 with its end).
const MAX_UNIX_PATH: usize = 107;

/// Where a listener binds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `IP:PORT`; an IPv6 address takes IPv6 only.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(RelPath),
}

/// Where an endpoint answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointAddress {
    /// `IP:PORT`.
    Ip(SocketAddr),
    /// `NAME:PORT`, resolved in the background. The name is in lower case, without a closing dot.
    Name {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:PATH`.
    Unix(RelPath),
}

impl ListenAddress {
    /// Reads an address; a relative unix path starts at the folder of the file being decoded.
    ///
    /// # Errors
    /// Says what is wrong and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = unix_path(text) {
            return path.map(Self::Unix);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        Err(match text.strip_prefix("*:").or(text.strip_prefix(':')) {
            Some(port) if port.parse::<u16>().is_ok() => {
                format!(
                    "{text:?} names no address; write \"0.0.0.0:{port}\" (IPv4) or \"[::]:{port}\" (IPv6)"
                )
            }
            _ => format!(
                "{text:?} is no address to listen on; expected \"IP:PORT\", \"[IPv6]:PORT\" or \"unix:PATH\""
            ),
        })
    }
}

impl EndpointAddress {
    /// Reads an address; a relative unix path starts at the folder of the file being decoded.
    ///
    /// # Errors
    /// Says what is wrong and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = unix_path(text) {
            return path.map(Self::Unix);
        }
        let wrong = || {
            format!(
                "{text:?} is no address of an endpoint; expected \"IP:PORT\", \"NAME:PORT\" or \"unix:PATH\""
            )
        };
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err(format!("{text:?}: an endpoint's port cannot be 0")),
                _ => Ok(Self::Ip(address)),
            };
        }
        if text.contains("://") {
            return Err(format!(
                "{text:?} is a URL; an endpoint is \"NAME:PORT\" (the scheme follows from the upstream's tls)"
            ));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|p| *p != 0).ok_or_else(wrong)?;
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        // An IPv4 address with a typo ("10.0.0.256") would otherwise be asked for in DNS.
        let last = host.rsplit('.').next().unwrap_or_default();
        if host.len() > 253
            || !host.split('.').all(is_label)
            || last.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(wrong());
        }
        Ok(Self::Name { host, port })
    }
}

/// A label of a host name (RFC 1123), underscores allowed as service names use them.
fn is_label(label: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !label.is_empty()
        && label.len() <= 63
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn unix_path(text: &str) -> Option<Result<RelPath, String>> {
    let written = text.strip_prefix("unix:")?;
    if written.is_empty() {
        return Some(Err(
            "\"unix:\" names no path; write \"unix:/run/app.sock\"".to_owned()
        ));
    }
    let path = RelPath::at(written, current::folder().as_deref());
    let length = path.path().as_os_str().len();
    if length > MAX_UNIX_PATH {
        return Some(Err(format!(
            "the path of a unix socket has at most {MAX_UNIX_PATH} bytes, this one has {length}"
        )));
    }
    Some(Ok(path))
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.path().display()),
        }
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.path().display()),
        }
    }
}

struct Text<T>(fn(&str) -> Result<T, String>, &'static str);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(Self::parse, "an address (\"127.0.0.1:8080\")"))
    }
}

impl<'de> Deserialize<'de> for EndpointAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(Self::parse, "an address (\"127.0.0.1:8080\")"))
    }
}

#[cfg(test)]
mod tests {
    use super::{EndpointAddress, ListenAddress};

    #[test]
    fn addresses_as_written_and_as_printed() {
        for (text, prints) in [
            ("127.0.0.1:80", Some("127.0.0.1:80")),
            ("[::]:80", Some("[::]:80")),
            ("unix:/run/a.sock", Some("unix:/run/a.sock")),
            ("127.0.0.1", None),
            ("localhost:80", None),
            (":80", None),
            ("unix:", None),
            ("[::1]:65536", None),
        ] {
            let read = ListenAddress::parse(text).ok().map(|a| a.to_string());
            assert_eq!(read.as_deref(), prints, "{text}");
        }
        for (text, prints) in [
            ("10.0.0.1:80", Some("10.0.0.1:80")),
            ("[2001:db8::1]:80", Some("[2001:db8::1]:80")),
            ("App.Example.TEST.:80", Some("app.example.test:80")),
            ("my_service:80", Some("my_service:80")),
            ("unix:/run/a.sock", Some("unix:/run/a.sock")),
            ("10.0.0.1", None),
            ("10.0.0.256:80", None),
            ("app", None),
            ("app:http", None),
            ("app:0", None),
            ("-a:80", None),
            ("a..b:80", None),
            ("2001:db8::1:80", None),
            ("http://app:80", None),
            ("user@app:80", None),
        ] {
            let read = EndpointAddress::parse(text).ok().map(|a| a.to_string());
            assert_eq!(read.as_deref(), prints, "{text}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(ListenAddress::parse(&long).is_err());
    }
}
