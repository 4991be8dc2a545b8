//! The words of the `rewrite` kind.

use std::collections::BTreeMap;

use farmgate_plugin_api::Source;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::field::FieldValue;
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::template::{Part, Template, is_pchar, percent_encode};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::filter::{Parameter, PathEdit, RewriteFilter, is_host, is_normal_path};

/// Most bytes that a compiled pattern may take.
const MAX_REGEX_BYTES: usize = 1 << 20;
/// Longest replacement, in bytes.
const MAX_TO_BYTES: usize = 1024;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "path": { "type": "string", "description": "The new path, a template. Not together with the other edits of the path." },
    "strip_prefix": { "type": "string", "description": "Whole segments to remove from the path's beginning." },
    "add_prefix": { "type": "string", "description": "Segments to put before the path, after strip_prefix." },
    "regex": {
      "type": "object",
      "additionalProperties": false,
      "required": ["pattern", "to"],
      "properties": {
        "pattern": { "type": "string", "description": "A regular expression; every match in the path is replaced." },
        "to": { "type": "string", "description": "The replacement; $1 and $name stand for groups." }
      },
      "description": "A replacement in the path, after the prefixes."
    },
    "query": {
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "remove": { "type": "array", "items": { "type": "string" }, "description": "Names of parameters to remove." },
        "set": {
          "type": "object", "additionalProperties": { "type": "string" },
          "description": "Parameters that shall stand exactly once. Values are templates."
        }
      },
      "description": "Edits of the query."
    },
    "host": { "type": "string", "description": "The host that the origin sees, a template." }
  }
}"#;

/// The table of a `rewrite` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RewriteConfig {
    path: Option<Located<PathTemplate>>,
    strip_prefix: Option<Prefix>,
    add_prefix: Option<Prefix>,
    regex: Option<Located<RegexConfig>>,
    #[serde(default)]
    query: QueryConfig,
    host: Option<Host>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegexConfig {
    pattern: Pattern,
    to: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QueryConfig {
    remove: Vec<String>,
    set: BTreeMap<String, Template>,
}

impl RewriteConfig {
    /// Checks what the words mean together.
    pub(super) fn compile(
        self,
        place: &Place,
        diagnostics: &mut Diagnostics,
    ) -> Option<RewriteFilter> {
        let other =
            self.strip_prefix.is_some() || self.add_prefix.is_some() || self.regex.is_some();
        if let Some(path) = &self.path
            && other
        {
            let text = "path replaces the whole path, so the other edits of it would be lost";
            diagnostics.push(
                Diagnostic::error(codes::OPTIONS, &path.place, text)
                    .with_help("leave out path, or strip_prefix, add_prefix and regex"),
            );
            return None;
        }
        let regex = match self.regex {
            Some(regex) => {
                let place = regex.place.clone();
                let regex = regex.value;
                if let Err((message, help)) = check_replacement(&regex.pattern.0, &regex.to) {
                    let error = Diagnostic::error(codes::VALUE, &place, message);
                    diagnostics.push(error.with_help(help));
                    return None;
                }
                Some((regex.pattern.0, regex.to.into()))
            }
            None => None,
        };
        let query = self.query;
        if self.path.is_none()
            && !other
            && query.remove.is_empty()
            && query.set.is_empty()
            && self.host.is_none()
        {
            diagnostics.warning(codes::IDLE, place, "this plugin rewrites nothing");
        }
        Some(RewriteFilter {
            path: PathEdit {
                template: self.path.map(|path| path.value.0),
                strip_prefix: self.strip_prefix.map(|prefix| prefix.0),
                add_prefix: self.add_prefix.map(|prefix| prefix.0),
                regex,
            },
            query_remove: query.remove.into_iter().map(Into::into).collect(),
            query_set: query.set.into_iter().map(parameter).collect(),
            host: self.host.map(|host| host.0),
        })
    }
}

fn parameter((name, value): (String, Template)) -> Parameter {
    let mut escaped = String::with_capacity(name.len());
    let plain = |b: u8| is_pchar(b) && !matches!(b, b'&' | b'=' | b'+');
    percent_encode(&name, false, &mut escaped, plain);
    Parameter {
        name: name.into(),
        escaped: escaped.into(),
        value,
    }
}

/// Leading segments of a path, without a slash at the end.
#[derive(Debug)]
struct Prefix(Box<str>);

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let trimmed = text.trim_end_matches('/');
        if trimmed.is_empty() || !is_normal_path(&text) {
            return Err(D::Error::custom(format_args!(
                "`{text}` is no prefix of a path\nwrite whole segments in escaped form: \"/v1\""
            )));
        }
        Ok(Self(trimmed.into()))
    }
}

/// A template whose result is a path.
#[derive(Debug)]
struct PathTemplate(Template);

impl<'de> Deserialize<'de> for PathTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let template = Template::deserialize(deserializer)?;
        let begins = match template.parts().first() {
            Some(Part::Text(text)) => text.starts_with('/'),
            Some(Part::Source(Source::Path)) => true,
            _ => false,
        };
        if !begins {
            let text = "the new path must begin with `/`\nwrite a slash or {path} first";
            return Err(D::Error::custom(text));
        }
        for part in template.parts() {
            if let Part::Text(text) = part
                && !is_normal_path(&["/", text].concat())
            {
                return Err(D::Error::custom(
                    "the new path holds what no path may hold\nescape it; for the query use `query`",
                ));
            }
        }
        Ok(Self(template))
    }
}

/// The host that the origin sees.
#[derive(Debug)]
struct Host(FieldValue);

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = FieldValue::deserialize(deserializer)?;
        match &value {
            FieldValue::Constant(host) if !is_host(host.as_bytes()) => Err(D::Error::custom(
                "this is no host\nwrite a name or an address, with a port if need be",
            )),
            _ => Ok(Self(value)),
        }
    }
}

/// A regular expression of bounded size; the engine's time is linear in the text.
#[derive(Debug)]
struct Pattern(Regex);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let regex = RegexBuilder::new(&text).size_limit(MAX_REGEX_BYTES).build();
        regex.map(Self).map_err(|error| {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            let reason = last.strip_prefix("error: ").unwrap_or(last);
            D::Error::custom(format_args!("this regular expression is wrong: {reason}"))
        })
    }
}

/// The regex crate takes a group that does not exist for an empty text; here it is an error.
fn check_replacement(regex: &Regex, to: &str) -> Result<(), (String, String)> {
    if to.len() > MAX_TO_BYTES {
        let message = format!("the replacement is longer than {MAX_TO_BYTES} bytes");
        return Err((message, String::new()));
    }
    let known = |name: &str| match name.parse::<usize>() {
        Ok(number) => number < regex.captures_len(),
        Err(_) => regex.capture_names().flatten().any(|group| group == name),
    };
    let mut rest = to;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(tail) = after.strip_prefix('$') {
            rest = tail;
            continue;
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = match after.strip_prefix('{') {
            Some(braced) => braced.split('}').next().unwrap_or_default(),
            None => after.split(|c| !word(c)).next().unwrap_or_default(),
        };
        if !name.is_empty() && !known(name) {
            return Err((
                format!("the pattern has no group `{name}`"),
                "write `$$` for a dollar sign; `$${1}a` for group 1 followed by a letter"
                    .to_owned(),
            ));
        }
        rest = after;
    }
    Ok(())
}
