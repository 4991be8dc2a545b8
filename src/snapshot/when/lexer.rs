//! Words, signs and texts of a condition.

use super::error::Mistake;
use super::literal;

/// The smallest part with a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name such as `request`, or `in`, `true`, `false`.
    Word(String),
    /// A quoted text, without its quotes and escapes.
    Text(String),
    /// One of [`SIGNS`].
    Sign(&'static str),
    /// The end.
    End,
}

/// Longer ones first: `!=` is not `!` and `=`.
const SIGNS: [&str; 11] = ["==", "!=", "&&", "||", "!", "(", ")", "[", "]", ".", ","];

/// A token and where it begins, in bytes.
pub(super) type Placed = (usize, Token);

/// Cuts the whole text; the last token is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, Mistake> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some((rest, first)) = text.get(at..).and_then(|r| Some((r, r.chars().next()?))) {
        let length = if first.is_ascii_whitespace() {
            1
        } else if let Some((length, value)) = literal::quoted(rest, at)? {
            tokens.push((at, Token::Text(value)));
            length
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
            tokens.push((at, Token::Word(word.to_owned())));
            word.len()
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push((at, Token::Sign(sign)));
            sign.len()
        } else {
            return Err(unexpected(at, first));
        };
        at += length;
    }
    tokens.push((text.len(), Token::End));
    Ok(tokens)
}

fn unexpected(at: usize, c: char) -> Mistake {
    let mistake = Mistake::new(at, format!("{c:?} has no meaning here"));
    match c {
        '=' => mistake.help("equality is `==`"),
        '&' => mistake.help("\"and\" is `&&`"),
        '|' => mistake.help("\"or\" is `||`"),
        '<' | '>' | '+' | '*' | '/' | '%' => {
            mistake.help("there is no arithmetic; compare texts with `==`, `!=` and `in`")
        }
        '?' | ':' => mistake.help("there is no `a ? b : c`; write it with `&&` and `||`"),
        '-' | '0'..='9' => mistake.help("values are texts: put them in quotes"),
        '`' | '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}' => {
            mistake.help("quotes are ' and \"")
        }
        _ => mistake,
    }
}
