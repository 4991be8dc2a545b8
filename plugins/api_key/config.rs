//! The words of the `api_key` kind.

use std::sync::Arc;

use arc_swap::ArcSwap;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place, RelPath};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::{Credential, Services, Source};
use http::{HeaderName, HeaderValue, header};
use serde::Deserialize;

use super::consumers::{self, ConsumerConfig};
use super::filter::{ApiKeyFilter, Metrics};
use super::keys::Keys;

/// Largest file of consumers, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Most places where a key may stand.
const MAX_PLACES: usize = 8;

pub(super) const SCHEMA: &str = r##"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "from": {
      "type": "array", "items": { "type": "string", "pattern": "^(header|query|cookie):." }, "minItems": 1, "maxItems": 8,
      "default": ["header:x-api-key"],
      "description": "Where a key may stand: header:NAME, query:NAME or cookie:NAME. The first place that has one counts."
    },
    "consumers": { "type": "array", "items": { "$ref": "#/$defs/consumer" }, "description": "Who may pass." },
    "consumers_file": { "type": "string", "description": "A TOML file with more of them; read again when it changes." },
    "required": { "type": "boolean", "default": true, "description": "False: requests without a key pass, without a consumer." },
    "keep_credential": { "type": "boolean", "default": false, "description": "True: the origin gets the key, too." }
  },
  "$defs": {
    "consumer": {
      "type": "object",
      "additionalProperties": false,
      "required": ["name", "sha256"],
      "properties": {
        "name": { "type": "string", "minLength": 1, "maxLength": 200, "description": "Who it is; unique." },
        "sha256": {
          "type": "array", "items": { "type": "string", "pattern": "^[0-9A-Fa-f]{64}$" }, "minItems": 1, "maxItems": 2,
          "description": "The SHA-256 of the key, and of the one that replaces it."
        },
        "plan": { "type": "string", "minLength": 1, "maxLength": 64, "description": "The plan the consumer is on." },
        "tags": {
          "type": "array", "items": { "type": "string", "minLength": 1, "maxLength": 64 }, "maxItems": 16,
          "description": "Free words about the consumer."
        }
      }
    }
  }
}"##;

/// The table of an `api_key` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiKeyConfig {
    #[serde(default = "usual_place")]
    from: Located<Vec<Located<Source>>>,
    #[serde(default)]
    consumers: Vec<ConsumerConfig>,
    consumers_file: Option<Located<RelPath>>,
    #[serde(default = "yes")]
    required: bool,
    #[serde(default)]
    keep_credential: bool,
}

fn usual_place() -> Located<Vec<Located<Source>>> {
    let name = HeaderName::from_static("x-api-key");
    vec![Source::Header(name).into()].into()
}

fn yes() -> bool {
    true
}

impl ApiKeyConfig {
    /// Checks what the words mean together, and reads the file.
    pub(super) fn compile(
        self,
        place: &Place,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<ApiKeyFilter> {
        let before = diagnostics.error_count();
        let (sources, credentials) = check_places(&self.from, diagnostics);
        let inline = consumers::compile(&[&self.consumers], diagnostics);
        if self.consumers.is_empty() && self.consumers_file.is_none() && self.required {
            let warning = Diagnostic::warning(
                codes::IDLE,
                place,
                "nobody has a key: every request is refused",
            );
            diagnostics.push(warning.with_help("write consumers or consumers_file"));
        }
        if diagnostics.error_count() > before {
            return None;
        }
        let gauge = services.gauge("keys", "Keys that are known.");
        let count = move |keys: &Keys| gauge.set(i64::try_from(keys.len()).unwrap_or(i64::MAX));
        count(&inline);
        let keys = Arc::new(ArcSwap::from_pointee(inline));
        if let Some(file) = &self.consumers_file {
            let (inline, writer) = (self.consumers, Arc::clone(&keys));
            let parse = move |bytes: &[u8]| {
                let keys = consumers::read_file(&inline, bytes)?;
                count(&keys);
                writer.store(Arc::new(keys));
                Ok(())
            };
            if let Err(error) = services.watch_file(file.path(), MAX_FILE_BYTES, Box::new(parse)) {
                let text = format!("{}: {error}", file.path().display());
                let error = Diagnostic::error(codes::FILE, &file.place, text);
                let help = "a file of [[consumers]], each with name and sha256";
                diagnostics.push(error.with_help(help));
                return None;
            }
        }
        Some(ApiKeyFilter {
            challenge: challenge(&sources),
            sources,
            credentials,
            keys,
            required: self.required,
            keep_credential: self.keep_credential,
            metrics: Metrics::new(services),
        })
    }
}

fn check_places(
    from: &Located<Vec<Located<Source>>>,
    diagnostics: &mut Diagnostics,
) -> (Box<[Source]>, Box<[Credential]>) {
    let count = from.len();
    if !(1..=MAX_PLACES).contains(&count) {
        let text = format!("from holds {count} places; 1 to {MAX_PLACES} are possible");
        let error = Diagnostic::error(codes::VALUE, &from.place, text);
        diagnostics.push(error.with_help("write from = [\"header:x-api-key\"]"));
    }
    let mut credentials = Vec::new();
    for source in from.iter() {
        let Some(credential) = Credential::of(source) else {
            let text = format!("a key cannot stand in `{}`", source.value);
            let error = Diagnostic::error(codes::VALUE, &source.place, text);
            diagnostics.push(error.with_help("write header:NAME, query:NAME or cookie:NAME"));
            continue;
        };
        if let Credential::Header(name) = &credential
            && (farmgate_plugin_api::field::is_engine_field(name)
                || [header::HOST, header::COOKIE].contains(name))
        {
            let text = format!("a key cannot stand in the field `{name}`");
            let error = Diagnostic::error(codes::VALUE, &source.place, text);
            diagnostics
                .push(error.with_help("write header:x-api-key, or cookie:NAME for a cookie"));
        }
        if credentials.contains(&credential) {
            let text = format!("`{}` is written twice", source.value);
            let error = Diagnostic::error(codes::VALUE, &source.place, text);
            diagnostics.push(error.with_help("write it once"));
        }
        credentials.push(credential);
    }
    let sources = from.iter().map(|source| source.value.clone());
    (sources.collect(), credentials.into())
}

/// What a refusal tells about the way in (RFC 9110, section 11.6.1: a 401 has a challenge).
fn challenge(sources: &[Source]) -> HeaderValue {
    if sources.contains(&Source::Header(header::AUTHORIZATION)) {
        HeaderValue::from_static("Bearer")
    } else {
        HeaderValue::from_static("ApiKey")
    }
}
