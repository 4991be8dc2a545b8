//! What stands at the sides of a comparison, and which comparisons have a meaning.

use std::net::IpAddr;

use farmgate_plugin_api::units::Cidr;
use memchr::memmem::Finder;
use regex::bytes::RegexBuilder;

use super::error::Mistake;
use super::expression::{Expression, Test, Text};
use super::field::Field;

/// The most memory one compiled regex may take.
const REGEX_BYTES: usize = 1 << 20;

/// A value and its type.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    /// True or false.
    Truth(Expression),
    /// A text.
    Text(Text),
    /// The client's address.
    Address,
    /// The consumer's tags.
    Tags,
    /// A list of texts with their places.
    List(Vec<(usize, String)>),
}

/// An operand and where it begins.
pub(super) type PlacedOperand = (usize, Operand);

/// The comparing signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    Differ,
    In,
}

impl Operand {
    pub(super) fn literal(text: &str) -> Self {
        Self::Text(Text::Literal(text.into()))
    }

    pub(super) fn field(field: Field) -> Self {
        Self::Text(Text::Field(field))
    }

    /// The value of the request that this is, if it is one.
    pub(super) fn into_field(self) -> Option<Field> {
        match self {
            Self::Text(Text::Field(field)) => Some(field),
            _ => None,
        }
    }

    fn is(&self) -> &'static str {
        match self {
            Self::Truth(_) => "true or false",
            Self::Text(_) => "a text",
            Self::Address => "an address",
            Self::Tags => "a list of tags",
            Self::List(_) => "a list",
        }
    }
}

/// The operand as something that is true or false.
pub(super) fn truth(at: usize, operand: Operand) -> Result<Expression, Mistake> {
    let help = match &operand {
        Operand::Truth(_) => "",
        Operand::Text(Text::Field(field)) if field.is_optional() => {
            "compare it with `==`, or ask whether it is there: has(...)"
        }
        Operand::Text(_) => "compare it with `==`, `!=` or `in`",
        Operand::Address => "write client.ip in \"10.0.0.0/8\"",
        Operand::Tags => "write \"tag\" in consumer.tags",
        Operand::List(_) => "write VALUE in [...]",
    };
    let message = format!("this is {}, and must be true or false", operand.is());
    match operand {
        Operand::Truth(expression) => Ok(expression),
        _ => Err(Mistake::new(at, message).help(help)),
    }
}

/// Types a comparison; `at` is the place of the sign.
pub(super) fn compare(
    at: usize,
    left: PlacedOperand,
    sign: Compare,
    right: PlacedOperand,
) -> Result<Expression, Mistake> {
    use Operand::{Address, List, Tags, Text as T};
    let equal = sign == Compare::Equal;
    match (left, sign, right) {
        ((_, T(text)), Compare::In, (_, List(items))) => {
            let items = items.into_iter().map(|(_, item)| item.into()).collect();
            Ok(Expression::Test(text, Test::OneOf(items)))
        }
        ((_, T(text)), Compare::In, (_, Tags)) => Ok(Expression::Tag(text)),
        ((_, Address), Compare::In, (_, List(items))) => {
            let nets = items.iter().map(|(at, item)| network(*at, item));
            Ok(Expression::Networks(nets.collect::<Result<_, _>>()?))
        }
        ((_, Address), Compare::In, (at, T(Text::Literal(item)))) => {
            Ok(Expression::Networks([network(at, &item)?].into()))
        }
        ((_, T(left)), Compare::Equal | Compare::Differ, (_, T(right))) => {
            Ok(Expression::Equal(left, right, equal))
        }
        ((_, Address), Compare::Equal | Compare::Differ, (at, T(Text::Literal(text))))
        | ((at, T(Text::Literal(text))), Compare::Equal | Compare::Differ, (_, Address)) => {
            match text.parse::<IpAddr>() {
                Ok(address) => Ok(Expression::Address(address.to_canonical(), equal)),
                Err(_) => {
                    let mistake = Mistake::new(at, format!("{text:?} is no IP address"));
                    Err(match text.contains('/') {
                        true => mistake.help("for a network write `in` instead of `==`"),
                        false => mistake,
                    })
                }
            }
        }
        (left, Compare::In, right) => Err(wrong_in(at, &left.1, &right.1)),
        (left, Compare::Equal | Compare::Differ, right) => Err(wrong_equal(at, &left.1, &right.1)),
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

fn wrong_equal(at: usize, left: &Operand, right: &Operand) -> Mistake {
    let message = format!("{} cannot be compared with {}", left.is(), right.is());
    let help = match (left, right) {
        (Operand::Truth(_), _) | (_, Operand::Truth(_)) => {
            "only texts are compared; instead of `x == true` write `x`, instead of `x == false` `!x`"
        }
        (Operand::Tags, _) | (_, Operand::Tags) => "write \"tag\" in consumer.tags",
        (Operand::List(_), _) | (_, Operand::List(_)) => "with a list write `in`",
        _ => "compare client.ip with an address in quotes",
    };
    Mistake::new(at, message).help(help)
}

/// Types a call of `method` on the operand at `at`.
pub(super) fn member(
    at: usize,
    operand: Operand,
    method: &str,
    (argument_at, argument): (usize, String),
) -> Result<Expression, Mistake> {
    let text = match operand {
        Operand::Text(text) => text,
        other => {
            let mistake = Mistake::new(at, format!("{} has no methods", other.is()));
            return Err(match other {
                Operand::Address => mistake.help("write client.ip in \"10.0.0.0/8\""),
                _ => mistake,
            });
        }
    };
    let test = match method {
        "startsWith" => Test::StartsWith(argument.into()),
        "endsWith" => Test::EndsWith(argument.into()),
        "contains" => Test::Contains(Box::new(Finder::new(&argument).into_owned())),
        _ => {
            let regex = RegexBuilder::new(&argument).size_limit(REGEX_BYTES).build();
            Test::Matches(regex.map_err(|error| {
                let text = error.to_string();
                let line = text.lines().next_back().unwrap_or_default();
                let why = line.trim().trim_start_matches("error: ");
                Mistake::new(argument_at, format!("this is no regex: {why}"))
            })?)
        }
    };
    Ok(Expression::Test(text, test))
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
