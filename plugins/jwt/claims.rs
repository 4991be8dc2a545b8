//! What the claims of a verified token must say (RFC 7519 section 4).

use farmgate_plugin_api::units::Duration;
use serde_json::{Map, Value};

use super::refusal::Refusal;

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

/// A token without an end, or with one far off, is verified again after this time, in seconds.
const LONGEST_S: i64 = 3600;

/// When a verdict holds, in seconds since 1970: from `begins` to before `ends`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) begins: i64,
    pub(super) ends: i64,
}

impl Validity {
    /// True at this time.
    pub(super) fn holds(self, now: i64) -> bool {
        (self.begins..self.ends).contains(&now)
    }
}

/// A claim: the member of this name, else what its dots lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Box<str>);

impl Path {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The claim; none if there is none, or it is `null`.
    pub(super) fn of<'c>(&self, claims: &'c Claims) -> Option<&'c Value> {
        let found = claims.get(&*self.0).or_else(|| {
            let mut steps = self.0.split('.');
            let first = claims.get(steps.next()?)?;
            steps.try_fold(first, |value, step| value.as_object()?.get(step))
        });
        found.filter(|value| !value.is_null())
    }
}

/// A value that an operator wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Text(Box<str>),
    Integer(i64),
    Boolean(bool),
}

impl Scalar {
    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Text(text) => value.as_str() == Some(text),
            Self::Integer(number) => value.as_i64() == Some(*number),
            Self::Boolean(truth) => value.as_bool() == Some(*truth),
        }
    }
}

/// What all tokens must have, whoever issued them.
#[derive(Default)]
pub(super) struct Requirements {
    pub(super) present: Box<[Path]>,
    pub(super) values: Box<[(Path, Vec<Scalar>)]>,
    pub(super) scopes: Box<[Box<str>]>,
}

impl Requirements {
    /// # Errors
    /// A claim or a scope is missing.
    pub(super) fn check(&self, claims: &Claims) -> Result<(), Refusal> {
        if !self.present.iter().all(|path| path.of(claims).is_some()) {
            return Err(Refusal::Claims);
        }
        for (path, wanted) in &self.values {
            let is_one = |value: &Value| wanted.iter().any(|scalar| scalar.is(value));
            let fits = match path.of(claims) {
                Some(Value::Array(items)) => items.iter().any(is_one),
                Some(value) => is_one(value),
                None => false,
            };
            if !fits {
                return Err(Refusal::Claims);
            }
        }
        match self.scopes.iter().all(|scope| has_scope(claims, scope)) {
            true => Ok(()),
            false => Err(Refusal::Scope),
        }
    }
}

/// `scope` is a text of words (RFC 8693 section 4.2); some providers write `scp`, or a list.
fn has_scope(claims: &Claims, wanted: &str) -> bool {
    ["scope", "scp"].iter().any(|name| match claims.get(*name) {
        Some(Value::String(text)) => text.split(' ').any(|word| word == wanted),
        Some(Value::Array(items)) => items.iter().any(|item| item.as_str() == Some(wanted)),
        _ => false,
    })
}

/// True if `aud` holds one of `audiences`.
///
/// # Errors
/// It is neither a text nor a list of texts.
pub(super) fn has_audience(claims: &Claims, audiences: &[Box<str>]) -> Result<bool, Refusal> {
    let ours = |name: &str| audiences.iter().any(|one| **one == *name);
    match claims.get("aud") {
        None => Ok(false),
        Some(Value::String(one)) => Ok(ours(one)),
        Some(Value::Array(all)) => {
            let mut found = false;
            for one in all {
                found |= ours(one.as_str().ok_or(Refusal::Malformed)?);
            }
            Ok(found)
        }
        Some(_) => Err(Refusal::Malformed),
    }
}

/// When the token is valid.
///
/// # Errors
/// It is not valid at `now` (seconds since 1970), or a time is no number.
pub(super) fn validity(
    claims: &Claims,
    leeway: Duration,
    require_exp: bool,
    now: i64,
) -> Result<Validity, Refusal> {
    let leeway = i64::try_from(leeway.as_ms().div_ceil(1000)).unwrap_or(i64::MAX);
    // Fractions end a token sooner and begin it later.
    let begins = seconds(claims, "nbf", f64::ceil)?;
    let ends = seconds(claims, "exp", f64::floor)?;
    if ends.is_none() && require_exp {
        return Err(Refusal::Expired);
    }
    let validity = Validity {
        begins: begins.map_or(i64::MIN, |at| at.saturating_sub(leeway)),
        ends: ends.map_or(i64::MAX, |at| at.saturating_add(leeway)),
    };
    if now >= validity.ends {
        return Err(Refusal::Expired);
    }
    if now < validity.begins {
        return Err(Refusal::NotYet);
    }
    Ok(Validity {
        ends: validity.ends.min(now.saturating_add(LONGEST_S)),
        ..validity
    })
}

/// A NumericDate.
fn seconds(claims: &Claims, name: &str, round: fn(f64) -> f64) -> Result<Option<i64>, Refusal> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(Some(whole)),
            // The cast ends at the largest number.
            (None, Some(real)) => Ok(Some(round(real) as i64)),
            (None, None) => Err(Refusal::Malformed),
        },
        Some(_) => Err(Refusal::Malformed),
    }
}
