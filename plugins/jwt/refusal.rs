//! Why a request is refused: to the client a word that helps no attacker, to the operator the truth.

use http::{HeaderValue, StatusCode, header};

use farmgate_plugin_api::Reply;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No token in any place.
    Missing,
    /// Two tokens in one place.
    Ambiguous,
    /// A token longer than the limit.
    TooLarge,
    /// No token of this form, or claims of the wrong type.
    Malformed,
    /// The token says that something must be understood that is not.
    Critical,
    /// The algorithm is unknown or not on the list.
    Algorithm,
    /// Another `typ`.
    Type,
    /// Nobody's `iss`.
    Issuer,
    /// No key of the provider is meant.
    UnknownKey,
    /// The signature is wrong.
    Signature,
    /// Expired, or without a needed `exp`.
    Expired,
    /// Not valid yet.
    NotYet,
    /// For somebody else.
    Audience,
    /// A scope is missing.
    Scope,
    /// A claim is missing or has another value.
    Claims,
    /// A claim cannot be sent as a header field.
    HeaderValue,
    /// No consumer can be named.
    Consumer,
}

/// Values of the label `reason`.
pub(super) const REASONS: usize = 17;

impl Refusal {
    /// The word in the counter.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Critical => "critical",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::Issuer => "issuer",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Audience => "audience",
            Self::Scope => "scope",
            Self::Claims => "claims",
            Self::HeaderValue => "header_value",
            Self::Consumer => "consumer",
        }
    }

    /// The word that the client gets. Only who has a token that a provider signed learns more than
    /// that it was wrong.
    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Expired => "token_expired",
            Self::Scope => "scope_missing",
            Self::Claims | Self::HeaderValue | Self::Consumer => "claims_refused",
            _ => "token_invalid",
        }
    }

    /// The reply, with the challenge that RFC 6750 section 3 asks for.
    pub(super) fn reply(self, challenges: &Challenges) -> Reply {
        let (status, challenge) = match self {
            Self::Missing => (StatusCode::UNAUTHORIZED, &challenges.missing),
            Self::Scope | Self::Claims | Self::HeaderValue | Self::Consumer => {
                (StatusCode::FORBIDDEN, &challenges.forbidden)
            }
            _ => (StatusCode::UNAUTHORIZED, &challenges.invalid),
        };
        Reply::problem(status, self.detail()).header(header::WWW_AUTHENTICATE, challenge.clone())
    }
}

/// The values of `WWW-Authenticate`.
pub(super) struct Challenges {
    missing: HeaderValue,
    invalid: HeaderValue,
    forbidden: HeaderValue,
}

impl Challenges {
    /// For this realm; none if it holds something else than printable ASCII.
    pub(super) fn new(realm: &str) -> Option<Self> {
        if !realm.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return None;
        }
        let realm = realm.replace('\\', r"\\").replace('"', r#"\""#);
        let value =
            |rest: &str| HeaderValue::from_str(&format!("Bearer realm=\"{realm}\"{rest}")).ok();
        Some(Self {
            missing: value("")?,
            invalid: value(", error=\"invalid_token\"")?,
            forbidden: value(", error=\"insufficient_scope\"")?,
        })
    }
}
