//! The one form of a host name.

use std::borrow::Cow;

/// The host in lower case, without port and without one trailing dot; brackets of IPv6 literals stay.
///
/// Give it a value that was checked as `host[:port]`. It copies only when there are capitals.
pub fn normalise_host(authority: &str) -> Cow<'_, str> {
    let host = if authority.starts_with('[') {
        match authority.split_once(']') {
            Some((inner, _)) => authority.get(..=inner.len()).unwrap_or(authority),
            None => authority,
        }
    } else {
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        }
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// The port behind a host.
pub fn port_of(authority: &str) -> Option<u16> {
    let (before, port) = authority.rsplit_once(':')?;
    let inside_brackets = before.starts_with('[') && !before.ends_with(']');
    (!inside_brackets).then(|| port.parse().ok())?
}
