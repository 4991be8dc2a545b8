//! Lists of targets: `REQUEST_COOKIES|!REQUEST_COOKIES:/^_ga/|&ARGS|XML:/*`.

use super::super::problem::{Notes, shown};
use super::super::target::{Selector, Target};
use super::super::variable::Variable;
use super::{lookup, regex};

/// What SecLang calls a persistent collection: it outlives the transaction. This engine has none.
const PERSISTENT: &[Variable] = &[
    Variable::Global,
    Variable::Ip,
    Variable::Resource,
    Variable::Session,
    Variable::User,
];

/// Targets of one list, at most: lists are compared with each other.
pub(in super::super) const TARGETS: usize = 256;

/// True for a collection that would need a store beyond the transaction.
pub(super) fn is_persistent(variable: Variable) -> bool {
    PERSISTENT.contains(&variable)
}

/// Reads the list of a rule: XML needs its path there.
pub(in super::super) fn looked_at(list: &[u8], notes: &mut Notes<'_>) -> Option<Vec<Target>> {
    let targets = targets(list, notes)?;
    let whole = |target: &Target| {
        target.variable == Variable::Xml
            && target.selector == Selector::All
            && !target.excluded
            && !target.count
    };
    if targets.iter().any(whole) {
        notes.error("XML without a path", XPATHS);
        return None;
    }
    Some(targets)
}

/// Reads a list, targets separated by `|` or `,`. None if any is wrong; all problems are noted.
pub(super) fn targets(list: &[u8], notes: &mut Notes<'_>) -> Option<Vec<Target>> {
    let mut targets = Vec::new();
    let mut sound = true;
    let mut rest = list;
    loop {
        if targets.len() >= TARGETS {
            notes.error(
                format!("a list has more than {TARGETS} targets"),
                "use a regex: `!ARGS:/^(?:a|b)$/`",
            );
            return None;
        }
        let (found, after) = target(rest, notes);
        match found {
            Some(found) => targets.push(found),
            None => sound = false,
        }
        match after {
            Some(after) => rest = after,
            None => break,
        }
    }
    sound.then_some(targets)
}

/// Reads one target; the second value is the list after the separator that follows it.
fn target<'a>(list: &'a [u8], notes: &mut Notes<'_>) -> (Option<Target>, Option<&'a [u8]>) {
    let mut rest = list.trim_ascii_start();
    let (mut excluded, mut count) = (false, false);
    loop {
        rest = match rest {
            [b'!', rest @ ..] => {
                excluded = true;
                rest
            }
            [b'&', rest @ ..] => {
                count = true;
                rest
            }
            _ => break,
        };
        rest = rest.trim_ascii_start();
    }
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'|' | b',' | b':' | b'.'))
        .unwrap_or(rest.len());
    let (name, rest) = rest.split_at_checked(end).unwrap_or((rest, b""));
    let (key, after) = match rest.split_first() {
        Some((b':' | b'.', rest)) => {
            let (key, after) = key(rest);
            (Some(key), after)
        }
        Some((_, rest)) => (None, Some(rest)),
        None => (None, None),
    };
    let name = name.trim_ascii();
    let Some(variable) = lookup(Variable::ALL, name) else {
        if name.is_empty() {
            notes.error(
                "a target is empty",
                "targets are separated by one `|`: `ARGS|REQUEST_HEADERS:Host`",
            );
        } else {
            let known = Variable::ALL.iter().map(|(_, word)| *word);
            notes.unknown("variable", name, known);
        }
        return (None, after);
    };
    if is_persistent(variable) {
        notes.warn(
            format!("{} is always empty here", variable.word()),
            "nothing is kept beyond a transaction; for limits per client use the plugin `rate_limit`",
        );
    }
    if excluded && count {
        notes.error(
            format!("`!&{}`: a number cannot be left out", variable.word()),
            "leave out values with `!`, count them with `&`",
        );
        return (None, after);
    }
    let selector = match key {
        None => Some(Selector::All),
        Some(key) => selector(variable, key, notes),
    };
    let target = selector.map(|selector| Target {
        count,
        excluded,
        variable,
        selector,
    });
    (target, after)
}

/// What is written behind `VAR:`.
enum Key<'a> {
    Plain(&'a [u8]),
    Quoted(&'a [u8]),
    Regex(&'a [u8]),
    Open(&'a [u8]),
}

/// Reads a selector up to the separator that ends it; what follows that.
fn key(rest: &[u8]) -> (Key<'_>, Option<&[u8]>) {
    // XML paths begin with a slash too, and are no regular expressions.
    let plain = rest.starts_with(b"/*") || rest.starts_with(b"//");
    let quote = rest.strip_prefix(b"'");
    let inner = quote.unwrap_or(rest);
    let regex = inner.strip_prefix(b"/").filter(|_| !plain);
    let end = match (regex, quote) {
        (Some(regex), _) => closing(regex, b'/').map(|at| at + 1 + usize::from(quote.is_some())),
        (None, Some(quoted)) => closing(quoted, b'\'').map(|at| at + 1),
        (None, None) => Some(0),
    };
    let Some(from) = end else {
        return (Key::Open(rest), None);
    };
    // Behind the closing mark, or from the start of a plain name.
    let tail = rest.get(from + usize::from(from > 0)..).unwrap_or_default();
    let separator = memchr::memchr2(b'|', b',', tail);
    let after = separator.and_then(|at| tail.get(at + 1..));
    let left = tail.get(..separator.unwrap_or(tail.len())).unwrap_or(tail);
    let key = match (regex, quote) {
        (Some(regex), quote) => {
            let length = from - 1 - usize::from(quote.is_some());
            let closed = match quote {
                Some(_) => left.trim_ascii() == b"'",
                None => left.trim_ascii().is_empty(),
            };
            match regex.get(..length) {
                Some(regex) if closed => Key::Regex(regex),
                _ => Key::Open(rest),
            }
        }
        (None, Some(quoted)) => match quoted.get(..from - 1) {
            Some(quoted) if left.trim_ascii().is_empty() => Key::Quoted(quoted),
            _ => Key::Open(rest),
        },
        (None, None) => Key::Plain(left.trim_ascii()),
    };
    (key, after)
}

/// Where a mark stands that no backslash precedes.
fn closing(text: &[u8], mark: u8) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(mark, b'\\', text.get(from..)?)?;
        if text.get(at) == Some(&mark) {
            return Some(at);
        }
        from = at + 2;
    }
}

const XPATHS: &str =
    "write `XML:/*` for the text of the document, `XML://@*` for the values of its attributes";

/// A selector in the right form for its variable.
fn selector(variable: Variable, key: Key<'_>, notes: &mut Notes<'_>) -> Option<Selector> {
    let word = variable.word();
    if !variable.is_collection() {
        notes.error(
            format!("{word} is one value, it takes no selector"),
            format!("write `{word}`"),
        );
        return None;
    }
    if variable == Variable::Xml {
        return match key {
            Key::Plain(b"/*") | Key::Quoted(b"/*") => Some(Selector::XmlText),
            Key::Plain(b"//@*") | Key::Quoted(b"//@*") => Some(Selector::XmlAttributes),
            Key::Plain(path) | Key::Quoted(path) | Key::Regex(path) | Key::Open(path) => {
                let path = shown(path);
                notes.error(format!("the path `{path}` of XML is not supported"), XPATHS);
                None
            }
        };
    }
    match key {
        Key::Plain(b"") | Key::Quoted(b"") | Key::Regex(b"") => {
            notes.error(
                format!("`{word}:` names no value"),
                format!("write `{word}:name`, `{word}:/regex/`, or `{word}` for all"),
            );
            None
        }
        Key::Plain(name) | Key::Quoted(name) => {
            Some(Selector::Name(name.to_ascii_lowercase().into()))
        }
        Key::Regex(pattern) => regex(pattern, notes).map(Selector::Pattern),
        Key::Open(text) => {
            notes.error(
                format!("the selector `{}` is not closed", shown(text)),
                "a regex stands between slashes (`\\/` for one inside), a quoted name between `'`",
            );
            None
        }
    }
}
