//! Where a route goes: one upstream, or several by weight.

use std::fmt;

use farmgate_plugin_api::decode::Located;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// Most sides of a weighted upstream.
const MAX_SIDES: usize = 64;

/// The upstreams of a route with their weights; one entry for the plain form. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteUpstreams(pub Vec<UpstreamShare>);

/// One side of a weighted upstream.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamShare {
    /// Name of the upstream.
    #[schemars(with = "String")]
    pub name: Located<String>,
    /// Share of the requests relative to the other sides. Default 1.
    #[serde(default = "one")]
    #[schemars(with = "u32", range(max = 1_000_000))]
    pub weight: Located<u32>,
}

fn one() -> Located<u32> {
    1.into()
}

impl<'de> Deserialize<'de> for RouteUpstreams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = RouteUpstreams;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an upstream's name or a list [{ name = \"app\", weight = 90 }, { name = \"new\", weight = 10 }]",
                )
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<RouteUpstreams, E> {
                Ok(RouteUpstreams(vec![UpstreamShare {
                    name: Located::here(text.to_owned()),
                    weight: one(),
                }]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RouteUpstreams, A::Error> {
                let mut sides = Vec::new();
                while let Some(side) = seq.next_element::<UpstreamShare>()? {
                    if sides.len() == MAX_SIDES {
                        return Err(A::Error::custom(format!(
                            "more than {MAX_SIDES} upstreams in one route"
                        )));
                    }
                    sides.push(side);
                }
                if sides.is_empty() {
                    return Err(A::Error::custom("the list names no upstream"));
                }
                Ok(RouteUpstreams(sides))
            }
        }
        deserializer.deserialize_any(Form)
    }
}
