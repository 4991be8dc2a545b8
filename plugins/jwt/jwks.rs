//! Documents of keys (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::{Algorithm, Curve};
use super::key::PublicKey;

/// Largest document, in bytes.
pub(super) const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// Most keys of a document, usable or not.
const MAX_KEYS: usize = 256;
/// Longest name of a key, in bytes.
const MAX_KID_BYTES: usize = 1024;

/// A key as the provider published it.
pub(super) struct Key {
    /// Its name; some providers give none.
    pub(super) kid: Option<Box<str>>,
    /// The only algorithm it may be used with, if it says one.
    algorithm: Option<Algorithm>,
    /// What verifies.
    pub(super) public: PublicKey,
}

impl Key {
    /// True if it may verify signatures of this algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.public.fits(algorithm)
    }
}

/// The usable keys of a document; at least one.
pub(super) struct KeySet(pub(super) Box<[Key]>);

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// The members that are read; all others are allowed and ignored (RFC 7517 section 4).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a document. Keys that cannot be used are skipped.
    ///
    /// # Errors
    /// It is too large, no such document, or has no usable key. The text holds no bytes of it.
    pub(super) fn parse(document: &[u8]) -> Result<Self, String> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(format!(
                "the keys are larger than {MAX_DOCUMENT_BYTES} bytes"
            ));
        }
        let read: Document = serde_json::from_slice(document).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!(
                "this is no JSON of the form {{\"keys\": [...]}} (line {line}, column {column})"
            )
        })?;
        if read.keys.len() > MAX_KEYS {
            return Err(format!("there are more than {MAX_KEYS} keys"));
        }
        let count = read.keys.len();
        let keys: Box<[Key]> = read.keys.into_iter().filter_map(usable).collect();
        if keys.is_empty() {
            return Err(format!("of {count} keys none can verify a signature"));
        }
        Ok(Self(keys))
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The key, if signatures can be verified with it.
fn usable(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if jwk.r#use.is_some_and(|used| used != "sig") {
        return None;
    }
    if jwk
        .key_ops
        .is_some_and(|all| all.iter().all(|one| one != "verify"))
    {
        return None;
    }
    // An algorithm that is not known here: the key is for something else.
    let algorithm = match jwk.alg {
        Some(name) => Some(Algorithm::of(&name)?),
        None => None,
    };
    let bytes = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?).ok();
    let public = match jwk.kty.as_str() {
        "RSA" => PublicKey::rsa(&bytes(jwk.n)?, &bytes(jwk.e)?)?,
        "EC" => PublicKey::ec(Curve::of(&jwk.crv?)?, &bytes(jwk.x)?, &bytes(jwk.y)?)?,
        "OKP" if jwk.crv.as_deref() == Some("Ed25519") => PublicKey::ed25519(&bytes(jwk.x)?)?,
        // Symmetric keys too: what everybody can fetch is no secret.
        _ => return None,
    };
    if algorithm.is_some_and(|algorithm| !public.fits(algorithm)) {
        return None;
    }
    let kid = jwk.kid.map(String::into_boxed_str);
    if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
        return None;
    }
    Some(Key {
        kid,
        algorithm,
        public,
    })
}
