//! `Content-Disposition` of a part.

use super::super::url_decode;

/// What a field says, as far as it was read.
#[derive(Default)]
pub(super) struct Disposition {
    pub(super) name: Vec<u8>,
    pub(super) filename: Vec<u8>,
    /// `filename*` stands there.
    pub(super) has_extended: bool,
    pub(super) invalid_quoting: bool,
}

/// The parameters that count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    Name,
    Filename,
}

const ENDS_BADLY: &str = "the Content-Disposition of a part ends too early";
const UNREADABLE: &str = "the Content-Disposition of a part cannot be read";
const UNKNOWN: &str = "a parameter of a part's Content-Disposition is repeated or not known";
const EXTENDED: &str = "the filename* of a part cannot be read";

/// Reads a field's value. `found` is told every `name` and `filename`, repeated ones too.
///
/// Of `filename*` v3 only checks the form. Here its value, decoded, is told as a file name as well,
/// because servers may take it instead of the other one.
pub(super) fn parse(
    value: &[u8],
    found: &mut dyn FnMut(Parameter, &[u8]),
) -> (Disposition, Result<(), &'static str>) {
    let mut disposition = Disposition::default();
    let result = parameters(value, &mut disposition, found);
    (disposition, result)
}

fn parameters(
    value: &[u8],
    disposition: &mut Disposition,
    found: &mut dyn FnMut(Parameter, &[u8]),
) -> Result<(), &'static str> {
    let mut rest = value
        .strip_prefix(b"form-data")
        .ok_or("a part is not form-data")?;
    rest = skip_blanks(rest);
    if rest.is_empty() {
        return Ok(());
    }
    rest = rest.strip_prefix(b";").ok_or(UNREADABLE)?;
    while !rest.is_empty() {
        rest = skip_blanks(rest);
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b'=' | b'\t' | b' '));
        let (word, behind) = rest
            .split_at_checked(end.ok_or(ENDS_BADLY)?)
            .ok_or(ENDS_BADLY)?;
        let start = skip_blanks(skip_blanks(behind).strip_prefix(b"=").ok_or(UNREADABLE)?);
        let mut value = Vec::new();
        let behind = match (word, start.split_first()) {
            (_, None) => return Err(ENDS_BADLY),
            (b"filename*", _) => extended(start, &mut value)?,
            (_, Some((quote @ (b'"' | b'\''), behind))) => {
                disposition.invalid_quoting |= *quote == b'\'';
                let end = quoted(behind, *quote, &mut value);
                if end.is_err() && word == b"name" && !behind.is_empty() {
                    found(Parameter::Name, &value);
                }
                end?
            }
            _ => {
                let count = start.iter().take_while(|byte| is_token(**byte)).count();
                let (token, behind) = start.split_at_checked(count).ok_or(UNREADABLE)?;
                disposition.invalid_quoting |= token.contains(&b'\'');
                value.extend_from_slice(token);
                behind
            }
        };
        match word {
            b"name" => {
                found(Parameter::Name, &value);
                set_once(&mut disposition.name, value)?;
            }
            b"filename" => {
                found(Parameter::Filename, &value);
                set_once(&mut disposition.filename, value)?;
            }
            b"filename*" if !disposition.has_extended => {
                disposition.has_extended = true;
                let mut decoded = Vec::new();
                url_decode(&value, &mut decoded);
                found(Parameter::Filename, &decoded);
            }
            _ => return Err(UNKNOWN),
        }
        rest = skip_blanks(behind);
        if rest.is_empty() {
            break;
        }
        let Some(next) = rest.strip_prefix(b";") else {
            // Something stands right behind a quote: another parser may see another end.
            let last = start
                .len()
                .checked_sub(rest.len() + 1)
                .and_then(|at| start.get(at));
            disposition.invalid_quoting |= matches!(last, Some(b'"' | b'\''));
            return Err(UNREADABLE);
        };
        rest = next;
    }
    Ok(())
}

fn set_once(slot: &mut Vec<u8>, value: Vec<u8>) -> Result<(), &'static str> {
    if !slot.is_empty() {
        return Err(UNKNOWN);
    }
    *slot = value;
    Ok(())
}

/// Behind an opening quote. Only the quote and the backslash can be escaped; other backslashes stay, as
/// some browsers send paths.
fn quoted<'a>(value: &'a [u8], quote: u8, out: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    let mut rest = value;
    loop {
        rest = match rest {
            [] | [b'\\'] => return Err(ENDS_BADLY),
            [b'\\', escaped, behind @ ..] if *escaped == quote || *escaped == b'\\' => {
                out.push(*escaped);
                behind
            }
            [end, behind @ ..] if *end == quote => return Ok(behind),
            [byte, behind @ ..] => {
                out.push(*byte);
                behind
            }
        };
    }
}

/// `charset'language'value` (RFC 8187); the value goes to `out` as it stands.
fn extended<'a>(value: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    let charset = value.iter().take_while(|byte| is_charset(**byte)).count();
    let language = value
        .get(charset..)
        .and_then(|rest| rest.strip_prefix(b"'"));
    let language = language.filter(|_| charset > 0).ok_or(EXTENDED)?;
    let end = memchr::memchr(b'\'', language).ok_or(EXTENDED)?;
    let mut rest = language.get(end + 1..).ok_or(EXTENDED)?;
    loop {
        rest = match rest {
            [] | [b';', ..] => return Ok(rest),
            [b'%', high, low, behind @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                out.extend_from_slice(&[b'%', *high, *low]);
                behind
            }
            [byte, behind @ ..] if is_extended(*byte) => {
                out.push(*byte);
                behind
            }
            _ => return Err(EXTENDED),
        };
    }
}

/// What stands behind spaces and tabs.
pub(super) fn skip_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn is_token(byte: u8) -> bool {
    matches!(byte, 33..=126) && memchr::memchr(byte, b"()<>@,;:\\\"/[]?=").is_none()
}

fn is_charset(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || memchr::memchr(byte, b"!#$%&+-^_`{}~").is_some()
}

fn is_extended(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || memchr::memchr(byte, b"!#$&+-.^_`|~").is_some()
}
