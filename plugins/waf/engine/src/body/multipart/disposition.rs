//! `Content-Disposition` of a part.

/// What a field says, as far as it was read.
#[derive(Default)]
pub(super) struct Disposition {
    pub(super) name: Option<Vec<u8>>,
    pub(super) filename: Option<Vec<u8>>,
    pub(super) invalid_quoting: bool,
}

/// Reads a field's value. `found` is told every `name` and `filename`, repeated ones too.
pub(super) fn parse(
    value: &[u8],
    found: &mut dyn FnMut(Parameter, &[u8]),
) -> (Disposition, Result<(), ()>) {
    let mut disposition = Disposition::default();
    let result = parameters(value, &mut disposition, found);
    (disposition, result)
}

/// The parameters that count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    Name,
    Filename,
}

fn parameters(
    value: &[u8],
    disposition: &mut Disposition,
    found: &mut dyn FnMut(Parameter, &[u8]),
) -> Result<(), ()> {
    let mut rest = skip_blanks(value.strip_prefix(b"form-data").ok_or(())?);
    if rest.is_empty() {
        return Ok(());
    }
    rest = rest.strip_prefix(b";").ok_or(())?;
    while !rest.is_empty() {
        rest = skip_blanks(rest);
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b'=' | b'\t' | b' '))
            .ok_or(())?;
        let (word, behind) = rest.split_at_checked(end).ok_or(())?;
        rest = skip_blanks(skip_blanks(behind).strip_prefix(b"=").ok_or(())?);
        let mut value = Vec::new();
        rest = match (word, rest.split_first()) {
            (_, None) => return Err(()),
            (b"filename*", _) => extended(rest, &mut value)?,
            (_, Some((quote @ (b'"' | b'\''), behind))) => {
                disposition.invalid_quoting |= *quote == b'\'';
                quoted(behind, *quote, &mut value)?
            }
            _ => {
                let end = rest
                    .iter()
                    .position(|byte| !is_token(*byte))
                    .unwrap_or(rest.len());
                let (token, behind) = rest.split_at_checked(end).ok_or(())?;
                value.extend_from_slice(token);
                behind
            }
        };
        let (parameter, slot) = match word {
            b"name" => (Parameter::Name, &mut disposition.name),
            b"filename" | b"filename*" => (Parameter::Filename, &mut disposition.filename),
            _ => return Err(()),
        };
        found(parameter, &value);
        if slot.as_ref().is_some_and(|before| !before.is_empty()) {
            return Err(());
        }
        disposition.invalid_quoting |= value.contains(&b'\'');
        *slot = Some(value);
        rest = skip_blanks(rest);
        if !rest.is_empty() {
            rest = match rest.strip_prefix(b";") {
                Some(behind) => behind,
                None => return Err(()),
            };
        }
    }
    Ok(())
}

/// Behind an opening quote. Only the quote and the backslash can be escaped; other backslashes stay, as
/// some browsers send paths.
fn quoted<'a>(value: &'a [u8], quote: u8, out: &mut Vec<u8>) -> Result<&'a [u8], ()> {
    if value.is_empty() {
        return Err(());
    }
    let mut rest = value;
    loop {
        rest = match rest {
            [] => return Ok(&[]),
            [b'\\'] => return Err(()),
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

/// `charset'language'value` (RFC 8187), kept with its escapes.
fn extended<'a>(value: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ()> {
    let quote = value
        .iter()
        .position(|byte| {
            !(byte.is_ascii_alphanumeric() || memchr::memchr(*byte, b"!#$%&+-^_`{}~").is_some())
        })
        .ok_or(())?;
    if quote == 0 {
        return Err(());
    }
    let language = value
        .get(quote..)
        .and_then(|rest| rest.strip_prefix(b"'"))
        .ok_or(())?;
    let end = memchr::memchr(b'\'', language).ok_or(())?;
    let mut rest = language.get(end + 1..).ok_or(())?;
    loop {
        rest = match rest {
            [] | [b';', ..] => return Ok(rest),
            [b'%', high, low, behind @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                out.extend_from_slice(&[b'%', *high, *low]);
                behind
            }
            [byte, behind @ ..]
                if byte.is_ascii_alphanumeric()
                    || memchr::memchr(*byte, b"!#$&+-.^_`|~").is_some() =>
            {
                out.push(*byte);
                behind
            }
            _ => return Err(()),
        };
    }
}

fn skip_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn is_token(byte: u8) -> bool {
    matches!(byte, 33..=126) && memchr::memchr(byte, b"()<>@,;:\\\"/[]?=").is_none()
}
