//! The words of the `mirror` kind.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::units::{Duration, Ratio, Size};
use farmgate_plugin_api::words::RequestField;
use http::{HeaderName, Method, header};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::filter::MirrorFilter;
use super::json_path::{JsonPath, MAX_STEPS, Paths};
use super::places::{Flights, Memory};
use super::redact::Redaction;
use super::send::{Metrics, Sender, dropped};

const DEFAULT_MAX_BODY: Size = Size::mib(1);
const MOST_MAX_BODY: Size = Size::mib(64);
const DEFAULT_MAX_MEMORY: Size = Size::mib(64);
const MOST_MAX_MEMORY: Size = Size::mib(4096);
const DEFAULT_MAX_IN_FLIGHT: u32 = 64;
const MOST_MAX_IN_FLIGHT: u32 = 1_024;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_TIMEOUT: Duration = Duration::from_secs(120);
/// Most entries of a list.
const MAX_LIST: usize = 64;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["upstream"],
  "properties": {
    "upstream": { "type": "string", "description": "The upstream that gets the copies." },
    "share": { "type": "string", "default": "100%", "description": "The share of requests that are mirrored." },
    "methods": { "type": "array", "items": { "type": "string" }, "maxItems": 64, "default": ["GET", "HEAD"], "description": "Methods of requests that are mirrored." },
    "max_body": { "type": "string", "default": "1MiB", "description": "A request with a larger body is not mirrored, and counted; at most 64MiB." },
    "max_memory": { "type": "string", "default": "64MiB", "description": "Bytes of bodies held for copies, of all requests together; at least max_body, at most 4096MiB." },
    "max_in_flight": { "type": "integer", "minimum": 1, "maximum": 1024, "default": 64, "description": "Copies on their way at once; more are dropped and counted." },
    "timeout": { "type": "string", "default": "10s", "description": "How long a copy may take, answer included; at most 2m." },
    "redact": {
      "type": "object", "additionalProperties": false,
      "properties": {
        "headers": { "type": "array", "items": { "type": "string" }, "maxItems": 64, "default": ["authorization", "cookie", "proxy-authorization"], "description": "Request fields that are left out." },
        "query": { "type": "array", "items": { "type": "string" }, "maxItems": 64, "description": "Query parameters that are left out." },
        "json": { "type": "array", "items": { "type": "string" }, "maxItems": 64, "description": "Paths of values in JSON bodies that become \"***\"." },
        "other_bodies": { "enum": ["send", "drop"], "default": "send", "description": "With json: what becomes of requests whose body is no JSON." }
      },
      "description": "What never leaves."
    }
  }
}"#;

/// The table of a `mirror` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MirrorConfig {
    upstream: Located<String>,
    share: Option<Located<Ratio>>,
    methods: Option<Located<Vec<Located<MethodName>>>>,
    max_body: Option<Located<Size>>,
    max_memory: Option<Located<Size>>,
    max_in_flight: Option<Located<u32>>,
    timeout: Option<Located<Duration>>,
    #[serde(default)]
    redact: RedactConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RedactConfig {
    headers: Option<Located<Vec<RequestField>>>,
    query: Option<Located<Vec<String>>>,
    json: Option<Located<Vec<Located<JsonPath>>>>,
    #[serde(default)]
    other_bodies: OtherBodies,
}

/// What becomes of bodies that are no JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OtherBodies {
    #[default]
    Send,
    Drop,
}

/// A method that can be mirrored.
#[derive(Clone, Debug)]
struct MethodName(Method);

impl<'de> Deserialize<'de> for MethodName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let upper = text.bytes().all(|byte| !byte.is_ascii_lowercase());
        match Method::from_bytes(text.as_bytes()) {
            Ok(Method::CONNECT) => Err(D::Error::custom(
                "CONNECT cannot be mirrored\nleave it out: what follows it is no request",
            )),
            Ok(method) if upper => Ok(Self(method)),
            _ => Err(D::Error::custom(format_args!(
                "`{text}` is no method\nwrite methods in capitals, as \"POST\""
            ))),
        }
    }
}

impl MirrorConfig {
    /// Checks what the words mean together.
    pub(super) fn compile(
        self,
        place: &Place,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<MirrorFilter> {
        let before = diagnostics.error_count();
        let share = self.share.map_or(Ratio::percent(100), |share| share.value);
        let methods = match self.methods {
            Some(methods) => {
                check_list("methods", &methods, diagnostics);
                methods.value.into_iter().map(|name| name.value.0).collect()
            }
            None => vec![Method::GET, Method::HEAD],
        };
        if methods.is_empty() || share == Ratio::percent(0) {
            let warning = Diagnostic::warning(codes::IDLE, place, "this plugin mirrors nothing");
            diagnostics.push(warning.with_help("write a share above 0% and a method"));
        }
        let max_body = check_size(
            "max_body",
            self.max_body.as_ref(),
            DEFAULT_MAX_BODY,
            MOST_MAX_BODY,
            diagnostics,
        );
        let max_memory = check_size(
            "max_memory",
            self.max_memory.as_ref(),
            DEFAULT_MAX_MEMORY.max(max_body),
            MOST_MAX_MEMORY,
            diagnostics,
        );
        if max_memory < max_body
            && let Some(written) = &self.max_memory
        {
            let text = format!("max_memory holds less than one body of max_body ({max_body})");
            diagnostics.error(codes::VALUE, &written.place, text);
        }
        let max_in_flight = check_in_flight(self.max_in_flight, diagnostics);
        let timeout = self.timeout.as_ref().map_or(DEFAULT_TIMEOUT, |t| t.value);
        if let Some(written) = &self.timeout
            && (timeout.is_zero() || timeout > MOST_TIMEOUT)
        {
            let text = format!("timeout is above 0s and at most {MOST_TIMEOUT}");
            diagnostics.error(codes::VALUE, &written.place, text);
        }
        let redaction = self.redact.compile(diagnostics);
        let client = match services.upstream_client(&self.upstream.value) {
            Ok(client) => Some(client),
            Err(error) => {
                diagnostics.error(codes::VALUE, &self.upstream.place, error);
                None
            }
        };
        let client = client.filter(|_| diagnostics.error_count() == before)?;
        let sender = Sender {
            client,
            background: services.background(),
            offload: services.offloader(),
            timeout: timeout.get(),
            flights: Arc::new(Flights {
                most: max_in_flight,
                count: AtomicUsize::new(0),
                gauge: services.gauge("in_flight", "Copies on their way."),
            }),
            redaction: Arc::new(redaction),
            metrics: Metrics {
                sent: services.counter("sent", "Copies that were answered, whatever the status."),
                failed: services
                    .counter("failed", "Copies that were not answered whole and in time."),
                dropped: services.counter_by(
                    "dropped",
                    "Requests that were chosen and not mirrored.",
                    "reason",
                    dropped::COUNT,
                ),
            },
        };
        Some(MirrorFilter {
            upstream: [self.upstream.value.into()],
            share,
            methods: methods.into(),
            max_body: bytes(max_body),
            memory: Arc::new(Memory {
                most: bytes(max_memory),
                held: AtomicUsize::new(0),
            }),
            random: services.random(),
            sender,
        })
    }
}

impl RedactConfig {
    fn compile(self, diagnostics: &mut Diagnostics) -> Redaction {
        let headers: Vec<HeaderName> = match self.headers {
            Some(headers) => {
                check_list("headers", &headers, diagnostics);
                headers.value.into_iter().map(HeaderName::from).collect()
            }
            None => vec![
                header::AUTHORIZATION,
                header::COOKIE,
                header::PROXY_AUTHORIZATION,
            ],
        };
        let query = self.query.map_or_else(Vec::new, |query| {
            check_list("query", &query, diagnostics);
            query.value
        });
        let json = self.json.map_or_else(Paths::default, |json| {
            check_list("json", &json, diagnostics);
            Paths::new(json.value).unwrap_or_else(|over| {
                let text = format!("all paths together have more than {MAX_STEPS} steps");
                diagnostics.error(codes::VALUE, &over.place, text);
                Paths::default()
            })
        });
        Redaction {
            headers: headers.into(),
            query: query.into_iter().map(String::into_boxed_str).collect(),
            json,
            drop_others: self.other_bodies == OtherBodies::Drop,
        }
    }
}

fn check_list<T>(name: &str, list: &Located<Vec<T>>, diagnostics: &mut Diagnostics) {
    let count = list.value.len();
    if count > MAX_LIST {
        let text = format!("{name} holds {count} entries; at most {MAX_LIST} are possible");
        diagnostics.error(codes::VALUE, &list.place, text);
    }
}

fn check_size(
    name: &str,
    written: Option<&Located<Size>>,
    default: Size,
    most: Size,
    diagnostics: &mut Diagnostics,
) -> Size {
    let Some(written) = written else {
        return default;
    };
    if written.value > most {
        let text = format!("{name} is at most {most}");
        diagnostics.error(codes::VALUE, &written.place, text);
    }
    written.value.min(most)
}

fn check_in_flight(written: Option<Located<u32>>, diagnostics: &mut Diagnostics) -> usize {
    let most = written.as_ref().map_or(DEFAULT_MAX_IN_FLIGHT, |w| w.value);
    if let Some(written) = written
        && !(1..=MOST_MAX_IN_FLIGHT).contains(&most)
    {
        let text = format!("max_in_flight is from 1 to {MOST_MAX_IN_FLIGHT}");
        diagnostics.error(codes::VALUE, &written.place, text);
    }
    usize::try_from(most).unwrap_or(usize::MAX)
}

fn bytes(size: Size) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}
