//! Header lines: their grammar, and the few fields that decide on framing (RFC 9112 sections 5 and 6).

use memchr::memchr;

use super::authority::Authority;
use super::classes::{blame, is_token, is_token_byte, is_value, trim_ows};
use super::error::Reason;
use super::head::{Framing, Head, Span, TargetForm, Version};

/// What the lines read so far said.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    host: Option<Span>,
    length: Option<u64>,
    chunked: bool,
    expect_continue: bool,
    close: bool,
    keep_alive: bool,
    /// Connection nominates Upgrade.
    upgrade_nominated: bool,
    /// Number of Upgrade lines, up to 2, and whether all of them say `websocket`.
    upgrade_lines: u8,
    upgrade_other: bool,
}

impl Fields {
    /// Reads one line without its CRLF, that begins at offset `base` of the buffer.
    pub(super) fn read(
        &mut self,
        line: &[u8],
        base: usize,
        version: Version,
    ) -> Result<(), Reason> {
        if let [b' ' | b'\t', ..] = line {
            return Err(Reason::ObsFold);
        }
        // Names are short: one walk over them finds their end and their first bad byte alike.
        let colon = match line.iter().position(|&byte| !is_token_byte(byte)) {
            Some(at) if at > 0 && line.get(at) == Some(&b':') => at,
            end => return Err(blame_name(line, end.unwrap_or(line.len()))),
        };
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default();
        if !is_value(value) {
            return Err(blame(value, Reason::BadHeaderValue));
        }
        // Most names leave by their length alone.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.read_host(value, base + colon + 1),
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expect_continue |= trim_ows(value).eq_ignore_ascii_case(b"100-continue");
                Ok(())
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade_lines = self.upgrade_lines.saturating_add(1);
                self.upgrade_other |= !trim_ows(value).eq_ignore_ascii_case(b"websocket");
                Ok(())
            }
            10 if name.eq_ignore_ascii_case(b"connection") => self.read_connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.read_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.read_transfer_encoding(value, version)
            }
            _ => Ok(()),
        }
    }

    fn read_host(&mut self, value: &[u8], value_start: usize) -> Result<(), Reason> {
        if self.host.is_some() {
            return Err(Reason::DuplicateHost);
        }
        let trimmed = trim_ows(value);
        Authority::parse(trimmed).ok_or(Reason::BadHost)?;
        let leading = value
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let start = value_start + leading;
        self.host = Some(Span {
            start,
            end: start + trimmed.len(),
        });
        Ok(())
    }

    /// A nominated field is removed before forwarding (RFC 9110 section 7.6.1), so nominating the framing or
    /// the host would let a client take them away between two readers.
    fn read_connection(&mut self, value: &[u8]) -> Result<(), Reason> {
        for member in value.split(|&byte| byte == b',') {
            let member = trim_ows(member);
            if member.is_empty() {
                continue;
            }
            if !is_token(member) {
                return Err(Reason::BadConnection);
            }
            match member.len() {
                4 if member.eq_ignore_ascii_case(b"host") => return Err(Reason::BadConnection),
                5 if member.eq_ignore_ascii_case(b"close") => self.close = true,
                7 if member.eq_ignore_ascii_case(b"upgrade") => self.upgrade_nominated = true,
                10 if member.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                14 if member.eq_ignore_ascii_case(b"content-length") => {
                    return Err(Reason::BadConnection);
                }
                17 if member.eq_ignore_ascii_case(b"transfer-encoding") => {
                    return Err(Reason::BadConnection);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_length(&mut self, value: &[u8]) -> Result<(), Reason> {
        let digits = trim_ows(value);
        if self.length.is_some() || memchr(b',', digits).is_some() {
            return Err(Reason::DuplicateContentLength);
        }
        if digits.is_empty() {
            return Err(Reason::BadContentLength);
        }
        let length = digits.iter().try_fold(0u64, |sum, &byte| {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            sum.checked_mul(10)?.checked_add(u64::from(digit))
        });
        self.length = Some(length.ok_or(Reason::BadContentLength)?);
        Ok(())
    }

    fn read_transfer_encoding(&mut self, value: &[u8], version: Version) -> Result<(), Reason> {
        if version == Version::Http10 {
            return Err(Reason::TransferEncodingInHttp10);
        }
        if self.chunked || !trim_ows(value).eq_ignore_ascii_case(b"chunked") {
            return Err(Reason::BadTransferEncoding);
        }
        self.chunked = true;
        Ok(())
    }
}

/// The reason for a line whose name ends at `end` with something else than a colon.
fn blame_name(line: &[u8], end: usize) -> Reason {
    let (name, rest) = line.split_at_checked(end).unwrap_or_default();
    let spaces_then_colon = rest.trim_ascii_start().first() == Some(&b':');
    if !name.is_empty() && spaces_then_colon && !rest.starts_with(b":") {
        return blame(rest, Reason::SpaceBeforeColon);
    }
    blame(line, Reason::BadHeaderName)
}

/// Decides what only the whole head tells, and fills in the rest of `head`.
pub(super) fn finish(fields: &Fields, buf: &[u8], head: &mut Head) -> Result<(), Reason> {
    head.framing = match (fields.chunked, fields.length) {
        (true, Some(_)) => return Err(Reason::LengthWithTransferEncoding),
        (true, None) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::None,
    };
    if fields.host.is_none() && head.version == Version::Http11 {
        return Err(Reason::MissingHost);
    }
    if let (Some(authority), Some(host)) = (head.authority, fields.host) {
        let default_port = match head.form {
            TargetForm::AbsoluteHttps => 443,
            TargetForm::AbsoluteHttp | TargetForm::Origin | TargetForm::Asterisk => 80,
        };
        let same = Authority::parse(authority.of(buf))
            .zip(Authority::parse(host.of(buf)))
            .is_some_and(|(authority, host)| authority.is_same(&host, default_port));
        if !same {
            return Err(Reason::HostMismatch);
        }
    }
    let http11 = head.version == Version::Http11;
    head.host = fields.host;
    head.keep_alive = !fields.close && (http11 || fields.keep_alive);
    head.expect_continue = http11 && fields.expect_continue;
    head.upgrade = http11 && fields.upgrade_nominated && fields.upgrade_lines > 0;
    head.websocket = head.upgrade && fields.upgrade_lines == 1 && !fields.upgrade_other;
    Ok(())
}
