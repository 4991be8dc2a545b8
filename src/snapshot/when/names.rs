//! The words of a condition, and what is said about words that are none.

use farmgate_plugin_api::decode::{did_you_mean, nearest};
use http::HeaderName;

use super::error::Mistake;
use super::field::{Field, KEYED, Named, PLAIN};
use super::typing::Operand;
use super::value::Text;

/// What can be asked of a text or a list.
pub(super) const METHODS: [&str; 9] = [
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "size",
    "lowerAscii",
    "exists",
    "all",
    "exists_one",
];

/// Functions.
pub(super) const FUNCTIONS: [&str; 4] = ["has", "size", "int", "string"];

/// What a name stands for.
pub(super) fn named(at: usize, name: &str) -> Result<Operand, Mistake> {
    if let Some((_, named)) = PLAIN.iter().find(|(known, _)| *known == name) {
        return Ok(match named {
            Named::Text(field) => Operand::Text(Text::Field(field.clone())),
            Named::Address => Operand::Address,
            Named::Texts(list) => Operand::List(list.clone()),
        });
    }
    match KEYED.iter().find(|known| **known == name) {
        Some(known) => Ok(Operand::Map(known)),
        None => Err(unknown(at, name)),
    }
}

fn unknown(at: usize, name: &str) -> Mistake {
    let known: Vec<&str> = PLAIN.iter().map(|(known, _)| *known).chain(KEYED).collect();
    let last = |known: &&str| known.split('.').next_back() == Some(name);
    let group = format!("{name}.");
    let within: Vec<&str> = known
        .iter()
        .copied()
        .filter(|known| known.starts_with(&group))
        .collect();
    // `path` alone is the commonest slip; its prefix is more than a typing mistake away.
    let help = match known.iter().copied().find(last) {
        Some(full) => format!("did you mean \"{full}\"?"),
        None if !within.is_empty() => format!("there are {}", within.join(", ")),
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

/// There is no such method.
pub(super) fn no_method(at: usize, method: &str) -> Mistake {
    let help = match nearest(method, &METHODS) {
        Some(near) => format!("did you mean \".{near}\"?"),
        None => format!("there are .{}", METHODS.join(", .")),
    };
    Mistake::new(at, format!("there is no method `.{method}`")).help(help)
}

/// There is no such function.
pub(super) fn no_function(at: usize, function: &str) -> Mistake {
    let help = match (nearest(function, &FUNCTIONS), METHODS.contains(&function)) {
        (_, true) => format!("it is a method: x.{function}(...)"),
        (Some(near), _) => format!("did you mean \"{near}\"?"),
        (None, _) => format!("there are {}", FUNCTIONS.join(", ")),
    };
    Mistake::new(at, format!("there is no function `{function}`")).help(help)
}
