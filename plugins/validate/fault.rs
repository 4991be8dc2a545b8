//! What is wrong with a request, and how a client is told: problem+json with a pointer per field.

use bytes::Bytes;
use farmgate_plugin_api::Reply;
use http::{HeaderValue, StatusCode, header};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

/// Longest text about one fault, and longest pointer, in characters: names in them are the client's.
const MOST_CHARS: usize = 200;
/// Parts of a schema's place that go into notes.
const MOST_NOTED: usize = 3;

/// What a fragment of a URI cannot hold as it is (RFC 3986, section 3.5).
const FRAGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Why a request is refused: the values of the label `reason`, and the details of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    UnknownPath,
    UnknownMethod,
    UnknownQuery,
    Parameter,
    MediaType,
    Encoding,
    BodyMissing,
    BodyPartial,
    Syntax,
    TooDeep,
    TooMany,
    DuplicateKey,
    Body,
}

impl Reason {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::UnknownPath => "unknown_path",
            Self::UnknownMethod => "unknown_method",
            Self::UnknownQuery => "unknown_query",
            Self::Parameter => "parameter_invalid",
            Self::MediaType => "media_type",
            Self::Encoding => "content_encoding",
            Self::BodyMissing => "body_missing",
            Self::BodyPartial => "body_too_large",
            Self::Syntax => "body_syntax",
            Self::TooDeep => "body_too_deep",
            Self::TooMany => "body_too_many_values",
            Self::DuplicateKey => "body_duplicate_key",
            Self::Body => "body_invalid",
        }
    }

    /// The status of a refusal; `invalid` is the configured one for what breaks a rule of the contract.
    fn status(self, invalid: StatusCode) -> StatusCode {
        match self {
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::UnknownMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyPartial => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownQuery
            | Self::Parameter
            | Self::BodyMissing
            | Self::Syntax
            | Self::TooDeep
            | Self::TooMany
            | Self::DuplicateKey
            | Self::Body => invalid,
        }
    }
}

/// Where in a request something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Cookie,
    Body,
}

impl Place {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Body => "body",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) place: Place,
    /// The parameter's name; empty for a body.
    pub(super) name: String,
    /// JSON pointer to the field, as a fragment.
    pub(super) pointer: String,
    /// The word of the schema that it breaks, or a word of ours.
    pub(super) keyword: String,
    /// A sentence without any value of the request.
    pub(super) detail: String,
}

/// A request that is not as it should be.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) faults: Vec<Fault>,
    /// There are more faults than are told.
    pub(super) more: bool,
    /// Methods that there are.
    pub(super) allow: Option<HeaderValue>,
}

impl Refusal {
    /// A refusal without a field to point at.
    pub(super) fn plain(reason: Reason) -> Self {
        Self {
            reason,
            faults: Vec::new(),
            more: false,
            allow: None,
        }
    }

    /// The reply that tells the client.
    pub(super) fn reply(&self, invalid: StatusCode, id: &str) -> Reply {
        let status = self.reason.status(invalid);
        let mut problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": self.reason.word(),
            "request_id": id,
        });
        if !self.faults.is_empty()
            && let Some(members) = problem.as_object_mut()
        {
            let errors = self.faults.iter().map(Fault::told).collect();
            members.insert("errors".to_owned(), Value::Array(errors));
            if self.more {
                members.insert("more_errors".to_owned(), Value::Bool(true));
            }
        }
        let mut body = problem.to_string();
        body.push('\n');
        let kind = HeaderValue::from_static("application/problem+json");
        let mut reply = Reply::new(status, self.reason.word())
            .header(header::CONTENT_TYPE, kind)
            .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .body(Bytes::from(body));
        if let Some(allow) = &self.allow {
            reply = reply.header(header::ALLOW, allow.clone());
        }
        reply
    }

    /// What `explain` shows: places and words of the contract, nothing that the client wrote.
    pub(super) fn note(&self) -> String {
        let mut note = self.reason.word().to_owned();
        for fault in self.faults.iter().take(MOST_NOTED) {
            note.push_str(": ");
            note.push_str(fault.place.word());
            if fault.place != Place::Body && !fault.name.is_empty() {
                note.push(' ');
                note.push_str(&fault.name);
            }
            note.push(' ');
            note.push_str(&fault.keyword);
        }
        note
    }
}

impl Fault {
    /// A fault that no schema found.
    pub(super) fn own(
        place: Place,
        name: &str,
        pointer: &str,
        keyword: &str,
        detail: &str,
    ) -> Self {
        Self {
            place,
            name: cut(name),
            pointer: fragment(pointer),
            keyword: keyword.to_owned(),
            detail: detail.to_owned(),
        }
    }

    fn told(&self) -> Value {
        let mut told = json!({
            "in": self.place.word(),
            "pointer": self.pointer,
            "keyword": self.keyword,
            "detail": self.detail,
        });
        if self.place != Place::Body
            && let Some(members) = told.as_object_mut()
        {
            members.insert("name".to_owned(), Value::String(self.name.clone()));
        }
        told
    }
}

/// The faults of a request, up to a number.
#[derive(Debug)]
pub(super) struct Faults {
    pub(super) all: Vec<Fault>,
    pub(super) more: bool,
    most: usize,
}

impl Faults {
    pub(super) fn new(most: usize) -> Self {
        Self {
            all: Vec::new(),
            more: false,
            most,
        }
    }

    pub(super) fn push(&mut self, fault: Fault) {
        if self.all.len() < self.most {
            self.all.push(fault);
        } else {
            self.more = true;
        }
    }

    /// Adds what a schema says of a value.
    pub(super) fn check(&mut self, schema: &Validator, value: &Value, place: Place, name: &str) {
        if schema.is_valid(value) {
            return;
        }
        for error in schema.iter_errors(value) {
            if self.more {
                return;
            }
            self.add(&error, place, name);
        }
    }

    /// One error; one for each field where it is about several.
    fn add(&mut self, error: &ValidationError<'_>, place: Place, name: &str) {
        let at = error.instance_path().as_str();
        let keyword = error.kind().keyword();
        let detail = cut(&error.masked().to_string());
        let mut push = |pointer: &str| {
            self.push(Fault {
                place,
                name: name.to_owned(),
                pointer: fragment(pointer),
                keyword: keyword.to_owned(),
                detail: detail.clone(),
            });
        };
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                push(&below(at, property.as_str().unwrap_or_default()));
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                for property in unexpected {
                    push(&below(at, property));
                }
            }
            _ => push(at),
        }
    }

    /// The refusal, if there is anything wrong.
    pub(super) fn refusal(self, reason: Reason) -> Option<Refusal> {
        (!self.all.is_empty()).then_some(Refusal {
            reason,
            faults: self.all,
            more: self.more,
            allow: None,
        })
    }
}

/// A pointer to a member.
pub(super) fn below(pointer: &str, member: &str) -> String {
    format!("{pointer}/{}", member.replace('~', "~0").replace('/', "~1"))
}

fn fragment(pointer: &str) -> String {
    format!("#{}", utf8_percent_encode(&cut(pointer), FRAGMENT))
}

fn cut(text: &str) -> String {
    text.chars().take(MOST_CHARS).collect()
}
