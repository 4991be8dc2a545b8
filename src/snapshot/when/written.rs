//! The compiled condition as text.

use std::fmt::{Display, Formatter, Result};

use super::expression::{Test, Truth};
use super::literal::Quoted;
use super::value::{List, Number, Sum, Text};

/// How tightly the outermost sign binds, as in CEL.
const CHOICE: u8 = 0;
const OR: u8 = 1;
const AND: u8 = 2;
const RELATION: u8 = 3;
const ADDITION: u8 = 4;
const PRODUCT: u8 = 5;
const UNARY: u8 = 6;

/// Something that may need parentheses inside something else.
trait Part: Display {
    fn strength(&self) -> u8;
}

impl Part for Truth {
    fn strength(&self) -> u8 {
        match self {
            Self::Chosen(_) => CHOICE,
            Self::Any(_) => OR,
            Self::All(_) => AND,
            Self::Same(..) | Self::Texts(..) | Self::Numbers(..) | Self::Among(..) => RELATION,
            Self::Address(..) | Self::Networks(_) | Self::Within(..) => RELATION,
            Self::Test(_, Test::OneOf(_)) => RELATION,
            Self::Constant(_) | Self::Not(_) | Self::Test(..) | Self::Has(_) => UNARY,
            Self::Each(..) => UNARY,
        }
    }
}

impl Part for Text {
    fn strength(&self) -> u8 {
        match self {
            Self::Chosen(_) => CHOICE,
            Self::Joined(_) => ADDITION,
            Self::Field(_) | Self::Literal(_) | Self::Item(_) => UNARY,
            Self::Lower(_) | Self::Digits(_) => UNARY,
        }
    }
}

impl Part for Number {
    fn strength(&self) -> u8 {
        match self {
            Self::Chosen(_) => CHOICE,
            Self::Sum(_, Sum::Add | Sum::Subtract, _) => ADDITION,
            Self::Sum(..) => PRODUCT,
            Self::Literal(_) | Self::Size(_) | Self::Count(_) => UNARY,
            Self::Parsed(_) | Self::Negated(_) => UNARY,
        }
    }
}

/// A part, in parentheses if it binds less than the number says.
struct Within<'a, P>(&'a P, u8);

impl<P: Part> Display for Within<'_, P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0.strength() < self.1 {
            true => write!(f, "({})", self.0),
            false => self.0.fmt(f),
        }
    }
}

fn joined<P: Part>(f: &mut Formatter<'_>, parts: &[P], sign: &str, strength: u8) -> Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(sign)?;
        }
        Within(part, strength).fmt(f)?;
    }
    Ok(())
}

fn chosen(f: &mut Formatter<'_>, truth: &Truth, yes: &impl Part, no: &impl Part) -> Result {
    let (truth, yes, no) = (Within(truth, OR), Within(yes, OR), Within(no, OR));
    write!(f, "{truth} ? {yes} : {no}")
}

fn listed(f: &mut Formatter<'_>, items: impl Iterator<Item = impl Display>) -> Result {
    f.write_str("[")?;
    for (at, item) in items.enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        write!(f, "{comma}{item}")?;
    }
    f.write_str("]")
}

impl Display for List {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Tags => f.write_str("consumer.tags"),
            Self::Sans => f.write_str("client.sans"),
            Self::Written(texts) => listed(f, texts.iter()),
        }
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Field(field) => field.fmt(f),
            Self::Literal(text) => Quoted(text).fmt(f),
            Self::Item(name) => f.write_str(name),
            Self::Joined(parts) => {
                let [first, second] = &**parts;
                let (first, second) = (Within(first, ADDITION), Within(second, PRODUCT));
                write!(f, "{first} + {second}")
            }
            Self::Chosen(parts) => chosen(f, &parts.0, &parts.1, &parts.2),
            Self::Lower(text) => write!(f, "{}.lowerAscii()", Within(&**text, UNARY)),
            Self::Digits(number) => write!(f, "string({number})"),
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Literal(number) => number.fmt(f),
            Self::Size(text) => write!(f, "size({text})"),
            Self::Count(list) => write!(f, "size({list})"),
            Self::Parsed(text) => write!(f, "int({text})"),
            Self::Negated(number) => write!(f, "-({number})"),
            Self::Sum(left, sum, right) => {
                let strength = self.strength();
                let (left, right) = (Within(&**left, strength), Within(&**right, strength + 1));
                write!(f, "{left} {} {right}", sum.sign())
            }
            Self::Chosen(parts) => chosen(f, &parts.0, &parts.1, &parts.2),
        }
    }
}

impl Display for Truth {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let sign = |equal: bool| if equal { "==" } else { "!=" };
        match self {
            Self::Constant(value) => value.fmt(f),
            Self::Not(inner) => write!(f, "!{}", Within(&**inner, UNARY)),
            Self::All(parts) => joined(f, parts, " && ", RELATION),
            Self::Any(parts) => joined(f, parts, " || ", AND),
            Self::Chosen(parts) => {
                let [truth, yes, no] = &**parts;
                chosen(f, truth, yes, no)
            }
            Self::Same(parts, same) => {
                let [left, right] = &**parts;
                let (left, right) = (Within(left, ADDITION), Within(right, ADDITION));
                write!(f, "{left} {} {right}", sign(*same))
            }
            Self::Texts(left, sign, right) => {
                let (left, right) = (Within(left, ADDITION), Within(right, ADDITION));
                write!(f, "{left} {} {right}", sign.text())
            }
            Self::Numbers(left, sign, right) => {
                let (left, right) = (Within(left, ADDITION), Within(right, ADDITION));
                write!(f, "{left} {} {right}", sign.text())
            }
            Self::Test(text, test) => tested(f, text, test),
            Self::Address(address, equal) => {
                write!(f, "client.ip {} \"{address}\"", sign(*equal))
            }
            Self::Networks(networks) => {
                f.write_str("client.ip in ")?;
                listed(f, networks.iter().map(|network| format!("\"{network}\"")))
            }
            Self::Within(text, list) => write!(f, "{} in {list}", Within(text, ADDITION)),
            Self::Among(number, numbers) => {
                write!(f, "{} in ", Within(number, ADDITION))?;
                listed(f, numbers.iter())
            }
            Self::Has(field) => write!(f, "has({field})"),
            Self::Each(each, name, list, of) => {
                write!(f, "{list}.{}({name}, {of})", each.name())
            }
        }
    }
}

fn tested(f: &mut Formatter<'_>, text: &Text, test: &Test) -> Result {
    let value = Within(text, UNARY);
    match test {
        Test::StartsWith(with) => write!(f, "{value}.startsWith({with})"),
        Test::EndsWith(with) => write!(f, "{value}.endsWith({with})"),
        Test::Contains(part) => write!(f, "{value}.contains({part})"),
        Test::Finds(finder) => {
            let part = String::from_utf8_lossy(finder.needle());
            write!(f, "{value}.contains({})", Quoted(&part))
        }
        Test::Matches(regex) => write!(f, "{value}.matches({})", Quoted(regex.as_str())),
        Test::OneOf(texts) => {
            write!(f, "{} in ", Within(text, ADDITION))?;
            listed(f, texts.iter().map(|text| Quoted(text)))
        }
    }
}
