//! The words of the `experiment` kind.

use std::collections::BTreeMap;

use bytes::Bytes;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place, Secret};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::units::{Cidr, Duration, Ratio};
use farmgate_plugin_api::words::RequestField;
use farmgate_plugin_api::{Credential, Services, Source};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::cohort::Cohorts;
use super::filter::{ExperimentFilter, Metrics, Variant};
use super::force::Force;
use super::visitor::Visitor;

const MOST_VARIANTS: usize = 16;
const MOST_WEIGHT: u32 = 1_000_000;
const MOST_NAME: usize = 64;
const MOST_SALT: usize = 128;
const MOST_CIDRS: usize = 64;
/// Shorter secrets are guessed.
const SHORTEST_SECRET: usize = 16;
/// Browsers keep no cookie for longer.
const LONGEST_COOKIE_MS: u64 = 400 * 86_400_000;
const DEFAULT_COOKIE: Duration = Duration::from_secs(90 * 86_400);
const DEFAULT_HEADER: HeaderName = HeaderName::from_static("x-experiment");

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["variants"],
  "properties": {
    "variants": {
      "type": "object", "minProperties": 1, "maxProperties": 16,
      "additionalProperties": { "type": "integer", "minimum": 0, "maximum": 1000000 },
      "description": "The variants by name, with their weights."
    },
    "key": { "type": "string", "description": "The source whose values are shared out: the same value, the same variant." },
    "cookie": {
      "type": "object",
      "additionalProperties": false,
      "required": ["name"],
      "description": "Tells visitors without the key again.",
      "properties": {
        "name": { "type": "string", "description": "The cookie's name." },
        "max_age": { "type": "string", "default": "90d", "description": "How long browsers keep it: 1s to 400d." }
      }
    },
    "share": { "type": "string", "default": "100%", "description": "The part of all keys that takes part." },
    "salt": { "type": "string", "description": "What the hash begins with; without it the plugin's name." },
    "header": { "type": "string", "default": "x-experiment", "description": "The request field that tells the variant; it is removed from what clients send." },
    "force": {
      "type": "object",
      "additionalProperties": false,
      "required": ["header"],
      "description": "Lets testers choose their variant.",
      "properties": {
        "header": { "type": "string", "description": "The request field in which they name it; it never reaches the upstream." },
        "cidrs": { "type": "array", "items": { "type": "string" }, "maxItems": 64, "description": "Who may: clients from these networks." },
        "secret": { "type": "string", "description": "Who may: clients that write this after the name and a space; 16 bytes or more." }
      }
    }
  }
}"#;

/// The table of an `experiment` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExperimentConfig {
    variants: Located<BTreeMap<String, Located<u32>>>,
    key: Option<Source>,
    cookie: Option<CookieConfig>,
    share: Option<Located<Ratio>>,
    salt: Option<Located<String>>,
    header: Option<RequestField>,
    force: Option<ForceConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CookieConfig {
    name: Located<String>,
    max_age: Option<Located<Duration>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForceConfig {
    header: Located<RequestField>,
    #[serde(default)]
    cidrs: Located<Vec<Cidr>>,
    secret: Option<Located<Secret>>,
}

impl ExperimentConfig {
    /// Checks what the words mean together.
    pub(super) fn compile(
        self,
        name: &str,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<ExperimentFilter> {
        let before = diagnostics.error_count();
        check_variants(&self.variants, diagnostics);
        if self.key.is_none() && self.cookie.is_none() {
            let text = "nothing tells one client from another";
            let error = Diagnostic::error(codes::OPTIONS, &self.variants.place, text);
            let help =
                "write key = \"header:x-user\" or the like, or cookie = { name = \"visitor\" }";
            diagnostics.push(error.with_help(help));
        }
        let share = match &self.share {
            None => Ratio::percent(100),
            Some(share) => {
                if share.value.millionths() == 0 {
                    let text = "an experiment in which nobody takes part does nothing";
                    diagnostics.push(Diagnostic::warning(codes::IDLE, &share.place, text));
                }
                share.value
            }
        };
        let salt = match &self.salt {
            None => name,
            Some(salt) => {
                if salt.value.is_empty()
                    || salt.value.len() > MOST_SALT
                    || salt.value.contains('\0')
                {
                    let text = format!("salt has 1 to {MOST_SALT} bytes, none of them zero");
                    diagnostics.error(codes::VALUE, &salt.place, text);
                }
                &*salt.value
            }
        };
        let visitor = self
            .cookie
            .map(|cookie| compile_cookie(cookie, diagnostics));
        let header = self.header.map_or(DEFAULT_HEADER, HeaderName::from);
        let (force, credentials) = match self.force {
            None => (None, Vec::new()),
            Some(force) => compile_force(force, &header, diagnostics),
        };
        if diagnostics.error_count() > before {
            return None;
        }
        let weights = &self.variants.value;
        let shares = weights.iter().map(|(name, weight)| (&**name, weight.value));
        let variants = weights.keys().map(|variant| compile_variant(name, variant));
        Some(ExperimentFilter {
            cohorts: Cohorts::new(salt, share.millionths(), shares),
            variants: variants.collect::<Option<_>>()?,
            key: self.key,
            visitor,
            header: [header],
            force,
            credentials,
            random: services.random(),
            metrics: metrics(services),
        })
    }
}

fn check_variants(
    variants: &Located<BTreeMap<String, Located<u32>>>,
    diagnostics: &mut Diagnostics,
) {
    let have = variants.len();
    if have == 0 || have > MOST_VARIANTS {
        let text = format!("there are {have} variants; 1 to {MOST_VARIANTS} are possible");
        diagnostics.error(codes::VALUE, &variants.place, text);
    }
    for (name, weight) in &variants.value {
        check_name(name, &weight.place, diagnostics);
        if weight.value > MOST_WEIGHT {
            let text = format!("a weight is from 0 to {MOST_WEIGHT}");
            diagnostics.error(codes::VALUE, &weight.place, text);
        }
    }
    if have > 0 && variants.values().all(|weight| weight.value == 0) {
        let text = "no variant has a weight above 0";
        diagnostics.error(codes::VALUE, &variants.place, text);
    }
}

fn check_name(name: &str, place: &Place, diagnostics: &mut Diagnostics) {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > MOST_NAME || !name.bytes().all(legal) {
        let error = Diagnostic::error(codes::VALUE, place, "this cannot be the name of a variant");
        let help = "use 1 to 64 letters, digits, - _ and .";
        diagnostics.push(error.with_help(help));
    }
}

fn compile_variant(experiment: &str, name: &str) -> Option<Variant> {
    let bytes = Bytes::copy_from_slice(name.as_bytes());
    // The first clone makes the bytes shared; later ones, on the request path, only count.
    drop(bytes.clone());
    Some(Variant {
        name: name.into(),
        value: HeaderValue::from_maybe_shared(bytes).ok()?,
        note: format!("experiment {experiment}: {name}").into(),
        forced_note: format!("experiment {experiment}: {name}, as a tester asked").into(),
    })
}

fn compile_cookie(cookie: CookieConfig, diagnostics: &mut Diagnostics) -> Visitor {
    let name = &cookie.name;
    if HeaderName::from_bytes(name.value.as_bytes()).is_err() {
        let error = Diagnostic::error(
            codes::VALUE,
            &name.place,
            "this cannot be the name of a cookie",
        );
        diagnostics.push(error.with_help("use letters, digits, - and _"));
    }
    let max_age = match &cookie.max_age {
        None => DEFAULT_COOKIE,
        Some(max_age) => {
            if !(1000..=LONGEST_COOKIE_MS).contains(&max_age.value.as_ms()) {
                let text = "max_age is from 1s to 400d";
                diagnostics.error(codes::VALUE, &max_age.place, text);
            }
            max_age.value
        }
    };
    Visitor {
        name: cookie.name.value.into(),
        max_age_s: max_age.as_ms() / 1000,
    }
}

fn compile_force(
    force: ForceConfig,
    header: &HeaderName,
    diagnostics: &mut Diagnostics,
) -> (Option<Force>, Vec<Credential>) {
    let place = &force.header.place;
    let name = force.header.value.0;
    if name == *header {
        let error = Diagnostic::error(
            codes::OPTIONS,
            place,
            "testers cannot ask in the field that tells the variant: it is removed from what clients send",
        );
        diagnostics.push(error.with_help("take another field"));
    }
    if force.cidrs.is_empty() && force.secret.is_none() {
        let text = "nobody may choose a variant here";
        let error = Diagnostic::error(codes::OPTIONS, place, text);
        diagnostics.push(error.with_help("write cidrs or secret"));
    }
    if force.cidrs.len() > MOST_CIDRS {
        let text = format!(
            "cidrs holds {}; {MOST_CIDRS} are possible",
            force.cidrs.len()
        );
        diagnostics.error(codes::VALUE, &force.cidrs.place, text);
    }
    if let Some(secret) = &force.secret
        && secret.reveal().len() < SHORTEST_SECRET
    {
        let text = format!("this secret is shorter than {SHORTEST_SECRET} bytes");
        let error = Diagnostic::error(codes::VALUE, &secret.place, text);
        diagnostics.push(error.with_help("make one with `openssl rand -hex 16`"));
    }
    let credential = Credential::Header(name.clone());
    let credentials = force.secret.iter().map(|_| credential.clone()).collect();
    let force = Force {
        header: name,
        cidrs: force.cidrs.value.into(),
        secret: force.secret.map(|secret| secret.value),
    };
    (Some(force), credentials)
}

fn metrics(services: &dyn Services) -> Metrics {
    Metrics {
        assigned: services.counter_by(
            "assigned",
            "Requests by the variant that they belong to.",
            "variant",
            MOST_VARIANTS,
        ),
        forced: services.counter_by(
            "forced",
            "Requests of testers by the variant that they asked for.",
            "variant",
            MOST_VARIANTS,
        ),
        outside: services.counter("outside", "Requests that take no part."),
        no_key: services.counter(
            "no_key",
            "Requests without the key, and without a cookie to be.",
        ),
        visitors: services.counter("visitors", "Cookies that were set."),
        not_forced: services.counter(
            "not_forced",
            "Requests that asked for a variant and may not, or for one that is not there.",
        ),
    }
}
