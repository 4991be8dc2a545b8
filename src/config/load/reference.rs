//! `${NAME}` in texts.

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Table};

use super::Env;
use crate::config::codes;

/// Replaces `${NAME}` in every text of a file by the variable's value, and `$${` by `${`. The value
/// is taken as it is: references in it are not followed.
pub(super) fn replace(table: &mut Table, env: &Env<'_>, diagnostics: &mut Diagnostics) {
    table.replace_texts(&mut |text, place| {
        if !text.contains("${") {
            return None;
        }
        match expand(text, env) {
            Ok(expanded) => Some(expanded),
            Err(Wrong::Unset(name)) => {
                diagnostics.push(
                    Diagnostic::error(
                        codes::UNSET_VARIABLE,
                        &place,
                        format!("the environment variable {name} is not set"),
                    )
                    .with_help(format!("set it, or write $${{{name}}} for the text itself")),
                );
                None
            }
            Err(Wrong::NoName) => {
                diagnostics.push(
                    Diagnostic::error(codes::BAD_REFERENCE, &place, "`${` is no reference here")
                        .with_help("write ${NAME} for a variable, $${ for the two characters"),
                );
                None
            }
        }
    });
}

enum Wrong {
    Unset(String),
    NoName,
}

fn expand(text: &str, env: &Env<'_>) -> Result<String, Wrong> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (name, after) = after.split_once('}').ok_or(Wrong::NoName)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(Wrong::NoName);
        }
        out.push_str(&env(name).ok_or_else(|| Wrong::Unset(name.to_owned()))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
