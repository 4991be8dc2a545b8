//! The words of the `security_headers` kind.

use bytes::Bytes;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::units::Duration;
use farmgate_plugin_api::words::ResponseField;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY, REFERRER_POLICY, SERVER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::csp;
use super::filter::SecurityHeadersFilter;
use super::words::{ContentType, Embedder, Frame, Hsts, HstsConfig, Opener, Referrer, Resource};

/// A year: what lists of preloaded hosts ask for, and the default.
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Longest policy, bytes; clients refuse longer heads.
const MOST_POLICY: usize = 8192;

/// Most entries of a list.
const MOST: usize = 64;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "hsts": {
      "oneOf": [
        { "const": "off" },
        {
          "type": "object", "additionalProperties": false,
          "properties": {
            "max_age": { "type": "string", "default": "365d", "description": "How long browsers come back over TLS only." },
            "include_subdomains": { "type": "boolean", "default": false, "description": "Whether this holds for all hosts below this one." },
            "preload": { "type": "boolean", "default": false, "description": "Whether browsers may ship this host in their lists." }
          }
        }
      ],
      "description": "Strict-Transport-Security, over TLS only."
    },
    "csp": { "type": "string", "default": "off", "description": "Content-Security-Policy." },
    "csp_report_only": { "type": "string", "default": "off", "description": "Content-Security-Policy-Report-Only: only told, not enforced." },
    "frame_ancestors": { "type": "array", "items": { "type": "string" }, "maxItems": 64, "description": "Who may show pages in a frame: the directive of this name, added to csp." },
    "frame_options": { "enum": ["off", "deny", "sameorigin"], "default": "sameorigin", "description": "X-Frame-Options, for browsers that do not know frame-ancestors." },
    "content_type_options": { "enum": ["off", "nosniff"], "default": "nosniff", "description": "X-Content-Type-Options." },
    "referrer_policy": { "enum": ["off", "no-referrer", "no-referrer-when-downgrade", "origin", "origin-when-cross-origin", "same-origin", "strict-origin", "strict-origin-when-cross-origin", "unsafe-url"], "default": "strict-origin-when-cross-origin", "description": "Referrer-Policy." },
    "permissions_policy": { "type": "string", "default": "off", "description": "Permissions-Policy." },
    "opener_policy": { "enum": ["off", "unsafe-none", "same-origin", "same-origin-allow-popups", "noopener-allow-popups"], "default": "off", "description": "Cross-Origin-Opener-Policy." },
    "embedder_policy": { "enum": ["off", "unsafe-none", "require-corp", "credentialless"], "default": "off", "description": "Cross-Origin-Embedder-Policy." },
    "resource_policy": { "enum": ["off", "same-origin", "same-site", "cross-origin"], "default": "off", "description": "Cross-Origin-Resource-Policy." },
    "remove": { "type": "array", "items": { "type": "string" }, "maxItems": 64, "default": ["server", "x-powered-by"], "description": "Fields that go, because they tell what the origin is made of." },
    "override": { "type": "boolean", "default": false, "description": "Whether the values here replace those of the origin." }
  }
}"#;

/// The table of a `security_headers` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecurityHeadersConfig {
    #[serde(default)]
    hsts: Hsts,
    csp: Option<Located<String>>,
    csp_report_only: Option<Located<String>>,
    frame_ancestors: Option<Located<Vec<Located<String>>>>,
    frame_options: Option<Located<Frame>>,
    #[serde(default)]
    content_type_options: ContentType,
    #[serde(default)]
    referrer_policy: Referrer,
    permissions_policy: Option<Located<String>>,
    #[serde(default)]
    opener_policy: Opener,
    #[serde(default)]
    embedder_policy: Embedder,
    #[serde(default)]
    resource_policy: Resource,
    remove: Option<Located<Vec<ResponseField>>>,
    #[serde(default)]
    r#override: bool,
}

impl SecurityHeadersConfig {
    /// Checks what the words mean together.
    pub(super) fn compile(
        self,
        place: &Place,
        diagnostics: &mut Diagnostics,
    ) -> Option<SecurityHeadersFilter> {
        let before = diagnostics.error_count();
        let hsts = match &self.hsts {
            Hsts::Off => None,
            Hsts::On(words) => Some(hsts(words, diagnostics)),
        };
        let ancestors = self.ancestors(diagnostics);
        let mut policy = read_policy(self.csp.as_ref(), diagnostics);
        let named = policy
            .as_deref()
            .is_some_and(|text| csp::has(text, "frame-ancestors"));
        if let (Some(list), true) = (&self.frame_ancestors, named) {
            let text = "csp has the directive frame-ancestors already";
            let error = Diagnostic::error(codes::OPTIONS, &list.place, text);
            diagnostics.push(error.with_help("leave frame_ancestors or that directive out"));
        }
        let frame = self.frame(ancestors.as_deref(), named);
        if let Some(list) = ancestors {
            let own = format!("frame-ancestors {list}");
            policy = Some(match policy {
                Some(text) => format!("{}; {own}", text.trim().trim_end_matches(';')),
                None => own,
            });
        }
        let report = read_policy(self.csp_report_only.as_ref(), diagnostics);
        let permissions = read_permissions(self.permissions_policy.as_ref(), diagnostics);
        let of = HeaderName::from_static;
        let fields = [
            (CONTENT_SECURITY_POLICY, policy.unwrap_or_default()),
            (
                CONTENT_SECURITY_POLICY_REPORT_ONLY,
                report.unwrap_or_default(),
            ),
            (X_FRAME_OPTIONS, frame.sent().to_owned()),
            (
                X_CONTENT_TYPE_OPTIONS,
                self.content_type_options.sent().to_owned(),
            ),
            (REFERRER_POLICY, self.referrer_policy.sent().to_owned()),
            (of("permissions-policy"), permissions.unwrap_or_default()),
            (
                of("cross-origin-opener-policy"),
                self.opener_policy.sent().to_owned(),
            ),
            (
                of("cross-origin-embedder-policy"),
                self.embedder_policy.sent().to_owned(),
            ),
            (
                of("cross-origin-resource-policy"),
                self.resource_policy.sent().to_owned(),
            ),
        ];
        let fields = fields.into_iter().filter(|(_, text)| !text.is_empty());
        let fields = fields.filter_map(|(name, text)| Some((name, shared(&text)?)));
        let filter = SecurityHeadersFilter {
            remove: self.removed(diagnostics),
            hsts: hsts.as_deref().and_then(shared),
            fields: fields.collect(),
            replace: self.r#override,
        };
        if filter.is_idle() {
            let text = "everything is switched off: this plugin does nothing";
            diagnostics.push(
                Diagnostic::warning(codes::IDLE, place, text)
                    .with_help("leave the plugin out, or some of its words"),
            );
        }
        (diagnostics.error_count() == before).then_some(filter)
    }

    /// The sources of `frame_ancestors`.
    fn ancestors(&self, diagnostics: &mut Diagnostics) -> Option<String> {
        let list = self.frame_ancestors.as_ref()?;
        if list.value.is_empty() || list.value.len() > MOST {
            let text = format!("frame_ancestors holds {} entries", list.value.len());
            let error = Diagnostic::error(codes::VALUE, &list.place, text);
            diagnostics
                .push(error.with_help(format!("1 to {MOST} are possible; \"'none'\" lets nobody")));
        }
        for one in &list.value {
            let word = one.value.trim();
            let alone = word == "'none'" && list.value.len() > 1;
            let result = match () {
                () if word.is_empty() || word.contains(char::is_whitespace) => Err(
                    "an entry is one source\nwrite \"'self'\" or \"https://partner.example.test\""
                        .to_owned(),
                ),
                () if alone => Err("`'none'` stands alone\nleave it or the others out".to_owned()),
                () => csp::check_source(word),
            };
            refuse(result, &one.place, diagnostics);
        }
        let words: Vec<&str> = list.value.iter().map(|one| one.value.trim()).collect();
        Some(words.join(" "))
    }

    /// X-Frame-Options: as written, else what says the same as the policy, which wins in newer browsers.
    fn frame(&self, ancestors: Option<&str>, in_policy: bool) -> Frame {
        match (&self.frame_options, ancestors) {
            (Some(written), _) => written.value,
            (None, Some("'none'")) => Frame::Deny,
            (None, Some("'self'")) => Frame::Sameorigin,
            (None, Some(_)) => Frame::Off,
            (None, None) if in_policy => Frame::Off,
            (None, None) => Frame::default(),
        }
    }

    fn removed(&self, diagnostics: &mut Diagnostics) -> Box<[HeaderName]> {
        let Some(list) = &self.remove else {
            return [SERVER, HeaderName::from_static("x-powered-by")].into();
        };
        if list.value.len() > MOST {
            let text = format!(
                "remove holds {} names; {MOST} are possible",
                list.value.len()
            );
            diagnostics.error(codes::VALUE, &list.place, text);
        }
        list.value.iter().map(|name| name.0.clone()).collect()
    }
}

fn hsts(words: &HstsConfig, diagnostics: &mut Diagnostics) -> String {
    let age = words.max_age.as_ref().map_or(YEAR, |age| age.value);
    let preload = words.preload.as_ref();
    if let Some(preload) = preload.filter(|preload| preload.value)
        && (age < YEAR || !words.include_subdomains)
    {
        let text = "browsers take only hosts with all that is below them, for a year or more";
        let error = Diagnostic::error(codes::OPTIONS, &preload.place, text);
        diagnostics.push(error.with_help(
            "write include_subdomains = true and max_age = \"365d\", or leave preload out",
        ));
    }
    let mut value = format!("max-age={}", age.as_ms() / 1000);
    if words.include_subdomains {
        value.push_str("; includeSubDomains");
    }
    if preload.is_some_and(|preload| preload.value) {
        value.push_str("; preload");
    }
    value
}

/// A policy that was checked; none for `off`.
fn read_policy(written: Option<&Located<String>>, diagnostics: &mut Diagnostics) -> Option<String> {
    let written = written.filter(|text| text.value != "off")?;
    let one_line = written.value.split_ascii_whitespace().collect::<Vec<_>>();
    let one_line = one_line.join(" ");
    let long = one_line.len() > MOST_POLICY;
    let result = match long {
        true => Err(format!(
            "a policy has at most {MOST_POLICY} bytes\nshorten it"
        )),
        false => csp::check(&one_line),
    };
    refuse(result, &written.place, diagnostics);
    Some(one_line)
}

/// Permissions-Policy: a dictionary (RFC 9651) of features.
fn read_permissions(
    written: Option<&Located<String>>,
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    const HELP: &str = "write \"camera=(), geolocation=(self)\"";
    let written = written.filter(|text| text.value != "off")?;
    let one_line = written.value.split_ascii_whitespace().collect::<Vec<_>>();
    let one_line = one_line.join(" ");
    let mut depth = 0_i32;
    let members = one_line.split(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    let mut result = Ok(());
    for member in members {
        let (feature, list) = member.trim().split_once('=').unwrap_or((member.trim(), ""));
        let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let list = list.trim();
        let closed = list.starts_with('(') && list.ends_with(')');
        if feature.is_empty() || !feature.chars().all(name) || !(closed || list == "*") {
            result = Err(format!(
                "`{}` gives no feature a list\n{HELP}",
                member.trim()
            ));
            break;
        }
    }
    if one_line.len() > MOST_POLICY || !one_line.is_ascii() {
        result = Err(format!("at most {MOST_POLICY} bytes of ASCII\n{HELP}"));
    }
    refuse(result, &written.place, diagnostics);
    Some(one_line)
}

fn refuse(result: Result<(), String>, place: &Place, diagnostics: &mut Diagnostics) {
    if let Err(text) = result {
        let (message, help) = text.split_once('\n').unwrap_or((&text, ""));
        diagnostics.push(Diagnostic::error(codes::VALUE, place, message).with_help(help));
    }
}

fn shared(text: &str) -> Option<HeaderValue> {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    // The first clone makes the bytes shared; later ones, on the request path, only count.
    drop(bytes.clone());
    HeaderValue::from_maybe_shared(bytes).ok()
}
