//! The static pass: the crate's tree to ours. Every value gets a type; what has none is a mistake at its place.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

use super::error::Mistake;
use super::expression::Truth;
use super::field::Field;
use super::syntax::Tree;
use super::value::{List, Number, Sum, Text};
use super::{MAX_TERMS, compare, names};

/// A value and its type.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    /// True or false.
    Truth(Truth),
    Text(Text),
    Number(Number),
    /// The client's address.
    Address,
    /// A list of texts that is a value of the request.
    List(List),
    /// A list as it is written, with the places of its items.
    Items(Vec<(usize, Operand)>),
    /// Values under names, `request.headers`.
    Map(&'static str),
}

impl Operand {
    /// The type in words.
    pub(super) fn is(&self) -> &'static str {
        match self {
            Self::Truth(_) => "true or false",
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Address => "an address",
            Self::List(_) => "a list of texts",
            Self::Items(_) => "a list",
            Self::Map(_) => "a table of names",
        }
    }
}

/// Compiles a tree.
pub(super) fn compile(tree: &Tree<'_>) -> Result<Truth, Mistake> {
    Typing {
        tree,
        terms: 0,
        item: None,
    }
    .truth(&tree.root)
}

/// The pass.
pub(super) struct Typing<'a> {
    pub(super) tree: &'a Tree<'a>,
    terms: usize,
    /// The variable of the `exists` or `all` around.
    pub(super) item: Option<String>,
}

impl Typing<'_> {
    /// Counts one test.
    pub(super) fn term(&mut self, at: usize) -> Result<(), Mistake> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(
                Mistake::new(at, format!("the condition has more than {MAX_TERMS} tests"))
                    .help("put texts into a list: x in [\"a\", \"b\"]"),
            );
        }
        Ok(())
    }

    /// A node that must be true or false.
    pub(super) fn truth(&mut self, node: &IdedExpr) -> Result<Truth, Mistake> {
        match self.any(node)? {
            Operand::Truth(truth) => Ok(truth),
            other => truthful(self.tree.start(node), other),
        }
    }

    /// A node that must be a text.
    pub(super) fn text(&mut self, node: &IdedExpr, what: &str) -> Result<Text, Mistake> {
        match self.any(node)? {
            Operand::Text(text) => Ok(text),
            other => Err(Mistake::new(
                self.tree.start(node),
                format!("{what} must be a text, and this is {}", other.is()),
            )),
        }
    }

    /// A node that must be a text in quotes.
    pub(super) fn quoted(&self, node: &IdedExpr, what: &str) -> Result<String, Mistake> {
        match &node.expr {
            Expr::Literal(LiteralValue::String(text)) => Ok(text.inner().to_owned()),
            _ => Err(Mistake::new(
                self.tree.start(node),
                format!("{what} must be a text in quotes"),
            )),
        }
    }

    pub(super) fn any(&mut self, node: &IdedExpr) -> Result<Operand, Mistake> {
        // Not before it is needed: the beginning of a chain is as far away as the chain is long.
        let tree = self.tree;
        let start = || tree.start(node);
        let unused = |what: &str| {
            Err(Mistake::new(
                start(),
                format!("{what} have no use in a condition"),
            ))
        };
        match &node.expr {
            Expr::Literal(LiteralValue::Boolean(value)) => {
                self.term(self.tree.at(node))?;
                Ok(Operand::Truth(Truth::Constant(*value.inner())))
            }
            Expr::Literal(LiteralValue::String(text)) => {
                Ok(Operand::Text(Text::Literal(text.inner().into())))
            }
            Expr::Literal(LiteralValue::Int(number)) => {
                Ok(Operand::Number(Number::Literal(*number.inner())))
            }
            Expr::Literal(LiteralValue::UInt(_)) => unused("numbers with a `u`"),
            Expr::Literal(LiteralValue::Double(_)) => unused("numbers with a point"),
            Expr::Literal(LiteralValue::Bytes(_)) => unused("byte strings"),
            Expr::Literal(LiteralValue::Null) => {
                Err(Mistake::new(start(), "nothing is `null` here").help("ask with has(...)"))
            }
            Expr::Ident(name) if self.item.as_ref() == Some(name) => {
                Ok(Operand::Text(Text::Item(name.as_str().into())))
            }
            Expr::Ident(name) => names::named(start(), name),
            Expr::Select(select) => {
                if let Expr::Ident(group) = &select.operand.expr
                    && self.item.as_ref() != Some(group)
                {
                    return names::named(start(), &format!("{group}.{}", select.field));
                }
                match self.any(&select.operand)? {
                    Operand::Map(map) => self.field(node, map, &select.field),
                    other => Err(Mistake::new(
                        start(),
                        format!("{} has nothing named `{}`", other.is(), select.field),
                    )),
                }
            }
            Expr::List(list) => {
                let mut items = Vec::with_capacity(list.elements.len());
                for element in &list.elements {
                    items.push((self.tree.start(element), self.any(element)?));
                }
                Ok(Operand::Items(items))
            }
            Expr::Call(call) => self.call(node, call),
            Expr::Map(_) => unused("tables"),
            Expr::Struct(_) => unused("messages"),
            Expr::Comprehension(_) | Expr::Unspecified => {
                Err(Mistake::new(start(), "this cannot stand in a condition"))
            }
        }
    }

    fn field(&self, node: &IdedExpr, map: &str, key: &str) -> Result<Operand, Mistake> {
        let field: Field = names::keyed(self.tree.at(node), map, key)?;
        Ok(Operand::Text(Text::Field(field)))
    }

    /// `map["key"]`.
    pub(super) fn index(&mut self, of: &IdedExpr, key: &IdedExpr) -> Result<Operand, Mistake> {
        match self.any(of)? {
            Operand::Map(map) => {
                let text = self.quoted(key, "a key")?;
                self.field(key, map, &text)
            }
            other => {
                let at = self.tree.start(of);
                let what = self
                    .tree
                    .text
                    .get(at..self.tree.at(key))
                    .unwrap_or_default();
                let what = what.trim_end_matches(['[', ' ']);
                Err(
                    Mistake::new(at, format!("`{what}` is {} and takes no key", other.is()))
                        .help("for the items of a list write .exists(item, item == \"...\")"),
                )
            }
        }
    }

    /// All parts of a chain of the same sign, in order.
    pub(super) fn chain(&mut self, sign: &str, node: &IdedExpr) -> Result<Vec<Truth>, Mistake> {
        let mut parts = Vec::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            match &node.expr {
                Expr::Call(call) if call.func_name == sign && call.target.is_none() => {
                    open.extend(call.args.iter().rev());
                }
                _ => parts.push(self.truth(node)?),
            }
        }
        Ok(parts)
    }

    /// `a ? b : c`.
    pub(super) fn choice(&mut self, at: usize, args: [&IdedExpr; 3]) -> Result<Operand, Mistake> {
        let [truth, yes, no] = args;
        self.term(at)?;
        let truth = self.truth(truth)?;
        match (self.any(yes)?, self.any(no)?) {
            (Operand::Truth(yes), Operand::Truth(no)) => {
                Ok(Operand::Truth(Truth::Chosen(Box::new([truth, yes, no]))))
            }
            (Operand::Text(yes), Operand::Text(no)) => {
                Ok(Operand::Text(Text::Chosen(Box::new((truth, yes, no)))))
            }
            (Operand::Number(yes), Operand::Number(no)) => {
                Ok(Operand::Number(Number::Chosen(Box::new((truth, yes, no)))))
            }
            (yes, no) => Err(Mistake::new(
                at,
                format!("one side is {}, the other {}", yes.is(), no.is()),
            )
            .help("both sides of `:` must be texts, numbers, or true or false")),
        }
    }

    /// Arithmetic, and texts put together.
    pub(super) fn sum(
        &mut self,
        at: usize,
        sum: Sum,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Result<Operand, Mistake> {
        self.term(at)?;
        match (self.any(left)?, self.any(right)?) {
            (Operand::Number(left), Operand::Number(right)) => Number::folded(left, sum, right)
                .map(Operand::Number)
                .map_err(|fault| Mistake::new(at, fault.message())),
            (Operand::Text(left), Operand::Text(right)) if sum == Sum::Add => {
                Ok(Operand::Text(Text::Joined(Box::new([left, right]))))
            }
            (left, right) => {
                let (sign, left, right) = (sum.sign(), left.is(), right.is());
                let message = format!("`{sign}` has no meaning between {left} and {right}");
                Err(Mistake::new(at, message)
                    .help("int(text) makes a number of a text, string(number) a text of a number"))
            }
        }
    }

    /// Operators; none if it is a function.
    pub(super) fn operator(
        &mut self,
        node: &IdedExpr,
        sign: &str,
        args: &[IdedExpr],
    ) -> Result<Option<Operand>, Mistake> {
        let at = self.tree.at(node);
        if let Some(sum) = sum_of(sign)
            && let [left, right] = args
        {
            return self.sum(at, sum, left, right).map(Some);
        }
        if let Some(relation) = compare::relation(sign)
            && let [left, right] = args
        {
            self.term(at)?;
            let sides = [left, right];
            let (left, right) = (self.any(left)?, self.any(right)?);
            let sides = sides.map(|side| self.tree.start(side));
            let truth = compare::compare(at, (sides, left, right), relation)?;
            return Ok(Some(Operand::Truth(truth)));
        }
        Ok(Some(match (sign, args) {
            (operators::LOGICAL_AND, _) => Operand::Truth(Truth::All(self.chain(sign, node)?)),
            (operators::LOGICAL_OR, _) => Operand::Truth(Truth::Any(self.chain(sign, node)?)),
            (operators::LOGICAL_NOT, [inner]) => {
                let operand = self.any(inner)?;
                let inner = truthful(self.tree.start(inner), operand).map_err(|mistake| {
                    mistake.help("`!` binds tighter than `==` and `in`: write !(a in b), or a != b")
                })?;
                // The crate's parser drops a double `!` where it sees one, so it is dropped everywhere.
                Operand::Truth(match inner {
                    Truth::Not(inner) => *inner,
                    inner => Truth::Not(Box::new(inner)),
                })
            }
            (operators::NEGATE, [inner]) => match self.any(inner)? {
                Operand::Number(number) => {
                    self.term(at)?;
                    Operand::Number(Number::Negated(Box::new(number)))
                }
                other => {
                    let message = format!("`-` has no meaning before {}", other.is());
                    return Err(Mistake::new(at, message));
                }
            },
            (operators::CONDITIONAL, [truth, yes, no]) => self.choice(at, [truth, yes, no])?,
            (operators::INDEX, [of, key]) => self.index(of, key)?,
            _ => return Ok(None),
        }))
    }
}

/// The operand as something that is true or false.
fn truthful(at: usize, operand: Operand) -> Result<Truth, Mistake> {
    let help = match &operand {
        Operand::Truth(_) => "",
        Operand::Text(Text::Field(field)) if field.is_optional() => {
            "compare it with `==`, or ask whether it is there: has(...)"
        }
        Operand::Text(_) => "compare it with `==`, `!=` or `in`",
        Operand::Number(_) => "compare it: size(x) > 3",
        Operand::Address => "write client.ip in \"10.0.0.0/8\"",
        Operand::List(_) => "write \"tag\" in consumer.tags",
        Operand::Items(_) => "write VALUE in [...]",
        Operand::Map(_) => "write \"name\" in request.headers",
    };
    let message = format!("this is {}, and must be true or false", operand.is());
    match operand {
        Operand::Truth(truth) => Ok(truth),
        _ => Err(Mistake::new(at, message).help(help)),
    }
}

fn sum_of(sign: &str) -> Option<Sum> {
    Some(match sign {
        operators::ADD => Sum::Add,
        operators::SUBSTRACT => Sum::Subtract,
        operators::MULTIPLY => Sum::Multiply,
        operators::DIVIDE => Sum::Divide,
        operators::MODULO => Sum::Remain,
        _ => return None,
    })
}
