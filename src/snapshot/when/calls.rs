//! Functions and methods: their arguments, and what they come to.

use cel::common::ast::{CallExpr, Expr, IdedExpr};
use memchr::memmem::Finder;
use regex::bytes::RegexBuilder;

use super::compare::texts_of;
use super::error::Mistake;
use super::expression::{Each, Test, Truth};
use super::names;
use super::typing::{Operand, Typing};
use super::value::{List, Number, Text};

/// The most memory one compiled regex may take.
const REGEX_BYTES: usize = 1 << 20;

impl Typing<'_> {
    /// An operator, a function or a method.
    pub(super) fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Result<Operand, Mistake> {
        if let Some(target) = &call.target {
            return self.method(node, call, target);
        }
        if let Some(operand) = self.operator(node, &call.func_name, &call.args)? {
            return Ok(operand);
        }
        let at = self.tree.name_of(node, call);
        let name = call.func_name.as_str();
        if !names::FUNCTIONS.contains(&name) {
            return Err(names::no_function(at, name));
        }
        let [argument] = call.args.as_slice() else {
            return Err(count(at, name, 1, call.args.len()));
        };
        self.term(at)?;
        match name {
            "has" => self.has(argument),
            "size" => self.size(argument),
            "int" => match self.any(argument)? {
                Operand::Text(text) => Ok(Operand::Number(Number::Parsed(Box::new(text)))),
                other => Err(wrong(self.tree.start(argument), "int", "a text", &other)),
            },
            _ => match self.any(argument)? {
                Operand::Number(number) => Ok(Operand::Text(Text::Digits(Box::new(number)))),
                other => Err(wrong(
                    self.tree.start(argument),
                    "string",
                    "a number",
                    &other,
                )),
            },
        }
    }

    fn has(&mut self, argument: &IdedExpr) -> Result<Operand, Mistake> {
        let at = self.tree.start(argument);
        match self.any(argument)? {
            Operand::Text(Text::Field(field)) if field.is_optional() => {
                Ok(Operand::Truth(Truth::Has(field)))
            }
            Operand::Text(Text::Field(field)) => {
                Err(Mistake::new(at, format!("every request has `{field}`")))
            }
            _ => Err(Mistake::new(
                at,
                "`has` asks for a header field, query parameter, cookie, what TLS or a certificate says, \
                 or the consumer's name or plan",
            )
            .help("has(request.headers[\"x-name\"])")),
        }
    }

    fn size(&mut self, of: &IdedExpr) -> Result<Operand, Mistake> {
        Ok(Operand::Number(match self.any(of)? {
            Operand::Text(text) => Number::Size(Box::new(text)),
            Operand::List(list) => Number::Count(list),
            other => {
                return Err(wrong(
                    self.tree.start(of),
                    "size",
                    "a text or a list",
                    &other,
                ));
            }
        }))
    }

    fn method(
        &mut self,
        node: &IdedExpr,
        call: &CallExpr,
        target: &IdedExpr,
    ) -> Result<Operand, Mistake> {
        let at = self.tree.name_of(node, call);
        let name = call.func_name.as_str();
        if !names::METHODS.contains(&name) {
            return Err(names::no_method(at, name));
        }
        let wanted = match name {
            "size" | "lowerAscii" => 0,
            "exists" | "all" | "exists_one" => 2,
            _ => 1,
        };
        if call.args.len() != wanted {
            return Err(count(at, name, wanted, call.args.len()));
        }
        self.term(at)?;
        if name == "size" {
            return self.size(target);
        }
        if let [item, test] = call.args.as_slice() {
            return self.each(at, name, target, (item, test));
        }
        let text = match self.any(target)? {
            Operand::Text(text) => text,
            other => {
                let message = format!("{} has no method `.{name}`", other.is());
                let mistake = Mistake::new(self.tree.start(target), message);
                return Err(match other {
                    Operand::Address => mistake.help("write client.ip in \"10.0.0.0/8\""),
                    Operand::List(_) => mistake.help("write .exists(item, item == \"...\")"),
                    _ => mistake,
                });
            }
        };
        let [argument] = call.args.as_slice() else {
            return Ok(Operand::Text(Text::Lower(Box::new(text))));
        };
        let what = "what a method is given";
        let test = match name {
            "startsWith" => Test::StartsWith(self.text(argument, what)?),
            "endsWith" => Test::EndsWith(self.text(argument, what)?),
            "contains" => match self.text(argument, what)? {
                Text::Literal(part) => Test::Finds(Box::new(Finder::new(&*part).into_owned())),
                part => Test::Contains(part),
            },
            _ => self.regex(argument)?,
        };
        Ok(Operand::Truth(Truth::Test(text, test)))
    }

    fn regex(&self, argument: &IdedExpr) -> Result<Test, Mistake> {
        let text = self.quoted(argument, "a regex")?;
        let regex = RegexBuilder::new(&text).size_limit(REGEX_BYTES).build();
        regex.map(Test::Matches).map_err(|error| {
            let text = error.to_string();
            let line = text.lines().next_back().unwrap_or_default();
            let why = line.trim().trim_start_matches("error: ");
            Mistake::new(
                self.tree.start(argument),
                format!("this is no regex: {why}"),
            )
        })
    }

    /// `list.exists(item, test)` and the like.
    fn each(
        &mut self,
        at: usize,
        name: &str,
        target: &IdedExpr,
        (item, test): (&IdedExpr, &IdedExpr),
    ) -> Result<Operand, Mistake> {
        let each = match name {
            "exists" => Each::Exists,
            "all" => Each::All,
            _ => Each::ExistsOne,
        };
        if self.item.is_some() {
            let message = format!("`.{name}` cannot stand in the test of another one");
            return Err(Mistake::new(at, message));
        }
        let list = match self.any(target)? {
            Operand::List(list) => list,
            Operand::Items(items) => List::Written(texts_of(items)?.into()),
            other => {
                let message = format!("`.{name}` needs a list, and this is {}", other.is());
                return Err(Mistake::new(self.tree.start(target), message)
                    .help("lists are consumer.tags, client.sans and [\"a\", \"b\"]"));
            }
        };
        let Expr::Ident(variable) = &item.expr else {
            return Err(Mistake::new(
                self.tree.start(item),
                format!("the first argument of `.{name}` names the item"),
            )
            .help(format!(".{name}(item, item.startsWith(\"x\"))")));
        };
        self.item = Some(variable.clone());
        let truth = self.truth(test)?;
        self.item = None;
        Ok(Operand::Truth(Truth::Each(
            each,
            variable.as_str().into(),
            list,
            Box::new(truth),
        )))
    }
}

fn count(at: usize, name: &str, wanted: usize, found: usize) -> Mistake {
    let s = if wanted == 1 { "" } else { "s" };
    let message = format!("`{name}` takes {wanted} argument{s}, and {found} are given");
    let help = match name {
        "has" => "has(request.headers[\"x-name\"])",
        "exists" | "all" | "exists_one" => "consumer.tags.exists(tag, tag.startsWith(\"eu-\"))",
        _ => "",
    };
    Mistake::new(at, message).help(help)
}

fn wrong(at: usize, function: &str, wanted: &str, found: &Operand) -> Mistake {
    let message = format!("`{function}` takes {wanted}, and this is {}", found.is());
    Mistake::new(at, message)
}
