//! Text to condition: recursive descent over the grammar of CEL that is supported.
//!
//! ```text
//! any      = all { "||" all }
//! all      = relation { "&&" relation }
//! relation = unary [ ( "==" | "!=" | "in" ) unary ]
//! unary    = { "!" } member
//! member   = primary { "." METHOD "(" TEXT ")" }
//! primary  = TEXT | "true" | "false" | "(" any ")" | "[" TEXT { "," TEXT } "]"
//!          | "has" "(" NAME ")" | NAME
//! NAME     = WORD "." WORD [ "[" TEXT "]" ]
//! ```

use super::error::{Mistake, WhenError};
use super::expression::Expression;
use super::field::Field;
use super::lexer::{Placed, Token, tokens};
use super::operand::{Compare, Operand, compare, member, truth};
use super::{MAX_BYTES, MAX_DEPTH, MAX_TERMS, names};

/// Compiles a condition.
pub(super) fn parse(text: &str) -> Result<Expression, WhenError> {
    parse_text(text).map_err(|mistake| mistake.in_text(text))
}

fn parse_text(text: &str) -> Result<Expression, Mistake> {
    if text.len() > MAX_BYTES {
        let length = text.len();
        return Err(Mistake::new(
            MAX_BYTES,
            format!("the condition has {length} bytes; {MAX_BYTES} are allowed"),
        ));
    }
    let mut parser = Parser {
        tokens: tokens(text)?.into_iter().peekable(),
        depth: 0,
        terms: 0,
    };
    let at = parser.at();
    if *parser.peek() == Token::End {
        return Err(Mistake::new(0, "the condition is empty").help("leave `when` out instead"));
    }
    let operand = parser.any()?;
    let expression = truth(at, operand)?;
    match parser.next() {
        (_, Token::End) => Ok(expression),
        (at, Token::Sign(")")) => Err(Mistake::new(at, "there is no `(` for this `)`")),
        (at, Token::Word(word)) if matches!(&*word, "and" | "or" | "not") => {
            Err(words_for_signs(at, &word))
        }
        (at, token) => Err(Mistake::new(at, format!("{} is too much", shown(&token)))
            .help("join tests with `&&` or `||`")),
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Placed>>,
    depth: usize,
    terms: usize,
}

const END: Token = Token::End;

impl Parser {
    fn peek(&mut self) -> &Token {
        self.tokens.peek().map_or(&END, |(_, token)| token)
    }

    /// Where the next token begins.
    fn at(&mut self) -> usize {
        self.tokens.peek().map_or(0, |(at, _)| *at)
    }

    /// The next token; the end is never passed.
    fn next(&mut self) -> Placed {
        let at = self.at();
        match self.peek() {
            Token::End => (at, Token::End),
            _ => self.tokens.next().unwrap_or((at, Token::End)),
        }
    }

    fn takes(&mut self, sign: &str) -> bool {
        let there = matches!(self.peek(), Token::Sign(found) if *found == sign);
        if there {
            self.next();
        }
        there
    }

    fn sign(&mut self, sign: &str) -> Result<(), Mistake> {
        if self.takes(sign) {
            return Ok(());
        }
        let (at, token) = self.next();
        Err(Mistake::new(
            at,
            format!("`{sign}` is missing before {}", shown(&token)),
        ))
    }

    fn text(&mut self, what: &str) -> Result<(usize, String), Mistake> {
        match self.next() {
            (at, Token::Text(text)) => Ok((at, text)),
            (at, token) => Err(Mistake::new(
                at,
                format!("{what} must be a text in quotes, not {}", shown(&token)),
            )),
        }
    }

    /// Counts one test.
    fn term(&mut self, at: usize) -> Result<(), Mistake> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(
                Mistake::new(at, format!("the condition has more than {MAX_TERMS} tests"))
                    .help("put texts into a list: x in [\"a\", \"b\"]"),
            );
        }
        Ok(())
    }

    fn deeper(&mut self, at: usize) -> Result<(), Mistake> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Mistake::new(
                at,
                format!("the condition is nested deeper than {MAX_DEPTH}"),
            ));
        }
        Ok(())
    }

    fn any(&mut self) -> Result<Operand, Mistake> {
        self.joined("||", Self::all, Expression::Any)
    }

    fn all(&mut self) -> Result<Operand, Mistake> {
        self.joined("&&", Self::relation, Expression::All)
    }

    fn joined(
        &mut self,
        sign: &str,
        part: fn(&mut Self) -> Result<Operand, Mistake>,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Result<Operand, Mistake> {
        let at = self.at();
        let first = part(self)?;
        if !matches!(self.peek(), Token::Sign(found) if *found == sign) {
            return Ok(first);
        }
        let mut parts = vec![truth(at, first)?];
        while self.takes(sign) {
            let at = self.at();
            let next = part(self)?;
            parts.push(truth(at, next)?);
        }
        Ok(Operand::Truth(join(parts)))
    }

    fn comparison(&mut self) -> Option<Compare> {
        match self.peek() {
            Token::Sign("==") => Some(Compare::Equal),
            Token::Sign("!=") => Some(Compare::Differ),
            Token::Word(word) if word == "in" => Some(Compare::In),
            _ => None,
        }
    }

    fn relation(&mut self) -> Result<Operand, Mistake> {
        let left = (self.at(), self.unary()?);
        let Some(sign) = self.comparison() else {
            return Ok(left.1);
        };
        let (at, _) = self.next();
        let right = (self.at(), self.unary()?);
        if self.comparison().is_some() {
            return Err(Mistake::new(self.at(), "comparisons cannot be chained")
                .help("join them with `&&`"));
        }
        self.term(at)?;
        compare(at, left, sign, right).map(Operand::Truth)
    }

    fn unary(&mut self) -> Result<Operand, Mistake> {
        let at = self.at();
        if !self.takes("!") {
            return self.member();
        }
        self.deeper(at)?;
        let inner_at = self.at();
        let inner = self.unary()?;
        self.depth -= 1;
        let inner = truth(inner_at, inner).map_err(|mistake| {
            let help = "`!` binds tighter than `==` and `in`: write !(a in b), or a != b";
            mistake.help(help)
        })?;
        Ok(Operand::Truth(Expression::Not(Box::new(inner))))
    }

    fn member(&mut self) -> Result<Operand, Mistake> {
        let at = self.at();
        let mut operand = self.primary()?;
        while self.takes(".") {
            let (method_at, method) = match self.next() {
                (at, Token::Word(word)) => (at, word),
                (at, token) => {
                    return Err(Mistake::new(
                        at,
                        format!("a method must follow the `.`, not {}", shown(&token)),
                    ));
                }
            };
            names::check_method(method_at, &method)?;
            self.sign("(")?;
            let argument = self.text("what a method is given")?;
            self.sign(")")?;
            self.term(method_at)?;
            operand = Operand::Truth(member(at, operand, &method, argument)?);
        }
        Ok(operand)
    }

    fn primary(&mut self) -> Result<Operand, Mistake> {
        match self.next() {
            (_, Token::Text(text)) => Ok(Operand::literal(&text)),
            (at, Token::Sign("(")) => {
                self.deeper(at)?;
                let inner = self.any()?;
                self.depth -= 1;
                self.sign(")")?;
                Ok(inner)
            }
            (_, Token::Sign("[")) => self.list(),
            (at, Token::Word(word)) => match &*word {
                "true" | "false" => {
                    self.term(at)?;
                    Ok(Operand::Truth(Expression::Constant(word == "true")))
                }
                "has" => self.has(at),
                "and" | "or" | "not" => Err(words_for_signs(at, &word)),
                _ => self.name(at, word),
            },
            (at, Token::End) => Err(Mistake::new(at, "the condition ends too early")),
            (at, token) => Err(Mistake::new(
                at,
                format!("{} cannot stand here", shown(&token)),
            )),
        }
    }

    fn list(&mut self) -> Result<Operand, Mistake> {
        let mut items = Vec::new();
        while !self.takes("]") {
            items.push(self.text("what stands in a list")?);
            if !self.takes(",") {
                self.sign("]")?;
                break;
            }
        }
        Ok(Operand::List(items))
    }

    fn has(&mut self, at: usize) -> Result<Operand, Mistake> {
        self.sign("(")?;
        let inner_at = self.at();
        let inner = self.primary()?;
        self.sign(")")?;
        self.term(at)?;
        match inner.into_field() {
            Some(field) if field.is_optional() => Ok(Operand::Truth(Expression::Has(field))),
            Some(field) => Err(Mistake::new(inner_at, format!("every request has `{field}`"))),
            None => Err(Mistake::new(
                inner_at,
                "`has` asks for a header field, query parameter, cookie or the consumer's name or plan",
            )
            .help("has(request.headers[\"x-name\"])")),
        }
    }

    /// `request.path`, `request.headers["x"]`.
    fn name(&mut self, at: usize, first: String) -> Result<Operand, Mistake> {
        let mut name = first;
        if self.takes(".") {
            match self.next() {
                (_, Token::Word(second)) => name = format!("{name}.{second}"),
                (at, token) => {
                    return Err(Mistake::new(
                        at,
                        format!("a name must follow `{name}.`, not {}", shown(&token)),
                    ));
                }
            }
        }
        let keyed = names::is_keyed(&name);
        if !keyed {
            let called = matches!(self.peek(), Token::Sign("("));
            let known = names::plain(at, &name, called)?;
            if matches!(self.peek(), Token::Sign("[")) {
                return Err(Mistake::new(self.at(), format!("`{name}` takes no key")));
            }
            return Ok(known);
        }
        if !self.takes("[") {
            return Err(Mistake::new(self.at(), format!("`{name}` needs a key"))
                .help(format!("write {name}[\"name\"]")));
        }
        let (key_at, key) = self.text("a key")?;
        self.sign("]")?;
        let field: Field = names::keyed(key_at, &name, &key)?;
        Ok(Operand::field(field))
    }
}

fn words_for_signs(at: usize, word: &str) -> Mistake {
    let sign = match word {
        "and" => "&&",
        "or" => "||",
        _ => "!",
    };
    Mistake::new(at, format!("`{word}` is written `{sign}`"))
}

/// A token as messages show it.
fn shown(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("`{word}`"),
        Token::Text(_) => "a text".to_owned(),
        Token::Sign(sign) => format!("`{sign}`"),
        Token::End => "the end".to_owned(),
    }
}
