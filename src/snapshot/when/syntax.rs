//! The parser of the crate `cel`, contained: it runs on a thread of its own with a stack of known size, so that neither
//! a panic of it nor a long chain of signs can reach the process. Reading a condition happens when a configuration is
//! compiled, never on the request path.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::Env;
use cel::common::ast::{CallExpr, Expr, IdedExpr, SourceInfo};
use cel::parser::{ParseError, ParseErrors};

use super::MAX_DEPTH;
use super::error::Mistake;

/// The parser and the walk over its tree go down once per link of a chain such as `a.b.c`; [`super::MAX_BYTES`] of them
/// take less than half of this without optimisation.
const STACK_BYTES: usize = 32 << 20;

/// Mistakes after which the parser gives up finding its way back.
const RECOVERIES: u32 = 2;

/// A condition as the crate read it.
pub(super) struct Tree<'a> {
    pub(super) text: &'a str,
    pub(super) root: IdedExpr,
    places: SourceInfo,
}

/// Reads a condition and hands its tree to `walk`.
pub(super) fn with_tree<R: Send>(
    text: &str,
    walk: impl FnOnce(&Tree<'_>) -> Result<R, Mistake> + Send,
) -> Result<R, Mistake> {
    if text.trim().is_empty() {
        return Err(Mistake::new(0, "the condition is empty").help("leave `when` out instead"));
    }
    std::thread::scope(|scope| {
        let work = || {
            catch_unwind(AssertUnwindSafe(|| walk(&read(text)?))).unwrap_or_else(|_| {
                Err(Mistake::new(
                    0,
                    "the condition cannot be read: its parser failed",
                ))
            })
        };
        let thread = std::thread::Builder::new()
            .name("when".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work);
        let failed = || {
            Mistake::new(
                0,
                "the condition cannot be read: there is no thread for its parser",
            )
        };
        thread.map_err(|_| failed())?.join().map_err(|_| failed())?
    })
}

fn read(text: &str) -> Result<Tree<'_>, Mistake> {
    // Without macros: `has` and `exists` stay calls, and are typed as such.
    let parser = Env::default()
        .parser()
        .max_recursion_depth(MAX_DEPTH)
        .error_recovery_limit(RECOVERIES);
    match parser.parse_with_source_info(text) {
        Ok((root, places)) => Ok(Tree { text, root, places }),
        Err(errors) => Err(first(text, &errors)),
    }
}

impl Tree<'_> {
    /// Where the crate says a node is, in bytes: a name or text at its beginning, a comparison at its sign, a call at
    /// its parenthesis.
    pub(super) fn at(&self, node: &IdedExpr) -> usize {
        let place = self.places.offset_for(node.id);
        place.map_or(0, |(start, _)| usize::try_from(start).unwrap_or(0))
    }

    /// Where the text of a node begins.
    pub(super) fn start(&self, node: &IdedExpr) -> usize {
        let own = self.at(node);
        let first = match &node.expr {
            Expr::Select(select) => self.start(&select.operand),
            Expr::Call(call) => match (&call.target, call.args.first()) {
                (Some(target), _) => self.start(target),
                // The parenthesis after a function's name; the sign between the sides of an operator.
                (None, _)
                    if self
                        .text
                        .get(own..)
                        .is_some_and(|rest| rest.starts_with('(')) =>
                {
                    self.name_of(node, call)
                }
                (None, Some(side)) => self.start(side),
                (None, None) => own,
            },
            _ => own,
        };
        own.min(first)
    }

    /// Where the name of a function or method stands, before its parenthesis.
    pub(super) fn name_of(&self, node: &IdedExpr, call: &CallExpr) -> usize {
        let own = self.at(node);
        let before = self.text.get(..own).unwrap_or_default();
        before.rfind(call.func_name.as_str()).unwrap_or(own)
    }
}

/// The first mistake of the parser, in our words.
fn first(text: &str, errors: &ParseErrors) -> Mistake {
    let Some(error) = errors.errors.iter().min_by_key(|error| place(text, error)) else {
        return Mistake::new(0, "the condition cannot be read");
    };
    let at = place(text, error);
    let deep = |error: &ParseError| error.msg.contains("Recursion limit");
    if errors.errors.iter().any(deep) {
        return Mistake::new(
            at,
            format!("the condition is nested deeper than {MAX_DEPTH}"),
        );
    }
    let rest = text.get(at..).unwrap_or_default();
    let word: String = rest
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    match (word.as_str(), rest.chars().next()) {
        ("and", _) => Mistake::new(at, "`and` is written `&&`"),
        ("or", _) => Mistake::new(at, "`or` is written `||`"),
        ("not", _) => Mistake::new(at, "`not` is written `!`"),
        (_, None) => Mistake::new(at, ended(&error.msg)),
        (_, Some(first)) => {
            let before = text.get(..at).unwrap_or_default().trim_end();
            if before == "not" || before.ends_with(" not") || before.ends_with("(not") {
                return Mistake::new(before.len() - 3, "`not` is written `!`");
            }
            sign(at, first, rest, &error.msg)
        }
    }
}

fn ended(message: &str) -> &'static str {
    match message.contains("missing ')'") {
        true => "`)` is missing at the end",
        false => "the condition ends too early",
    }
}

/// A mistake at a sign or a text.
fn sign(at: usize, first: char, rest: &str, message: &str) -> Mistake {
    let quoted = matches!(first, '"' | '\'') || rest.starts_with("r\"") || rest.starts_with("r'");
    if quoted && (message.contains("token recognition") || message.contains("invalid string")) {
        return Mistake::new(at, "this text has no closing quote, or an escape that is none").help(
            "write a backslash twice, or the text raw: r'...'; \\uXXXX needs four hexadecimal digits of a character",
        );
    }
    if message.contains("invalid int") {
        return Mistake::new(at, "the number does not fit in 64 bits");
    }
    let known = match first {
        '=' => "equality is `==`",
        '&' => "\"and\" is `&&`",
        '|' => "\"or\" is `||`",
        '`' | '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}' => "quotes are ' and \"",
        '"' | '\'' => "join tests with `&&` or `||`",
        ')' => return Mistake::new(at, "there is no `(` for this `)`"),
        c if c.is_alphanumeric() => "join tests with `&&` or `||`",
        _ => "",
    };
    if message.contains("missing ')'") {
        return Mistake::new(at, "`)` is missing before this");
    }
    let shown = first.escape_debug();
    let mistake = match first.is_alphanumeric() || quoted {
        true => Mistake::new(at, "nothing of the language can stand here but a sign"),
        false => Mistake::new(at, format!("'{shown}' has no meaning here")),
    };
    mistake.help(known)
}

/// The place of a mistake in bytes. The parser counts lines and characters, from 1.
fn place(text: &str, error: &ParseError) -> usize {
    let (line, column) = error.pos;
    let line = usize::try_from(line).unwrap_or(1).max(1);
    let column = usize::try_from(column).unwrap_or(1).max(1);
    let before: usize = text
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let rest = text.get(before..).unwrap_or_default();
    let within = rest.char_indices().nth(column - 1);
    within.map_or(text.len(), |(at, _)| before + at)
}
