//! The words of the `hmac` kind.

use std::sync::Arc;

use base64::Engine;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Secret};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::list::OneOrMany;
use farmgate_plugin_api::services::Kept;
use farmgate_plugin_api::units::{Duration, Size};
use farmgate_plugin_api::{Consumer, Credential, Services};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::NAME;
use super::filter::{HmacFilter, Metrics, Repeats};
use super::scheme::{GenericConfig, Scheme, SchemeName};
use super::seen::{MOST, Seen};
use super::sign::{BASE64, Signer};

/// Most secrets: the one in use and those it replaces or that replace it.
const MAX_SECRETS: usize = 4;
/// A secret of fewer bytes can be guessed from one signature.
const FEW_BYTES: usize = 16;
/// Bytes of a secret of Standard Webhooks.
const STANDARD_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// What such a secret begins with; the rest is base64.
const STANDARD_PREFIX: &str = "whsec_";
const MAX_TOLERANCE: Duration = Duration::from_secs(86_400);
/// Longest body, in bytes: 64 MiB.
const MOST_BODY: u64 = 64 << 20;
const LEAST_SEEN: u32 = 100;
const MOST_SEEN: u32 = 1_000_000;
/// Longest name of a consumer, in bytes.
const MAX_NAME_BYTES: usize = 200;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["scheme", "secrets"],
  "properties": {
    "scheme": { "enum": ["standard_webhooks", "github", "stripe", "generic"], "description": "Who signs, or generic for what the table of that name says." },
    "secrets": {
      "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 4 }],
      "description": "The secret, as ${NAME} or file:PATH, or several while one replaces another."
    },
    "generic": {
      "type": "object",
      "additionalProperties": false,
      "required": ["header"],
      "properties": {
        "header": { "type": "string", "description": "The field of the signature." },
        "algorithm": { "enum": ["sha256", "sha512"], "default": "sha256", "description": "The hash below the signature." },
        "encoding": { "enum": ["hex", "base64"], "default": "hex", "description": "How the signature is written." },
        "prefix": { "type": "string", "maxLength": 256, "default": "", "description": "What stands before the signature." },
        "timestamp": { "type": "string", "description": "The field of the time, in seconds since 1970." },
        "id": { "type": "string", "description": "The field of the id; needs timestamp." },
        "signed": { "type": "string", "maxLength": 256, "default": "{body}", "description": "What is signed: text, {timestamp}, {id} and {body}." }
      },
      "description": "Where everything stands, with scheme generic."
    },
    "tolerance": { "type": "string", "default": "5m", "description": "How far the time of a request may be from ours, to either side; 1s to 1d." },
    "max_body": { "type": "string", "default": "1MiB", "description": "Longest body; a longer one is answered with 413. At most 64MiB." },
    "max_seen": { "type": "integer", "minimum": 100, "maximum": 1000000, "default": 100000, "description": "Requests that are known if they come again." },
    "repeats": { "enum": ["refuse", "confirm"], "default": "refuse", "description": "What follows when a request comes again: 403, or 204 without asking the origin." },
    "consumer": { "type": "string", "minLength": 1, "maxLength": 200, "description": "The consumer of verified requests; without it the plugin's name." },
    "keep_credential": { "type": "boolean", "default": false, "description": "True: the origin gets the signature, too." }
  }
}"#;

/// The table of a `hmac` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HmacConfig {
    scheme: Located<SchemeName>,
    secrets: Located<OneOrMany<Located<Secret>>>,
    generic: Option<Located<GenericConfig>>,
    tolerance: Option<Located<Duration>>,
    #[serde(default = "usual_body")]
    max_body: Located<Size>,
    max_seen: Option<Located<u32>>,
    repeats: Option<Located<Repeats>>,
    consumer: Option<Located<String>>,
    #[serde(default)]
    keep_credential: bool,
}

fn usual_body() -> Located<Size> {
    Size::mib(1).into()
}

impl HmacConfig {
    /// Checks what the words mean together.
    pub(super) fn compile(
        mut self,
        name: &str,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<HmacFilter> {
        let before = diagnostics.error_count();
        let scheme = self.scheme(diagnostics);
        if let Some(scheme) = &scheme {
            self.check_window(scheme, diagnostics);
        }
        self.check_numbers(diagnostics);
        let consumer = self.consumer.as_ref().map_or(name, |name| name.as_str());
        if !(1..=MAX_NAME_BYTES).contains(&consumer.len()) || consumer.chars().any(char::is_control)
        {
            let place = self
                .consumer
                .as_ref()
                .map_or(&self.scheme.place, |name| &name.place);
            let error =
                Diagnostic::error(codes::VALUE, place, "this cannot be the name of a consumer");
            let help = format!("1 to {MAX_NAME_BYTES} bytes without control characters");
            diagnostics.push(error.with_help(help));
        }
        let scheme = scheme?;
        let secrets = self.secrets(&scheme, diagnostics);
        if diagnostics.error_count() > before {
            return None;
        }
        let seen = match scheme.has_time() {
            true => {
                let mut make = || Arc::new(Seen::default()) as Arc<dyn Kept>;
                Some(services.kept("seen", &mut make).downcast().ok()?)
            }
            false => None,
        };
        let max_seen = self.max_seen.map_or(100_000, |seen| seen.value);
        Some(HmacFilter {
            credentials: [Credential::Header(scheme.signature.clone())],
            scheme: Arc::new(scheme),
            secrets: secrets.into(),
            tolerance: self
                .tolerance
                .map_or(Duration::from_secs(300), |time| time.value)
                .get(),
            max_body: self.max_body.bytes(),
            seen,
            max_seen: usize::try_from(max_seen).unwrap_or(MOST),
            repeats: self
                .repeats
                .map_or(Repeats::Refuse, |repeats| repeats.value),
            consumer: Consumer {
                name: consumer.into(),
                by: NAME,
                ..Consumer::default()
            },
            keep_credential: self.keep_credential,
            clock: services.clock(),
            offload: services.offloader(),
            metrics: Metrics::new(services),
        })
    }

    fn scheme(&mut self, diagnostics: &mut Diagnostics) -> Option<Scheme> {
        let generic = self.generic.take();
        let scheme = match (self.scheme.value, &generic) {
            (SchemeName::Generic, None) => {
                let text = "scheme generic needs a table that says where everything stands";
                let error = Diagnostic::error(codes::OPTIONS, &self.scheme.place, text);
                diagnostics.push(error.with_help("write generic = { header = \"x-signature\" }"));
                return None;
            }
            (SchemeName::Generic, Some(generic)) => {
                return generic.value.clone().compile(&generic.place, diagnostics);
            }
            (SchemeName::StandardWebhooks, _) => Scheme::standard_webhooks(),
            (SchemeName::Github, _) => Scheme::github(),
            (SchemeName::Stripe, _) => Scheme::stripe(),
        };
        if let Some(generic) = generic {
            let error = Diagnostic::error(
                codes::OPTIONS,
                &generic.place,
                "this table goes with scheme generic only",
            );
            diagnostics.push(error.with_help("remove it, or write scheme = \"generic\""));
        }
        Some(scheme)
    }

    /// Words about time mean nothing where none is signed.
    fn check_window(&self, scheme: &Scheme, diagnostics: &mut Diagnostics) {
        if scheme.has_time() {
            return;
        }
        let written = [
            ("tolerance", self.tolerance.as_ref().map(|word| &word.place)),
            ("max_seen", self.max_seen.as_ref().map(|word| &word.place)),
            ("repeats", self.repeats.as_ref().map(|word| &word.place)),
        ];
        for (word, place) in written {
            if let Some(place) = place {
                let text = format!(
                    "{word} means nothing here: no time is signed, so what comes again cannot be told"
                );
                let error = Diagnostic::error(codes::OPTIONS, place, text);
                diagnostics.push(error.with_help("remove it"));
            }
        }
    }

    fn check_numbers(&self, diagnostics: &mut Diagnostics) {
        let mut wrong = |place, text: String, help: &str| {
            let error = Diagnostic::error(codes::VALUE, place, text);
            diagnostics.push(error.with_help(help));
        };
        if let Some(time) = &self.tolerance
            && !(Duration::from_secs(1)..=MAX_TOLERANCE).contains(&time.value)
        {
            let text = format!("tolerance is from 1s to {MAX_TOLERANCE}");
            wrong(&time.place, text, "write tolerance = \"5m\"");
        }
        if !(1..=MOST_BODY).contains(&self.max_body.bytes()) {
            let text = "max_body is from 1B to 64MiB".to_owned();
            wrong(&self.max_body.place, text, "write max_body = \"1MiB\"");
        }
        if let Some(seen) = &self.max_seen
            && !(LEAST_SEEN..=MOST_SEEN).contains(&seen.value)
        {
            let text = format!("max_seen is from {LEAST_SEEN} to {MOST_SEEN}");
            wrong(&seen.place, text, "write max_seen = 100000");
        }
    }

    fn secrets(&self, scheme: &Scheme, diagnostics: &mut Diagnostics) -> Vec<Signer> {
        let count = self.secrets.0.len();
        if !(1..=MAX_SECRETS).contains(&count) {
            let text = format!("secrets holds {count} secrets; 1 to {MAX_SECRETS} are possible");
            let error = Diagnostic::error(codes::VALUE, &self.secrets.place, text);
            diagnostics
                .push(error.with_help("write secrets = \"${NAME}\" or secrets = \"file:PATH\""));
        }
        let mut signers = Vec::new();
        for secret in &self.secrets.0 {
            let key = match self.scheme.value {
                SchemeName::StandardWebhooks => standard_key(secret),
                SchemeName::Github | SchemeName::Stripe | SchemeName::Generic => plain_key(secret),
            };
            match key {
                Err((text, help)) => {
                    let error = Diagnostic::error(codes::VALUE, &secret.place, text);
                    diagnostics.push(error.with_help(help));
                }
                Ok(key) => {
                    if key.len() < FEW_BYTES {
                        let text = format!(
                            "a secret of fewer than {FEW_BYTES} bytes can be guessed from one signature"
                        );
                        let warning = Diagnostic::warning(codes::VALUE, &secret.place, text);
                        diagnostics.push(
                            warning.with_help("let the sender have one of `openssl rand -hex 32`"),
                        );
                    }
                    signers.extend(Signer::new(scheme.algorithm, &key));
                }
            }
        }
        signers
    }
}

type Key = Result<Zeroizing<Vec<u8>>, (&'static str, &'static str)>;

/// The text itself.
fn plain_key(secret: &Secret) -> Key {
    match secret.reveal() {
        "" => Err((
            "the secret is empty",
            "is the variable set, or the file written?",
        )),
        text => Ok(Zeroizing::new(text.as_bytes().to_vec())),
    }
}

/// What stands in base64 behind the prefix.
fn standard_key(secret: &Secret) -> Key {
    let text = secret.reveal();
    let text = text.strip_prefix(STANDARD_PREFIX).unwrap_or(text);
    let help = "write it as the sender shows it: `whsec_` and base64 of 24 to 64 bytes";
    let key = BASE64.decode(text).map(Zeroizing::new);
    match key {
        Ok(key) if STANDARD_BYTES.contains(&key.len()) => Ok(key),
        Ok(_) => Err(("the secret does not have 24 to 64 bytes", help)),
        Err(_) => Err(("the secret is not base64", help)),
    }
}
