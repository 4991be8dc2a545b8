//! Quoted texts, as CEL writes them: `"..."`, `'...'`, and raw with an `r` before.

use std::fmt;

use super::error::Mistake;

/// Reads the literal at the start of `rest`, which stands at byte `at` of the condition. Gives its
/// length in bytes and its value; none if there is no literal.
pub(super) fn quoted(rest: &str, at: usize) -> Result<Option<(usize, String)>, Mistake> {
    let raw = rest.starts_with("r\"") || rest.starts_with("r'");
    let body = if raw { rest.get(1..) } else { Some(rest) };
    let mut chars = body.unwrap_or_default().char_indices();
    let quote = match chars.next() {
        Some((_, quote @ ('"' | '\''))) => quote,
        _ => return Ok(None),
    };
    let before = usize::from(raw);
    let mut value = String::new();
    while let Some((place, c)) = chars.next() {
        if c == quote {
            return Ok(Some((before + place + 1, value)));
        }
        if c != '\\' || raw {
            value.push(c);
            continue;
        }
        let place = at + before + place;
        let Some((_, letter)) = chars.next() else {
            break;
        };
        let digits = match letter {
            '\\' | '"' | '\'' | '`' | '?' => {
                value.push(letter);
                continue;
            }
            'n' => {
                value.push('\n');
                continue;
            }
            'r' => {
                value.push('\r');
                continue;
            }
            't' => {
                value.push('\t');
                continue;
            }
            'x' | 'X' => 2,
            'u' => 4,
            'U' => 8,
            _ => {
                let message = format!("the escape \\{} is unknown", letter.escape_default());
                return Err(Mistake::new(place, message)
                    .help("write the backslash twice, or the text raw: r'...'"));
            }
        };
        let code = (0..digits).try_fold(0_u32, |code, _| {
            let digit = chars.next().and_then(|(_, c)| c.to_digit(16))?;
            code.checked_mul(16)?.checked_add(digit)
        });
        match code.and_then(char::from_u32) {
            Some(c) => value.push(c),
            None => {
                let message =
                    format!("\\{letter} needs {digits} hexadecimal digits of a character");
                return Err(Mistake::new(place, message));
            }
        }
    }
    Err(Mistake::new(at, "the text has no closing quote"))
}

/// Writes a text so that [`quoted`] reads it back.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\U{:08x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}
