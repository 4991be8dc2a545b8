//! Tokens to a fingerprint: what says nothing about the structure of a statement is folded away until
//! five tokens are left.
//!
//! The rules and their order are libinjection's, odd cases too: a fold takes away the last token that
//! was read, which is not always the one that was compared.

use super::lex::Lexer;
use super::token::{Kind, Token};

/// Most tokens of a fingerprint.
pub(super) const MOST: usize = 5;

/// Room for tokens: one more than [`MOST`] is read to decide about the last, the rest makes an index
/// that is masked always valid.
const ROOM: usize = 8;

/// What a rule for two or three tokens decided.
enum Step {
    /// It changed something: begin again.
    Again,
    /// No rule fits, or one that leaves the question open.
    Go,
    /// The value cannot be read one way only.
    Evil,
}

/// The tokens that are left of a value.
pub(super) struct Folded<'a> {
    tokens: [Token<'a>; ROOM],
    /// Where the next token goes.
    end: usize,
    /// How many tokens in front are done.
    left: usize,
    /// The last token read, if it was a comment.
    comment: Option<Token<'a>>,
    /// False when the value is used up.
    more: bool,
}

impl<'a> Folded<'a> {
    /// Reads and folds a value; the tokens that are left, at most [`MOST`].
    pub(super) fn fold(lexer: &mut Lexer<'a>) -> (Self, usize) {
        let mut folded = Self {
            tokens: [Token::default(); ROOM],
            end: 0,
            left: 0,
            comment: None,
            more: true,
        };
        let count = folded.run(lexer);
        (folded, count)
    }

    /// A token by its place.
    #[inline]
    pub(super) fn token(&self, at: usize) -> &Token<'a> {
        // An index below the length of the array, whatever `at` is.
        &self.tokens[at % ROOM]
    }

    /// The same, to change it.
    #[inline]
    pub(super) fn token_mut(&mut self, at: usize) -> &mut Token<'a> {
        &mut self.tokens[at % ROOM]
    }

    #[inline]
    fn kind(&self, at: usize) -> Kind {
        self.token(at).kind
    }

    fn run(&mut self, lexer: &mut Lexer<'a>) -> usize {
        // What may stand before any statement is skipped.
        loop {
            let Some(token) = lexer.next() else {
                return 0;
            };
            let skipped = matches!(token.kind, Kind::Comment | Kind::LeftParens | Kind::SqlType)
                || token.is_unary();
            if !skipped {
                self.tokens[0] = token;
                self.end = 1;
                break;
            }
        }
        loop {
            if self.end >= MOST && self.repeats() {
                if self.end > MOST {
                    self.tokens[1] = self.tokens[MOST];
                    self.end = 2;
                } else {
                    self.end = 1;
                }
                self.left = 0;
            }
            if !self.more || self.left >= MOST {
                self.left = self.end;
                break;
            }
            self.read(lexer, 2);
            if self.end - self.left < 2 {
                self.left = self.end;
                continue;
            }
            match self.two(lexer) {
                Step::Again => continue,
                Step::Go => {}
                Step::Evil => {
                    self.tokens[0].kind = Kind::Evil;
                    return 1;
                }
            }
            self.read(lexer, 3);
            if self.end - self.left < 3 {
                self.left = self.end;
                continue;
            }
            if self.three() {
                self.left = 0;
            } else {
                self.left += 1;
            }
        }
        if self.left < MOST
            && let Some(comment) = self.comment
        {
            *self.token_mut(self.left) = comment;
            self.left += 1;
        }
        self.left.min(MOST)
    }

    /// Reads until so many tokens stand behind those that are done. Comments do not count.
    #[inline]
    fn read(&mut self, lexer: &mut Lexer<'a>, wanted: usize) {
        while self.more && self.end <= MOST && self.end - self.left < wanted {
            match lexer.next() {
                None => self.more = false,
                Some(token) if token.kind == Kind::Comment => self.comment = Some(token),
                Some(token) => {
                    self.comment = None;
                    *self.token_mut(self.end) = token;
                    self.end += 1;
                }
            }
        }
    }

    /// Five tokens that are an expression and say no more than their first.
    fn repeats(&self) -> bool {
        use Kind::{Bareword, Comma, LeftParens, Number, Operator, RightParens};
        matches!(
            [0, 1, 2, 3, 4].map(|at| self.kind(at)),
            [Number, Operator | Comma, LeftParens, Number, RightParens]
                | [
                    Bareword,
                    Operator,
                    LeftParens,
                    Bareword | Number,
                    RightParens
                ]
                | [Number, RightParens, Comma, LeftParens, Number]
                | [Bareword, RightParens, Operator, LeftParens, Bareword]
        )
    }

    /// Takes away the last tokens and begins at the front.
    #[inline]
    fn drop_last(&mut self, count: usize) -> Step {
        self.end = self.end.saturating_sub(count);
        self.left = 0;
        Step::Again
    }

    /// The rules for two tokens. The order counts.
    #[inline]
    fn two(&mut self, lexer: &Lexer<'a>) -> Step {
        use Kind::{
            Backslash, Bareword, Collate, Function, Keyword, LeftBrace, LeftParens, Logic, Number,
            Operator, RightBrace, RightParens, Semicolon, SqlType, String, Tsql, Variable,
        };
        let (a, b) = (*self.token(self.left), *self.token(self.left + 1));
        match (a.kind, b.kind) {
            (String, String) | (Semicolon, Semicolon) => {
                self.end -= 1;
                return Step::Again;
            }
            (Operator | Logic, SqlType) => return self.drop_last(1),
            (Operator | Logic, Operator) if b.is_unary() => return self.drop_last(1),
            (LeftParens, Operator) if b.is_unary() => {
                self.end -= 1;
                self.left = self.left.saturating_sub(1);
                return Step::Again;
            }
            _ => {}
        }
        if may_lead(a.kind)
            && may_follow(b.kind)
            && let Some(phrase) = lexer.tables().phrase(a.text, b.text)
        {
            // The quotes stay those of the first.
            let merged = self.token_mut(self.left);
            (merged.kind, merged.text) = (phrase.kind, phrase.text);
            self.end -= 1;
            self.left = self.left.saturating_sub(1);
            return Step::Again;
        }
        match (a.kind, b.kind) {
            // A function, but in Transact-SQL a statement.
            (Semicolon, Function) if b.starts_with(b"IF") => {
                self.token_mut(self.left + 1).kind = Tsql;
                Step::Again
            }
            (Bareword | Variable, LeftParens) if is_callable(&a) => {
                self.token_mut(self.left).kind = Function;
                Step::Again
            }
            (Keyword, _) if a.is(b"IN") || a.is(b"NOT IN") => {
                let before_list = b.kind == LeftParens;
                self.token_mut(self.left).kind = if before_list { Operator } else { Bareword };
                Step::Again
            }
            (Operator, _) if a.is(b"LIKE") || a.is(b"NOT LIKE") => {
                if b.kind == LeftParens {
                    self.token_mut(self.left).kind = Function;
                }
                Step::Go
            }
            (SqlType, Bareword | Number | SqlType | LeftParens | Function | Variable | String) => {
                *self.token_mut(self.left) = b;
                self.drop_last(1)
            }
            // There are too many collations for a table; they have an underscore.
            (Collate, Bareword) => {
                if b.has_underscore() {
                    self.token_mut(self.left + 1).kind = SqlType;
                    self.left = 0;
                }
                Step::Go
            }
            // Transact-SQL reads \%1 as 0 % 1, and \1 as 1.
            (Backslash, _) if b.is_arithmetic() => {
                self.token_mut(self.left).kind = Number;
                self.left = 0;
                Step::Again
            }
            (Backslash, _) => {
                *self.token_mut(self.left) = b;
                self.drop_last(1)
            }
            (LeftParens, LeftParens) | (RightParens, RightParens) => self.drop_last(1),
            // MySQL's {``.``.name}: three tokens are too few to tell it from what is invalid.
            (LeftBrace, Bareword) if b.text.is_empty() => Step::Evil,
            // {name expression} is the expression.
            (LeftBrace, Bareword) => self.drop_last(2),
            (_, RightBrace) => self.drop_last(1),
            _ => Step::Go,
        }
    }

    /// The rules for three tokens; true if one fits.
    #[inline]
    fn three(&mut self) -> bool {
        use Kind::{
            Bareword, Comma, Dot, Expression, Function, Group, Keyword, LeftParens, Logic, Number,
            Operator, RightParens, SqlType, String, Variable,
        };
        let at = self.left;
        let (a, b, c) = (*self.token(at), *self.token(at + 1), *self.token(at + 2));
        match (a.kind, b.kind, c.kind) {
            (Number | Bareword, Operator, Number | Bareword)
            | (Variable, Operator, Variable | Number | Bareword)
            | (Logic, _, Logic)
            | (
                Bareword | Number | String | Variable,
                Comma,
                Number | Bareword | String | Variable,
            )
            | (Bareword, Dot, Bareword) => self.end -= 2,
            (Operator, middle, Operator) if middle != LeftParens => self.end -= 2,
            (Bareword | Number | Variable | String, Operator, SqlType) if b.text == b"::" => {
                self.end -= 2;
            }
            // A sign before a list or an operand says nothing.
            (Expression | Group | Comma, Operator, LeftParens)
            | (
                Keyword | Expression | Group,
                Operator,
                Number | Bareword | Variable | String | Function,
            )
            | (Comma, Operator, Function)
                if b.is_unary() =>
            {
                *self.token_mut(at + 1) = c;
                self.end -= 1;
            }
            (Comma, Operator, Number | Bareword | Variable | String) if b.is_unary() => {
                *self.token_mut(at + 1) = c;
                self.end -= 3;
            }
            (Expression, Dot, Bareword) => {
                *self.token_mut(at + 1) = c;
                self.end -= 1;
            }
            // USER() is a function, USER(name) is not.
            (Function, LeftParens, after) if after != RightParens => {
                if a.is(b"USER") {
                    self.token_mut(at).kind = Bareword;
                }
                return false;
            }
            _ => return false,
        }
        true
    }
}

/// The first token of a phrase.
#[inline]
fn may_lead(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Keyword
            | Kind::Bareword
            | Kind::Operator
            | Kind::Union
            | Kind::Function
            | Kind::Expression
            | Kind::Tsql
            | Kind::SqlType
    )
}

/// The second token of a phrase.
#[inline]
fn may_follow(kind: Kind) -> bool {
    may_lead(kind) || kind == Kind::Logic
}

/// Names common enough for columns that are functions when called.
fn is_callable(token: &Token<'_>) -> bool {
    const NAMES: [&[u8]; 11] = [
        b"USER_ID",
        b"USER_NAME",
        b"DATABASE",
        b"PASSWORD",
        b"USER",
        b"CURRENT_USER",
        b"CURRENT_DATE",
        b"CURRENT_TIME",
        b"CURRENT_TIMESTAMP",
        b"LOCALTIME",
        b"LOCALTIMESTAMP",
    ];
    NAMES.iter().any(|name| token.is(name))
}
