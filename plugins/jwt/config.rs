//! The words of the `jwt` kind.

use std::collections::BTreeMap;
use std::fmt;

use farmgate_plugin_api::Source;
use farmgate_plugin_api::decode::{Located, RelPath, Secret};
use farmgate_plugin_api::units::{Duration, Size};
use farmgate_plugin_api::words::RequestField;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::algorithm::Algorithm;
use super::claims::Scalar;

/// The table of a `jwt` plugin.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JwtConfig {
    pub(super) providers: Located<Vec<Located<ProviderConfig>>>,
    pub(super) from: Option<Located<Vec<Located<Source>>>>,
    #[serde(default)]
    pub(super) claims_to_headers: Located<BTreeMap<String, Located<RequestField>>>,
    #[serde(default)]
    pub(super) consumer: Option<ConsumerConfig>,
    #[serde(default)]
    pub(super) required_claims: Located<Vec<Located<String>>>,
    #[serde(default)]
    pub(super) claims: Located<BTreeMap<String, Located<Values>>>,
    #[serde(default)]
    pub(super) scopes: Located<Vec<Located<String>>>,
    #[serde(default)]
    pub(super) optional: bool,
    #[serde(default)]
    pub(super) keep_credential: bool,
    pub(super) max_token: Option<Located<Size>>,
    pub(super) wait: Option<Located<Duration>>,
    pub(super) cache: Option<Located<u32>>,
    pub(super) realm: Option<Located<String>>,
}

/// Which claims name the consumer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsumerConfig {
    pub(super) name: Option<Located<String>>,
    pub(super) plan: Option<Located<String>>,
    pub(super) tags: Option<Located<String>>,
}

/// Who may have issued a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderConfig {
    pub(super) issuer: Located<String>,
    pub(super) audiences: Located<Vec<Located<String>>>,
    pub(super) algorithms: Option<Located<Vec<Located<Algorithm>>>>,
    pub(super) jwks: Option<Located<JwksConfig>>,
    pub(super) secret: Option<Located<Secret>>,
    pub(super) leeway: Option<Located<Duration>>,
    #[serde(default)]
    pub(super) types: Located<Vec<Located<String>>>,
    pub(super) require_exp: Option<bool>,
    #[serde(default)]
    pub(super) consumer_prefix: Located<String>,
}

/// Where a provider's public keys are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JwksConfig {
    pub(super) url: Option<Located<String>>,
    pub(super) discovery: Option<Located<bool>>,
    pub(super) file: Option<Located<RelPath>>,
    pub(super) inline: Option<Located<String>>,
    pub(super) upstream: Option<Located<String>>,
    pub(super) insecure_http: Option<Located<bool>>,
    pub(super) refresh: Option<Located<Duration>>,
    pub(super) stale: Option<Located<Duration>>,
    pub(super) refetch: Option<Located<Duration>>,
    pub(super) timeout: Option<Located<Duration>>,
}

/// One value of a claim, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Values(pub(super) Vec<Scalar>);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneValue)
    }
}

struct OneValue;

impl Visitor<'_> for OneValue {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, an integer or a boolean")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Integer(number))
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Scalar, E> {
        Ok(Scalar::Boolean(truth))
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, an integer, a boolean, or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Values, E> {
                OneValue.visit_str(text).map(|one| Values(vec![one]))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Values, E> {
                OneValue.visit_i64(number).map(|one| Values(vec![one]))
            }

            fn visit_bool<E: Error>(self, truth: bool) -> Result<Values, E> {
                OneValue.visit_bool(truth).map(|one| Values(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Values, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = items.next_element()? {
                    all.push(one);
                }
                Ok(Values(all))
            }
        }
        deserializer.deserialize_any(Forms)
    }
}
