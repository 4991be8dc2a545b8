//! Host patterns: how they are written and what they match.

mod table;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

pub(super) use table::HostTable;

/// The longest name the DNS knows (RFC 1035 section 2.3.4), in text form.
const MAX_NAME_BYTES: usize = 253;

/// A host as a route names it: a name, an address, or `*.` and a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern(Form);

/// The three forms. Names are in lower case and without a closing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    /// This name or IPv4 address.
    Exact(Box<str>),
    /// This IPv6 address, however the client spells it.
    V6(Ipv6Addr),
    /// One or more labels before this name.
    Wildcard(Box<str>),
}

/// Why a text is not a host pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Nothing is written, or only `*`: a route without `hosts` takes every host.
    Empty,
    /// A `*` that is not the first label, or without a name after it.
    Star,
    /// A port: routes do not look at it.
    Port,
    /// Letters beyond ASCII. Browsers send such names in their `xn--` form.
    NotAscii,
    /// This label is empty, longer than 63 bytes or has a character that no name has.
    Label(String),
    /// Longer than 253 bytes.
    TooLong,
    /// A name that ends in a number and is not an IPv4 address, or a broken IPv6 address.
    Address,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "leave `hosts` out to take every host"),
            Self::Star => {
                write!(
                    f,
                    "`*` stands for the first labels of a name, as in `*.example.test`"
                )
            }
            Self::Port => write!(
                f,
                "a host has no port here; use `listeners` to tell addresses apart"
            ),
            Self::NotAscii => {
                write!(f, "write the name as clients send it, in ASCII (`xn--...`)")
            }
            Self::Label(label) => write!(f, "`{label}` is not a label of a host name"),
            Self::TooLong => write!(f, "a host name has at most {MAX_NAME_BYTES} bytes"),
            Self::Address => write!(f, "this is neither a name nor an IP address"),
        }
    }
}

impl std::error::Error for HostError {}

impl HostPattern {
    /// Reads `a.example.test`, `*.example.test`, `192.0.2.1` or `[2001:db8::1]` (brackets may be
    /// left out). Upper case and one closing dot are taken away.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() || text == "*" {
            return Err(HostError::Empty);
        }
        if !text.is_ascii() {
            return Err(HostError::NotAscii);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let (inner, after) = inner.split_once(']').ok_or(HostError::Address)?;
            let address = inner.parse().map_err(|_| HostError::Address)?;
            return match after {
                "" => Ok(Self(Form::V6(address))),
                port if port.starts_with(':') => Err(HostError::Port),
                _ => Err(HostError::Address),
            };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self(Form::V6(address)));
        }
        if text.contains(':') {
            return Err(HostError::Port);
        }
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        let (star, name) = match name.strip_prefix('*') {
            Some(name) => (true, name.strip_prefix('.').ok_or(HostError::Star)?),
            None => (false, name),
        };
        check_name(name)?;
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|b| b.is_ascii_digit()) && (star || name.parse::<Ipv4Addr>().is_err()) {
            return Err(HostError::Address);
        }
        Ok(Self(if star {
            Form::Wildcard(name.into())
        } else {
            Form::Exact(name.into())
        }))
    }

    /// Whether the pattern matches a host as `Facts::host` gives it.
    pub fn matches(&self, host: &str) -> bool {
        match &self.0 {
            Form::Exact(name) => **name == *host,
            Form::V6(address) => v6(host) == Some(*address),
            Form::Wildcard(_) if host.len() > MAX_NAME_BYTES => false,
            Form::Wildcard(name) => host
                .strip_suffix(&**name)
                .and_then(|labels| labels.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
        }
    }

    /// Of two patterns that match one host the one with the greater rank wins.
    pub(super) fn rank(&self) -> usize {
        match &self.0 {
            Form::Wildcard(name) => name.len(),
            Form::Exact(_) | Form::V6(_) => usize::MAX,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Exact(name) => f.write_str(name),
            Form::V6(address) => write!(f, "[{address}]"),
            Form::Wildcard(name) => write!(f, "*.{name}"),
        }
    }
}

fn check_name(name: &str) -> Result<(), HostError> {
    if name.len() > MAX_NAME_BYTES {
        return Err(HostError::TooLong);
    }
    for label in name.split('.') {
        let letters = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if label.contains('*') {
            return Err(HostError::Star);
        }
        if label.is_empty() || label.len() > 63 || !letters {
            return Err(HostError::Label(label.to_owned()));
        }
    }
    Ok(())
}

/// The IPv6 address that a requested host spells, with or without brackets.
fn v6(host: &str) -> Option<Ipv6Addr> {
    if !host.contains(':') {
        return None;
    }
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}
