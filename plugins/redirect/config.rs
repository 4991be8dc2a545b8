//! The words of the `redirect` kind.

use farmgate_plugin_api::Source;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::template::{Part, Template};
use http::StatusCode;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::filter::RedirectFilter;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "to": { "type": "string", "description": "Where to: a path or a URL, a template. The query is kept unless it has one." },
    "https": { "type": "boolean", "default": false, "description": "To the same place over https; requests over TLS pass. Not together with to." },
    "status": { "enum": [301, 302, 303, 307, 308], "default": 302, "description": "The status." }
  }
}"#;

/// The table of a `redirect` plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RedirectConfig {
    to: Option<Located<Destination>>,
    #[serde(default)]
    https: bool,
    #[serde(default)]
    status: RedirectStatus,
}

impl RedirectConfig {
    /// Checks what the words mean together.
    pub(super) fn compile(
        self,
        place: &Place,
        diagnostics: &mut Diagnostics,
    ) -> Option<RedirectFilter> {
        let to = match (self.to, self.https) {
            (Some(to), false) => to.value.0,
            (None, true) => match Template::parse("https://{host}{path}") {
                Ok(to) => to,
                Err(error) => {
                    diagnostics.error(codes::VALUE, place, error.message);
                    return None;
                }
            },
            (Some(to), true) => {
                let text = "https and to exclude each other";
                let error = Diagnostic::error(codes::OPTIONS, &to.place, text);
                diagnostics.push(error.with_help("leave out one of them"));
                return None;
            }
            (None, false) => {
                let text = "a redirect needs to or https";
                let error = Diagnostic::error(codes::OPTIONS, place, text);
                diagnostics.push(error.with_help("write to = \"...\" or https = true"));
                return None;
            }
        };
        let has_query = |part: &Part| matches!(part, Part::Text(text) if text.contains('?'));
        Some(RedirectFilter {
            keep_query: !to.parts().iter().any(has_query),
            to,
            status: self.status.0,
            only_plain: self.https,
        })
    }
}

/// A status that redirects.
#[derive(Debug)]
struct RedirectStatus(StatusCode);

impl Default for RedirectStatus {
    fn default() -> Self {
        Self(StatusCode::FOUND)
    }
}

impl<'de> Deserialize<'de> for RedirectStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u16::deserialize(deserializer)? {
            301 => Ok(Self(StatusCode::MOVED_PERMANENTLY)),
            302 => Ok(Self(StatusCode::FOUND)),
            303 => Ok(Self(StatusCode::SEE_OTHER)),
            307 => Ok(Self(StatusCode::TEMPORARY_REDIRECT)),
            308 => Ok(Self(StatusCode::PERMANENT_REDIRECT)),
            _ => Err(D::Error::custom(
                "this status does not redirect\nwrite 301, 302, 303, 307 or 308",
            )),
        }
    }
}

/// A template for a place that the operator fixed: no value of the request but the requested host
/// can choose the host to go to.
#[derive(Debug)]
struct Destination(Template);

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let template = Template::deserialize(deserializer)?;
        check_destination(template.parts()).map_err(D::Error::custom)?;
        Ok(Self(template))
    }
}

/// What a URL is made of, as far as the host is concerned.
fn check_destination(parts: &[Part]) -> Result<(), &'static str> {
    const NO_BEGINNING: &str = "the place must begin with `/`, `http://` or `https://`\n\
        write it out, so that no request can choose where clients are sent";
    const OPEN_HOST: &str = "only {host} may stand in the host of a redirect\n\
        write `/` before the next value, so that no request can choose where clients are sent";
    const LITERAL: &str = "the place holds a byte that no URL may hold, or a fragment\n\
        escape it as %XX; fragments belong to the client";
    let literals = parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(&**text),
        Part::Source(_) | Part::Capture(_) => None,
    });
    for text in literals {
        if !text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"#\\\"<>^`{|}".contains(&b))
        {
            return Err(LITERAL);
        }
    }
    let (first, rest) = match parts.split_first() {
        Some((Part::Source(Source::Path), _)) => return Ok(()),
        Some((Part::Text(text), rest)) => (&**text, rest),
        _ => return Err(NO_BEGINNING),
    };
    if first.starts_with("//") {
        return Err(NO_BEGINNING);
    }
    if first.starts_with('/') {
        return Ok(());
    }
    let authority = first
        .strip_prefix("https://")
        .or_else(|| first.strip_prefix("http://"))
        .ok_or(NO_BEGINNING)?;
    check_authority(authority, rest).ok_or(OPEN_HOST)
}

/// Some when the host is not empty and holds no value but the requested host.
fn check_authority(first: &str, rest: &[Part]) -> Option<()> {
    let mut authority = String::new();
    let mut text = Some(first);
    let mut rest = rest.iter();
    loop {
        if let Some(text) = text {
            authority.push_str(text.split(['/', '?']).next()?);
            if text.contains(['/', '?']) {
                break;
            }
        }
        text = match rest.next() {
            None | Some(Part::Source(Source::Path)) => break,
            Some(Part::Text(text)) => Some(text),
            Some(Part::Source(Source::Host)) => {
                authority.push_str("host");
                None
            }
            Some(Part::Source(_) | Part::Capture(_)) => return None,
        };
    }
    (!authority.is_empty() && !authority.contains('@')).then_some(())
}
