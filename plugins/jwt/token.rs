//! Tokens in the compact serialization (RFC 7515 section 7.1), read without believing them.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::refusal::Refusal;

/// What a token says. Nothing of it is true before its signature was verified.
pub(super) struct Token<'a> {
    /// The algorithm it says it was signed with.
    pub(super) algorithm: Algorithm,
    /// The name of its key.
    pub(super) kid: Option<String>,
    /// Its type, as written.
    pub(super) kind: Option<String>,
    /// Its claims.
    pub(super) claims: Map<String, Value>,
    /// What was signed.
    pub(super) message: &'a [u8],
    /// The signature.
    pub(super) signature: Vec<u8>,
}

/// The members that are read. Keys and URLs of keys (`jwk`, `jku`, `x5c`, `x5u`) are not among
/// them. A member that comes twice is an error of the decoder.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

/// True for a member that is there, whatever it says.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Token<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// It is malformed, wants what is not known here, or names no algorithm of ours.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, Refusal> {
        let (message, signature) = split_last(text).ok_or(Refusal::Malformed)?;
        let (header, payload) = split_last(message).ok_or(Refusal::Malformed)?;
        // A third dot is an encrypted token, or none at all; base64url has no dots.
        let decode = |part: &[u8]| {
            let decoded = URL_SAFE_NO_PAD.decode(part);
            decoded.map_err(|_| Refusal::Malformed)
        };
        let header = decode(header)?;
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| Refusal::Malformed)?;
        if header.crit {
            return Err(Refusal::Critical);
        }
        let algorithm = Algorithm::of(&header.alg).ok_or(Refusal::Algorithm)?;
        let claims = serde_json::from_slice(&decode(payload)?).map_err(|_| Refusal::Malformed)?;
        Ok(Self {
            algorithm,
            kid: header.kid,
            kind: header.typ,
            claims,
            message,
            signature: decode(signature)?,
        })
    }
}

/// What stands before and after the last dot.
fn split_last(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().rposition(|byte| *byte == b'.')?;
    let (before, after) = text.split_at_checked(at)?;
    Some((before, after.get(1..)?))
}
