//! The words of the `cors` kind.

use bytes::Bytes;
use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::units::Duration;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;

use super::filter::{CorsFilter, Metrics};
use super::origins::{Origins, Written};

/// Most entries of a list.
const MOST: usize = 256;

/// No browser keeps an answer longer.
const MOST_AGE: Duration = Duration::from_secs(86_400);

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["origins"],
  "properties": {
    "origins": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 256, "description": "Origins whose scripts may read the answers: exact, or with `*.` for every host below one; `*` for all." },
    "methods": { "type": "array", "items": { "type": "string" }, "maxItems": 256, "default": ["GET", "HEAD", "POST"], "description": "Methods they may use; `*` for all, without credentials." },
    "headers": { "type": "array", "items": { "type": "string" }, "maxItems": 256, "default": [], "description": "Request fields they may set besides those that are always possible; `*` for all but Authorization, without credentials." },
    "expose": { "type": "array", "items": { "type": "string" }, "maxItems": 256, "default": [], "description": "Response fields they may read besides those that are always possible; `*` for all, without credentials." },
    "credentials": { "type": "boolean", "default": false, "description": "Whether requests with cookies and the like may be read." },
    "max_age": { "type": "string", "default": "10m", "description": "How long a browser may keep the answer to a preflight; at most 1d." },
    "private_network": { "type": "boolean", "default": false, "description": "Whether public sites may ask this one in a private network." },
    "refuse": { "type": "boolean", "default": false, "description": "Whether requests of other origins get 403 instead of an answer that their scripts cannot read." }
  }
}"#;

/// The table of a `cors` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CorsConfig {
    origins: Located<Vec<Located<String>>>,
    methods: Option<Located<Vec<Located<String>>>>,
    #[serde(default)]
    headers: Located<Vec<Located<String>>>,
    #[serde(default)]
    expose: Located<Vec<Located<String>>>,
    #[serde(default)]
    credentials: bool,
    max_age: Option<Located<Duration>>,
    #[serde(default)]
    private_network: bool,
    #[serde(default)]
    refuse: bool,
}

impl CorsConfig {
    /// Checks what the words mean together.
    pub(super) fn compile(
        self,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<CorsFilter> {
        let before = diagnostics.error_count();
        let credentials = self.credentials;
        let origins = read_origins(&self.origins, credentials, diagnostics);
        let mut list = |list: &Located<Vec<Located<String>>>, what: What| {
            read_list(list, what, credentials, diagnostics)
        };
        let methods = match &self.methods {
            Some(methods) => list(methods, What::Method),
            None => Some(HeaderValue::from_static("GET, HEAD, POST")),
        };
        let headers = list(&self.headers, What::Field);
        let expose = list(&self.expose, What::Field);
        let max_age = match &self.max_age {
            None => Duration::from_secs(600),
            Some(age) => {
                if age.value > MOST_AGE {
                    let text = format!("{} is longer than any browser keeps it", age.value);
                    let error = Diagnostic::error(codes::VALUE, &age.place, text);
                    diagnostics.push(error.with_help(format!("at most {MOST_AGE}")));
                }
                age.value
            }
        };
        if diagnostics.error_count() > before {
            return None;
        }
        Some(CorsFilter {
            origins,
            credentials,
            methods: methods.unwrap_or_else(|| HeaderValue::from_static("")),
            headers,
            expose,
            max_age: HeaderValue::from(max_age.as_ms() / 1000),
            private_network: self.private_network,
            refuse: self.refuse,
            metrics: Metrics {
                preflights: services.counter("preflights", "Preflights that were answered."),
                unknown: services.counter(
                    "unknown_origins",
                    "Requests of origins that are not in the list.",
                ),
                refused: services.counter("refused", "Those of them that got 403."),
            },
        })
    }
}

fn read_origins(
    list: &Located<Vec<Located<String>>>,
    credentials: bool,
    diagnostics: &mut Diagnostics,
) -> Origins {
    check_length("origins", list, 1, diagnostics);
    let mut read = Vec::with_capacity(list.value.len());
    for one in &list.value {
        let origin = match Written::parse(&one.value) {
            Ok(origin) => origin,
            Err(text) => {
                let (message, help) = text.split_once('\n').unwrap_or((&text, ""));
                diagnostics
                    .push(Diagnostic::error(codes::VALUE, &one.place, message).with_help(help));
                continue;
            }
        };
        if credentials && matches!(origin, Written::Any | Written::Null) {
            let text = format!(
                "`{}` with credentials lets any site act as the user",
                one.value
            );
            let error = Diagnostic::error(codes::OPTIONS, &one.place, text);
            diagnostics.push(error.with_help("name the origins, or leave credentials out"));
        }
        if origin == Written::Any && list.value.len() > 1 {
            let text = "`*` stands for every origin, so it stands alone";
            let error = Diagnostic::error(codes::OPTIONS, &one.place, text);
            diagnostics.push(error.with_help("leave it or the others out"));
        }
        if read.contains(&origin) {
            let text = format!("`{}` is listed twice", one.value);
            diagnostics.error(codes::VALUE, &one.place, text);
        }
        read.push(origin);
    }
    Origins::of(&read)
}

/// What a list holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Method,
    Field,
}

/// The list as a field's value; none if it is empty.
fn read_list(
    list: &Located<Vec<Located<String>>>,
    what: What,
    credentials: bool,
    diagnostics: &mut Diagnostics,
) -> Option<HeaderValue> {
    let (name, least) = match what {
        What::Method => ("methods", 1),
        What::Field => ("the list", 0),
    };
    check_length(name, list, least, diagnostics);
    for one in &list.value {
        let text = one.value.as_str();
        if text == "*" {
            if credentials || list.value.len() > 1 {
                let message = if credentials {
                    "with credentials browsers take `*` by its letter, not as all of them"
                } else {
                    "`*` stands for all of them, so it stands alone"
                };
                let error = Diagnostic::error(codes::OPTIONS, &one.place, message);
                diagnostics.push(error.with_help("name them one by one"));
            }
            continue;
        }
        let (wrong, help) = match what {
            What::Method => {
                let lower = text.bytes().any(|byte| byte.is_ascii_lowercase());
                let token = Method::from_bytes(text.as_bytes()).is_ok();
                let forbidden = matches!(text, "CONNECT" | "TRACE" | "TRACK");
                (
                    lower || !token || forbidden,
                    "methods are compared letter by letter: write \"GET\" or \"PATCH\"; CONNECT and TRACE are for no script",
                )
            }
            What::Field => (
                HeaderName::from_bytes(text.as_bytes()).is_err(),
                "use letters, digits, `-` and `_`",
            ),
        };
        if wrong {
            let kind = match what {
                What::Method => "no method that a script may use",
                What::Field => "no name of a header field",
            };
            let message = format!("`{text}` is {kind}");
            let error = Diagnostic::error(codes::VALUE, &one.place, message);
            diagnostics.push(error.with_help(help));
        }
    }
    let texts: Vec<&str> = list.value.iter().map(|one| one.value.as_str()).collect();
    if texts.is_empty() {
        return None;
    }
    let bytes = Bytes::from(texts.join(", "));
    // The first clone makes the bytes shared; later ones, on the request path, only count.
    drop(bytes.clone());
    HeaderValue::from_maybe_shared(bytes).ok()
}

fn check_length(
    name: &str,
    list: &Located<Vec<Located<String>>>,
    least: usize,
    diagnostics: &mut Diagnostics,
) {
    let count = list.value.len();
    if !(least..=MOST).contains(&count) {
        let text = format!("{name} holds {count} entries; {least} to {MOST} are possible");
        diagnostics.error(codes::VALUE, &list.place, text);
    }
}
