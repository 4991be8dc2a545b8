//! What the claims of a token become: header fields for the origin, and the consumer.

use std::fmt::Write as _;
use std::sync::Arc;

use farmgate_plugin_api::Consumer;
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::claims::{Claims, Path};
use super::refusal::Refusal;

/// Longest value of a header field made of a claim, in bytes.
const MAX_FIELD_BYTES: usize = 4096;
/// Longest name of a consumer, a plan or a tag, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Most tags of a consumer.
const MAX_TAGS: usize = 64;

/// Which claims name the consumer.
pub(super) struct ConsumerClaims {
    pub(super) name: Path,
    /// Whether a token without the name is refused.
    pub(super) needed: bool,
    pub(super) plan: Option<Path>,
    pub(super) tags: Option<Path>,
}

/// The consumer of a token, and whether tags were cut.
///
/// # Errors
/// The name is needed and missing, or a name cannot be one.
pub(super) fn consumer(
    claims: &Claims,
    from: &ConsumerClaims,
    prefix: &str,
) -> Result<(Option<Consumer>, bool), Refusal> {
    let Some(name) = from.name.of(claims) else {
        return match from.needed {
            true => Err(Refusal::Consumer),
            false => Ok((None, false)),
        };
    };
    let name = format!("{prefix}{}", scalar(name).ok_or(Refusal::Consumer)?);
    if name.len() == prefix.len() {
        return Err(Refusal::Consumer);
    }
    let plan = match from.plan.as_ref().and_then(|path| path.of(claims)) {
        None => None,
        Some(plan) => Some(
            scalar(plan)
                .and_then(|plan| named(&plan))
                .ok_or(Refusal::Consumer)?,
        ),
    };
    let mut tags: Vec<Arc<str>> = Vec::new();
    let mut cut = false;
    let mut add = |tag: &str| {
        let tag = named(tag).ok_or(Refusal::Consumer)?;
        match tags.len() < MAX_TAGS {
            true => tags.push(tag),
            false => cut = true,
        }
        Ok(())
    };
    match from.tags.as_ref().and_then(|path| path.of(claims)) {
        None => {}
        Some(Value::String(words)) => words
            .split(' ')
            .filter(|word| !word.is_empty())
            .try_for_each(&mut add)?,
        Some(Value::Array(items)) => items
            .iter()
            .try_for_each(|item| add(item.as_str().ok_or(Refusal::Consumer)?))?,
        Some(_) => return Err(Refusal::Consumer),
    }
    let consumer = Consumer {
        name: named(&name).ok_or(Refusal::Consumer)?,
        plan,
        tags,
        by: "jwt",
        by_authorization: false,
    };
    Ok((Some(consumer), cut))
}

/// A name that logs and limits can hold.
fn named(text: &str) -> Option<Arc<str>> {
    let fits = (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then(|| text.into())
}

/// The header fields of a token.
///
/// # Errors
/// A claim cannot be sent without changing what it means.
pub(super) fn fields(
    claims: &Claims,
    from: &[(Path, HeaderName)],
) -> Result<Box<[(HeaderName, HeaderValue)]>, Refusal> {
    let mut fields = Vec::with_capacity(from.len());
    for (path, name) in from {
        let Some(claim) = path.of(claims) else {
            continue;
        };
        let text = text(claim).ok_or(Refusal::HeaderValue)?;
        if !text.is_empty() {
            fields.push((name.clone(), value(text).ok_or(Refusal::HeaderValue)?));
        }
    }
    Ok(fields.into())
}

/// A value that arrives as it is: readers strip white space at the ends.
fn value(text: String) -> Option<HeaderValue> {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = text.as_bytes();
    if bytes.len() > MAX_FIELD_BYTES || is_blank(bytes.first()) || is_blank(bytes.last()) {
        return None;
    }
    let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()?;
    // The first clone makes the bytes shared; later ones, per request, only count.
    drop(value.clone());
    Some(value)
}

fn text(claim: &Value) -> Option<String> {
    let Value::Array(items) = claim else {
        return scalar(claim);
    };
    let mut all = String::new();
    for (at, item) in items.iter().enumerate() {
        // A reader takes a list apart at its commas, and white space around them away.
        let item = scalar(item)?;
        if item.is_empty() || item.contains(',') || item.trim() != item {
            return None;
        }
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(all, "{comma}{item}");
    }
    Some(all)
}

/// A text as it is, a number or a boolean as JSON writes it.
fn scalar(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
