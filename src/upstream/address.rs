//! The address of an endpoint as an operator writes it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Where an endpoint listens. `Display` gives the canonical text, which is its identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointAddress {
    /// A literal IP address and port; it never goes to DNS.
    Socket(SocketAddr),
    /// A unix stream socket, written `unix:/path`.
    Unix(PathBuf),
    /// A name that is resolved in the background, written `name:port`. Lower case.
    Name {
        /// The host name without a trailing dot.
        host: Arc<str>,
        /// The port, 1..=65535.
        port: u16,
    },
}

/// Why a text is not an endpoint address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// There is no `:port`, or it is not a number in 1..=65535.
    Port,
    /// The host part is empty, longer than 253 bytes, or holds a byte no host name has.
    Host,
    /// A unix path is empty, relative, or longer than the 107 bytes Linux allows.
    Path,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Port => "an endpoint needs a port from 1 to 65535, as in \"10.0.0.1:8080\"",
            Self::Host => "this is neither an IP address nor a host name",
            Self::Path => "a unix socket needs an absolute path of at most 107 bytes",
        })
    }
}

impl std::error::Error for AddressError {}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// `sun_path` of Linux holds 108 bytes with its closing zero (unix(7)).
const UNIX_PATH_BYTES: usize = 107;

impl FromStr for EndpointAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = path.starts_with('/') && path.len() <= UNIX_PATH_BYTES;
            return if fits && !path.contains('\0') {
                Ok(Self::Unix(PathBuf::from(path)))
            } else {
                Err(AddressError::Path)
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 {
                Err(AddressError::Port)
            } else {
                Ok(Self::Socket(address))
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Port)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port.parse::<u16>() {
            Ok(port) if digits && port > 0 => port,
            _ => return Err(AddressError::Port),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        if !is_host_name(host) {
            return Err(AddressError::Host);
        }
        Ok(Self::Name {
            host: host.to_ascii_lowercase().into(),
            port,
        })
    }
}

/// Host names of RFC 1123, plus `_` because internal zones use it. A last label of digits only
/// is refused: `10.0.0` or `300.1.1.1` is a mistyped IP address, not a name (WHATWG URL 3.5).
fn is_host_name(host: &str) -> bool {
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let numeric_end = host
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    host.len() <= 253 && !numeric_end && host.split('.').all(label_ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_every_form_and_prints_it_canonically() {
        for (text, canonical) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("[0:0::1]:8080", "[::1]:8080"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("App.Internal.:9000", "app.internal:9000"),
            ("localhost:80", "localhost:80"),
            ("my_db-1:5", "my_db-1:5"),
        ] {
            let parsed: EndpointAddress = text.parse().unwrap();
            assert_eq!(parsed.to_string(), canonical);
            assert_eq!(canonical.parse::<EndpointAddress>().unwrap(), parsed);
        }
    }

    #[test]
    fn a_literal_ip_is_never_a_name() {
        let parsed: EndpointAddress = "10.1.2.3:80".parse().unwrap();
        assert!(matches!(parsed, EndpointAddress::Socket(_)));
    }

    #[test]
    fn refuses_what_is_not_an_address() {
        let long = format!("unix:/{}", "a".repeat(UNIX_PATH_BYTES));
        for (text, error) in [
            ("app", AddressError::Port),
            ("app:", AddressError::Port),
            ("app:0", AddressError::Port),
            ("app:+80", AddressError::Port),
            ("app:65536", AddressError::Port),
            ("127.0.0.1:0", AddressError::Port),
            (":80", AddressError::Host),
            ("a..b:80", AddressError::Host),
            ("-a:80", AddressError::Host),
            ("a b:80", AddressError::Host),
            ("300.1.1.1:80", AddressError::Host),
            ("::1:80", AddressError::Host),
            ("unix:", AddressError::Path),
            ("unix:run/app.sock", AddressError::Path),
            (long.as_str(), AddressError::Path),
        ] {
            assert_eq!(text.parse::<EndpointAddress>(), Err(error), "{text}");
        }
    }
}
