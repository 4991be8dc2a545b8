//! The words of a condition, and what is said about words that are none.

use farmgate_plugin_api::decode::{did_you_mean, nearest};
use http::HeaderName;

use super::error::Mistake;
use super::field::{Field, KEYED, Named, PLAIN};
use super::operand::Operand;

/// What can be asked of a text.
pub(super) const METHODS: [&str; 4] = ["startsWith", "endsWith", "contains", "matches"];

/// True for the names that take a key.
pub(super) fn is_keyed(name: &str) -> bool {
    KEYED.contains(&name)
}

/// What a name without a key stands for. `called`: a parenthesis follows it.
pub(super) fn plain(at: usize, name: &str, called: bool) -> Result<Operand, Mistake> {
    match PLAIN.iter().find(|(known, _)| *known == name) {
        Some((_, Named::Text(field))) => Ok(Operand::field(field.clone())),
        Some((_, Named::Address)) => Ok(Operand::Address),
        Some((_, Named::Tags)) => Ok(Operand::Tags),
        None if called => Err(
            Mistake::new(at, format!("there is no function `{name}`")).help(format!(
                "`has(...)` is the only function; texts have .{}",
                METHODS.join(", .")
            )),
        ),
        None => Err(unknown(at, name)),
    }
}

fn unknown(at: usize, name: &str) -> Mistake {
    let known: Vec<&str> = PLAIN.iter().map(|(known, _)| *known).chain(KEYED).collect();
    let last = |known: &&str| known.split('.').next_back() == Some(name);
    // `path` alone is the commonest slip; its prefix is more than a typing mistake away.
    let help = match known.iter().copied().find(last) {
        Some(full) => format!("did you mean \"{full}\"?"),
        None => did_you_mean(name, &known),
    };
    Mistake::new(at, format!("there is no value `{name}`")).help(help)
}

/// The value under a key.
pub(super) fn keyed(at: usize, name: &str, key: &str) -> Result<Field, Mistake> {
    let is_name = HeaderName::from_bytes(key.as_bytes());
    match (name, is_name) {
        ("request.headers", Ok(key)) => Ok(Field::Header(key)),
        ("request.cookies", Ok(_)) => Ok(Field::Cookie(key.into())),
        ("request.query", _) if !key.is_empty() => Ok(Field::Query(key.into())),
        _ => Err(Mistake::new(
            at,
            format!("{key:?} cannot be a name in `{name}`"),
        )),
    }
}

/// Knows a method, or names the nearest.
pub(super) fn check_method(at: usize, method: &str) -> Result<(), Mistake> {
    if METHODS.contains(&method) {
        return Ok(());
    }
    let help = match nearest(method, &METHODS) {
        Some(near) => format!("did you mean \".{near}\"?"),
        None => format!("texts have .{}", METHODS.join(", .")),
    };
    Err(Mistake::new(at, format!("there is no method `.{method}`")).help(help))
}
