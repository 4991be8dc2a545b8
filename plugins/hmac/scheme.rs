//! The ways to sign: where the signature, the time and the id stand, and what is signed.

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::words::RequestField;
use http::HeaderName;
use serde::Deserialize;

use super::sign::{Algorithm, Encoding};

/// Longest prefix of a signature, and longest text of `signed`, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// A scheme by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SchemeName {
    /// <https://www.standardwebhooks.com>, the symmetric signatures `v1`.
    StandardWebhooks,
    /// The field X-Hub-Signature-256.
    Github,
    /// The field Stripe-Signature, scheme `v1`.
    Stripe,
    /// As the table `generic` says.
    Generic,
}

/// The table `generic`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GenericConfig {
    header: RequestField,
    #[serde(default)]
    algorithm: Algorithm,
    #[serde(default)]
    encoding: Encoding,
    #[serde(default)]
    prefix: Located<String>,
    timestamp: Option<RequestField>,
    id: Option<Located<RequestField>>,
    signed: Option<Located<String>>,
}

/// Where everything stands.
#[derive(Clone, Debug)]
pub(super) struct Scheme {
    /// The field of the signature.
    pub(super) signature: HeaderName,
    /// How it stands there.
    pub(super) form: Form,
    pub(super) algorithm: Algorithm,
    pub(super) encoding: Encoding,
    /// The field of the time; with [`Form::Pairs`] it stands beside the signature.
    pub(super) timestamp: Option<HeaderName>,
    /// The field of the id.
    pub(super) id: Option<HeaderName>,
    /// What is signed.
    pub(super) signed: Box<[Part]>,
}

/// How signatures stand in their field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `v1,SIGNATURE v1,SIGNATURE`; other versions are passed over.
    Versions,
    /// `t=TIME,v1=SIGNATURE,v1=SIGNATURE`; other names are passed over.
    Pairs,
    /// One signature behind this text.
    One(Box<str>),
}

/// A part of what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// These bytes.
    Text(Box<str>),
    /// The time, as it came.
    Timestamp,
    /// The id, as it came.
    Id,
    /// The body.
    Body,
}

impl Scheme {
    /// Whether the time is signed: only then there is a window.
    pub(super) fn has_time(&self) -> bool {
        self.signed.contains(&Part::Timestamp)
    }

    pub(super) fn standard_webhooks() -> Self {
        Self {
            signature: HeaderName::from_static("webhook-signature"),
            form: Form::Versions,
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Base64,
            timestamp: Some(HeaderName::from_static("webhook-timestamp")),
            id: Some(HeaderName::from_static("webhook-id")),
            signed: [Part::Id, text("."), Part::Timestamp, text("."), Part::Body].into(),
        }
    }

    pub(super) fn github() -> Self {
        Self {
            signature: HeaderName::from_static("x-hub-signature-256"),
            form: Form::One("sha256=".into()),
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            timestamp: None,
            id: None,
            signed: [Part::Body].into(),
        }
    }

    pub(super) fn stripe() -> Self {
        Self {
            signature: HeaderName::from_static("stripe-signature"),
            form: Form::Pairs,
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            timestamp: None,
            id: None,
            signed: [Part::Timestamp, text("."), Part::Body].into(),
        }
    }
}

fn text(text: &str) -> Part {
    Part::Text(text.into())
}

impl GenericConfig {
    /// Checks what the words mean together.
    pub(super) fn compile(self, place: &Place, diagnostics: &mut Diagnostics) -> Option<Scheme> {
        let before = diagnostics.error_count();
        let prefix = &self.prefix;
        if prefix.len() > MAX_TEXT_BYTES || !prefix.bytes().all(|b| (b' '..0x7f).contains(&b)) {
            let error = Diagnostic::error(
                codes::VALUE,
                &prefix.place,
                "this cannot stand before a signature",
            );
            diagnostics
                .push(error.with_help("write what is sent, for example prefix = \"sha256=\""));
        }
        if let (Some(id), None) = (&self.id, &self.timestamp) {
            let text = "id needs timestamp: without a time an id would have to be known for ever";
            let error = Diagnostic::error(codes::OPTIONS, &id.place, text);
            diagnostics.push(error.with_help("write timestamp = \"...\", or leave id out"));
        }
        let usual = || Located::new("{body}".to_owned(), place.clone());
        let signed = self.signed.unwrap_or_else(usual);
        let parts = read_parts(&signed, diagnostics)?;
        for (part, word, is_named) in [
            (Part::Timestamp, "timestamp", self.timestamp.is_some()),
            (Part::Id, "id", self.id.is_some()),
        ] {
            let problem = match (parts.contains(&part), is_named) {
                (true, false) => format!("signed has {{{word}}}, and {word} names no field"),
                (false, true) => format!("{word} is not signed: anybody could change it"),
                _ => continue,
            };
            let help = format!("write both: {word} = \"x-...\", and {{{word}}} in signed");
            let error = Diagnostic::error(codes::OPTIONS, &signed.place, problem);
            diagnostics.push(error.with_help(help));
        }
        if diagnostics.error_count() > before {
            return None;
        }
        Some(Scheme {
            signature: self.header.into(),
            form: Form::One(self.prefix.value.into()),
            algorithm: self.algorithm,
            encoding: self.encoding,
            timestamp: self.timestamp.map(Into::into),
            id: self.id.map(|id| id.value.into()),
            signed: parts,
        })
    }
}

/// Reads `{timestamp}.{body}` and the like.
fn read_parts(signed: &Located<String>, diagnostics: &mut Diagnostics) -> Option<Box<[Part]>> {
    let mut wrong = |text: &str| {
        let error = Diagnostic::error(codes::VALUE, &signed.place, text);
        let help = "for example signed = \"{timestamp}.{body}\"; possible are {timestamp}, {id}, {body} and text";
        diagnostics.push(error.with_help(help));
        None
    };
    if signed.len() > MAX_TEXT_BYTES {
        return wrong("signed is longer than 256 bytes");
    }
    let mut parts = Vec::new();
    let mut rest = signed.as_str();
    while !rest.is_empty() {
        let (before, after) = rest
            .split_once('{')
            .map_or((rest, None), |(a, b)| (a, Some(b)));
        if before.contains('}') {
            return wrong("signed has a `}` without a `{`");
        }
        if !before.is_empty() {
            parts.push(text(before));
        }
        let Some(after) = after else { break };
        let Some((word, more)) = after.split_once('}') else {
            return wrong("signed has a `{` without a `}`");
        };
        let part = match word {
            "timestamp" => Part::Timestamp,
            "id" => Part::Id,
            "body" => Part::Body,
            _ => return wrong("signed has a word that is not known"),
        };
        if parts.contains(&part) {
            return wrong("signed has a word twice");
        }
        if parts
            .last()
            .is_some_and(|last| !matches!(last, Part::Text(_)))
        {
            // Else a byte could move from one to the other, and the signature would still hold.
            return wrong("signed has two words without a text between them");
        }
        parts.push(part);
        rest = more;
    }
    if !parts.contains(&Part::Body) {
        return wrong("signed has no {body}: anybody could change it");
    }
    Some(parts.into())
}
