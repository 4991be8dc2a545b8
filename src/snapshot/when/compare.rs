//! Comparisons: which of them have a meaning, and which one.

use std::net::IpAddr;

use cel::common::ast::operators;
use farmgate_plugin_api::units::Cidr;

use super::error::Mistake;
use super::expression::{Sign, Test, Truth};
use super::names;
use super::typing::Operand;
use super::value::{List, Number, Text};

/// A comparing sign, or `in`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Sign(Sign),
    In,
}

/// The relation of an operator of the crate; none for other operators.
pub(super) fn relation(operator: &str) -> Option<Relation> {
    Some(Relation::Sign(match operator {
        operators::EQUALS => Sign::Equal,
        operators::NOT_EQUALS => Sign::Differ,
        operators::LESS => Sign::Less,
        operators::LESS_EQUALS => Sign::AtMost,
        operators::GREATER => Sign::More,
        operators::GREATER_EQUALS => Sign::AtLeast,
        operators::IN => return Some(Relation::In),
        _ => return None,
    }))
}

/// Types a comparison; `at` is the place of the sign, `sides` those of the operands.
pub(super) fn compare(
    at: usize,
    (sides, left, right): ([usize; 2], Operand, Operand),
    relation: Relation,
) -> Result<Truth, Mistake> {
    match relation {
        Relation::In => within(at, sides, left, right),
        Relation::Sign(sign) => ordered(at, sides, left, sign, right),
    }
}

fn within(
    at: usize,
    [_, right_at]: [usize; 2],
    left: Operand,
    right: Operand,
) -> Result<Truth, Mistake> {
    match (left, right) {
        (Operand::Text(text), Operand::Items(items)) => {
            let texts = texts_of(items)?;
            let written: Option<Vec<Box<str>>> = texts
                .iter()
                .map(|text| match text {
                    Text::Literal(text) => Some(text.clone()),
                    _ => None,
                })
                .collect();
            Ok(match written {
                Some(written) => Truth::Test(text, Test::OneOf(written.into())),
                None => Truth::Within(text, List::Written(texts.into())),
            })
        }
        (Operand::Text(text), Operand::List(list)) => Ok(Truth::Within(text, list)),
        (Operand::Text(Text::Literal(key)), Operand::Map(map)) => {
            Ok(Truth::Has(names::keyed(at, map, &key)?))
        }
        (Operand::Text(_), Operand::Map(map)) => Err(Mistake::new(
            at,
            format!("what is looked for in `{map}` must be a name in quotes"),
        )),
        (Operand::Number(number), Operand::Items(items)) => {
            let numbers = items.into_iter().map(|(at, item)| match item {
                Operand::Number(number) => Ok(number),
                other => Err(mixed(at, "a number", &other)),
            });
            let numbers = numbers.collect::<Result<Vec<Number>, _>>()?;
            Ok(Truth::Among(number, numbers.into()))
        }
        (Operand::Address, Operand::Items(items)) => {
            let nets = items.into_iter().map(|(at, item)| match item {
                Operand::Text(Text::Literal(text)) => network(at, &text),
                other => Err(mixed(at, "a network in quotes", &other)),
            });
            Ok(Truth::Networks(nets.collect::<Result<_, _>>()?))
        }
        (Operand::Address, Operand::Text(Text::Literal(item))) => {
            Ok(Truth::Networks([network(right_at, &item)?].into()))
        }
        (left, right) => Err(wrong_in(at, &left, &right)),
    }
}

fn ordered(
    at: usize,
    [left_at, right_at]: [usize; 2],
    left: Operand,
    sign: Sign,
    right: Operand,
) -> Result<Truth, Mistake> {
    let equal = sign == Sign::Equal;
    let equality = equal || sign == Sign::Differ;
    match (left, right) {
        (Operand::Text(left), Operand::Text(right)) => Ok(Truth::Texts(left, sign, right)),
        (Operand::Number(left), Operand::Number(right)) => Ok(Truth::Numbers(left, sign, right)),
        (Operand::Truth(left), Operand::Truth(right)) if equality => {
            Ok(Truth::Same(Box::new([left, right]), equal))
        }
        (Operand::Address, Operand::Text(Text::Literal(text))) if equality => {
            address(right_at, &text, equal)
        }
        (Operand::Text(Text::Literal(text)), Operand::Address) if equality => {
            address(left_at, &text, equal)
        }
        (left, right) => Err(wrong_sign(at, &left, sign, &right)),
    }
}

/// The items of a list of texts.
pub(super) fn texts_of(items: Vec<(usize, Operand)>) -> Result<Vec<Text>, Mistake> {
    let texts = items.into_iter().map(|(at, item)| match item {
        Operand::Text(text) => Ok(text),
        other => Err(mixed(at, "a text", &other)),
    });
    texts.collect()
}

fn mixed(at: usize, wanted: &str, found: &Operand) -> Mistake {
    Mistake::new(
        at,
        format!(
            "{wanted} is expected in this list, and this is {}",
            found.is()
        ),
    )
}

fn address(at: usize, text: &str, equal: bool) -> Result<Truth, Mistake> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(Truth::Address(address.to_canonical(), equal)),
        Err(_) => {
            let mistake = Mistake::new(at, format!("{text:?} is no IP address"));
            Err(match text.contains('/') {
                true => mistake.help("for a network write `in` instead of `==`"),
                false => mistake,
            })
        }
    }
}

fn wrong_in(at: usize, left: &Operand, right: &Operand) -> Mistake {
    let message = format!("{} cannot be `in` {}", left.is(), right.is());
    let help = match (left, right) {
        (Operand::Text(_), Operand::Text(_)) => {
            "for a part of a text write .contains(\"...\"); for one of several [\"a\", \"b\"]"
        }
        (Operand::Text(_), Operand::Address) => "write client.ip in \"10.0.0.0/8\"",
        (Operand::Truth(_), _) => "put the comparison in parentheses: !(a in b)",
        _ => "write TEXT in [\"a\", \"b\"], TEXT in consumer.tags, client.ip in [\"10.0.0.0/8\"]",
    };
    Mistake::new(at, message).help(help)
}

fn wrong_sign(at: usize, left: &Operand, sign: Sign, right: &Operand) -> Mistake {
    let (sign, of, with) = (sign.text(), left.is(), right.is());
    let message = format!("{of} cannot be compared with {with} by `{sign}`");
    let help = match (left, right) {
        (Operand::Truth(_), _) | (_, Operand::Truth(_)) => {
            "comparisons are joined with `&&`; instead of `x == true` write `x`"
        }
        (Operand::Text(_), Operand::Number(_)) | (Operand::Number(_), Operand::Text(_)) => {
            "int(text) makes a number of a text, size(text) is its length; a text stands in quotes"
        }
        (Operand::List(_), _) | (_, Operand::List(_)) => "write \"tag\" in consumer.tags",
        (Operand::Items(_), _) | (_, Operand::Items(_)) => "with a list write `in`",
        (Operand::Map(_), _) | (_, Operand::Map(_)) => "write request.headers[\"name\"]",
        _ => "compare client.ip with an address in quotes",
    };
    Mistake::new(at, message).help(help)
}

/// `10.0.0.0/8`, or one address.
fn network(at: usize, text: &str) -> Result<Cidr, Mistake> {
    let network: Cidr = text.parse().map_err(|error: String| {
        let (message, help) = error.split_once('\n').unwrap_or((&error, ""));
        Mistake::new(at, message).help(help)
    })?;
    // Clients behind IPv4-mapped addresses count as IPv4: the network must, too.
    Ok(
        match (
            network.addr().to_canonical(),
            network.prefix().checked_sub(96),
        ) {
            (mapped @ IpAddr::V4(_), Some(prefix)) if network.addr().is_ipv6() => {
                Cidr::containing(mapped, prefix)
            }
            _ => network,
        },
    )
}
