//! Version 1: one line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::{FromStr, Split};

use memchr::memchr;

use super::{Header, Parsed, ProxyError, starts_with};

/// Longest line, with its CRLF.
pub const MAX_V1_BYTES: usize = 107;

pub(super) fn read(buf: &[u8]) -> Result<Parsed, ProxyError> {
    match starts_with(buf, b"PROXY ") {
        None => return Ok(Parsed::Partial),
        Some(false) => return Ok(Parsed::NotProxy),
        Some(true) => {}
    }
    let window = buf.get(..MAX_V1_BYTES).unwrap_or(buf);
    let Some(line_feed) = memchr(b'\n', window) else {
        return if window.len() < MAX_V1_BYTES {
            Ok(Parsed::Partial)
        } else {
            Err(ProxyError::BadLine)
        };
    };
    let line = window
        .get(b"PROXY ".len()..line_feed)
        .and_then(|line| line.strip_suffix(b"\r"))
        .filter(|line| memchr(b'\r', line).is_none())
        .ok_or(ProxyError::BadLine)?;
    Ok(Parsed::Complete {
        len: line_feed + 1,
        header: read_line(line)?,
    })
}

fn read_line(line: &[u8]) -> Result<Header, ProxyError> {
    // What follows UNKNOWN is to be ignored, whatever it is.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(Header::default());
    }
    let text = std::str::from_utf8(line).map_err(|_| ProxyError::BadProtocol)?;
    let mut words = text.split(' ');
    let (source, destination) = match words.next() {
        Some("TCP4") => read_pair::<Ipv4Addr>(&mut words)?,
        Some("TCP6") => read_pair::<Ipv6Addr>(&mut words)?,
        _ => return Err(ProxyError::BadProtocol),
    };
    let source_port = read_port(words.next())?;
    let destination_port = read_port(words.next())?;
    if words.next().is_some() {
        return Err(ProxyError::BadProtocol);
    }
    Ok(Header {
        source: Some(SocketAddr::new(source, source_port)),
        destination: Some(SocketAddr::new(destination, destination_port)),
        ..Header::default()
    })
}

fn read_pair<A: FromStr + Into<IpAddr>>(
    words: &mut Split<'_, char>,
) -> Result<(IpAddr, IpAddr), ProxyError> {
    let mut next = || {
        let word = words.next().ok_or(ProxyError::BadProtocol)?;
        word.parse::<A>()
            .map(Into::into)
            .map_err(|_| ProxyError::BadAddress)
    };
    Ok((next()?, next()?))
}

fn read_port(word: Option<&str>) -> Result<u16, ProxyError> {
    let digits = word.ok_or(ProxyError::BadProtocol)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    if plain {
        digits.parse().map_err(|_| ProxyError::BadPort)
    } else {
        Err(ProxyError::BadPort)
    }
}
