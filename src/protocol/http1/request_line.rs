//! The first line of a request: `method SP target SP version` (RFC 9112 section 3).

use memchr::memchr;

use super::authority::Authority;
use super::classes::{blame, is_token};
use super::error::Reason;
use super::head::{Head, HeadLimits, Span, TargetForm, Version};

/// Refuses a line, complete or not yet, whose target is over the limit. What stands before the first space
/// is measured with the same limit, so that a line without any space ends as well.
pub(super) fn check_size(line: &[u8], limits: &HeadLimits) -> Result<(), Reason> {
    let limit = limits.uri_bytes;
    if line.len() <= limit {
        return Ok(());
    }
    let Some(method) = memchr(b' ', line).filter(|&len| len <= limit) else {
        return Err(Reason::UriTooLong);
    };
    let rest = line.get(method + 1..).unwrap_or_default();
    match memchr(b' ', rest).unwrap_or(rest.len()) {
        target if target > limit => Err(Reason::UriTooLong),
        _ => Ok(()),
    }
}

/// Reads a complete line, without its CRLF, that begins at offset `base` of the buffer.
pub(super) fn read(
    line: &[u8],
    base: usize,
    limits: &HeadLimits,
    head: &mut Head,
) -> Result<(), Reason> {
    check_size(line, limits)?;
    let (method, rest) = split_at_space(line).ok_or(Reason::BadRequestLine)?;
    if !is_token(method) {
        return Err(blame(line, Reason::BadMethod));
    }
    let (target, version) = split_at_space(rest).ok_or(Reason::BadRequestLine)?;
    head.version = read_version(version).map_err(|reason| blame(line, reason))?;
    if method.eq_ignore_ascii_case(b"CONNECT") {
        return Err(Reason::ConnectNotAllowed);
    }
    let legal = |byte: u8| byte > 0x20 && byte != 0x7f && byte != b'#';
    if !target.iter().fold(true, |good, &byte| good & legal(byte)) {
        return Err(blame(line, Reason::BadTarget));
    }
    let start = base + method.len() + 1;
    head.method = Span {
        start: base,
        end: base + method.len(),
    };
    head.target = Span {
        start,
        end: start + target.len(),
    };
    read_form(method, target, start, head)
}

fn split_at_space(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr(b' ', bytes)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

fn read_version(version: &[u8]) -> Result<Version, Reason> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Reason::UnsupportedVersion)
        }
        _ => Err(Reason::BadVersion),
    }
}

fn read_form(method: &[u8], target: &[u8], start: usize, head: &mut Head) -> Result<(), Reason> {
    match target {
        [b'/', ..] => head.form = TargetForm::Origin,
        b"*" if method == b"OPTIONS" => head.form = TargetForm::Asterisk,
        _ => {
            let (form, authority) = split_absolute(target).ok_or(Reason::BadTarget)?;
            Authority::parse(authority.of(target)).ok_or(Reason::BadHost)?;
            head.form = form;
            head.authority = Some(Span {
                start: start + authority.start,
                end: start + authority.end,
            });
        }
    }
    Ok(())
}

/// Finds the authority of an absolute target with the scheme http or https, as a range of `target`.
/// The authority itself is not checked.
pub(crate) fn split_absolute(target: &[u8]) -> Option<(TargetForm, Span)> {
    let has = |scheme: &[u8]| {
        target
            .get(..scheme.len())
            .is_some_and(|front| front.eq_ignore_ascii_case(scheme))
    };
    let (form, start) = if has(b"http://") {
        (TargetForm::AbsoluteHttp, 7)
    } else if has(b"https://") {
        (TargetForm::AbsoluteHttps, 8)
    } else {
        return None;
    };
    let rest = target.get(start..)?;
    let len = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    Some((
        form,
        Span {
            start,
            end: start + len,
        },
    ))
}
