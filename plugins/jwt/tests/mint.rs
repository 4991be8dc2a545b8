//! Providers in memory: keys that sign.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use boring::bn::{BigNum, BigNumContext};
use boring::ec::{EcGroup, EcKey};
use boring::ecdsa::EcdsaSig;
use boring::hash::{MessageDigest, hash};
use boring::hmac::Hmac;
use boring::nid::Nid;
use boring::pkey::{Id, PKey, Private};
use boring::rsa::{Padding, Rsa};
use boring::sign::{RsaPssSaltlen, Signer};
use serde_json::{Value, json};

/// The wall clock of fake hosts: 2026-01-01T00:00:00Z.
pub(super) const NOW: i64 = 1_767_225_600;
/// The issuer of most tests.
pub(super) const ISSUER: &str = "https://idp.example.test";

enum Half {
    Rsa(PKey<Private>),
    Ec(EcKey<Private>, usize),
    Ed25519(PKey<Private>),
    Secret(Vec<u8>),
}

/// A key of a provider, and the algorithm it signs with.
pub(super) struct Minter {
    pub(super) alg: &'static str,
    pub(super) kid: &'static str,
    private: Half,
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn digest(alg: &str) -> MessageDigest {
    match &alg[2..] {
        "256" => MessageDigest::sha256(),
        "384" => MessageDigest::sha384(),
        _ => MessageDigest::sha512(),
    }
}

impl Minter {
    /// A new key.
    pub(super) fn new(alg: &'static str, kid: &'static str) -> Self {
        let ec = |nid, bytes| {
            let group = EcGroup::from_curve_name(nid).unwrap();
            Half::Ec(EcKey::generate(&group).unwrap(), bytes)
        };
        let private = match alg {
            "ES256" => ec(Nid::X9_62_PRIME256V1, 32),
            "ES384" => ec(Nid::SECP384R1, 48),
            "ES512" => ec(Nid::SECP521R1, 66),
            "EdDSA" | "Ed25519" => Half::Ed25519(PKey::generate(Id::ED25519).unwrap()),
            _ if alg.starts_with("HS") => Half::Secret(vec![b'k'; 64]),
            _ => Half::Rsa(PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()),
        };
        Self { alg, kid, private }
    }

    /// The public key without `alg` and `use`.
    pub(super) fn bare_jwk(&self) -> Value {
        match &self.private {
            Half::Rsa(key) => {
                let rsa = key.rsa().unwrap();
                let (n, e) = (rsa.n().to_vec(), rsa.e().to_vec());
                json!({ "kty": "RSA", "kid": self.kid, "n": encode(n), "e": encode(e) })
            }
            Half::Ec(key, bytes) => {
                let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
                let mut context = BigNumContext::new().unwrap();
                let point = key.public_key();
                let group = key.group();
                point
                    .affine_coordinates_gfp(group, &mut x, &mut y, &mut context)
                    .unwrap();
                let crv = match bytes {
                    32 => "P-256",
                    48 => "P-384",
                    _ => "P-521",
                };
                let padded = |number: &BigNum| {
                    let bare = number.to_vec();
                    [vec![0; bytes - bare.len()], bare].concat()
                };
                json!({ "kty": "EC", "kid": self.kid, "crv": crv, "x": encode(padded(&x)), "y": encode(padded(&y)) })
            }
            Half::Ed25519(key) => {
                let mut raw = [0; 32];
                let raw = key.raw_public_key(&mut raw).unwrap();
                json!({ "kty": "OKP", "kid": self.kid, "crv": "Ed25519", "x": encode(raw) })
            }
            Half::Secret(_) => json!({ "kty": "oct", "kid": self.kid, "k": encode([b'k'; 64]) }),
        }
    }

    /// The public key as providers publish it.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["alg"] = self.alg.into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// What the key signs of a message.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.private {
            Half::Rsa(key) => {
                let mut signer = Signer::new(digest(self.alg), key).unwrap();
                if self.alg.starts_with("PS") {
                    signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
                    let salt = RsaPssSaltlen::DIGEST_LENGTH;
                    signer.set_rsa_pss_saltlen(salt).unwrap();
                }
                signer.sign_oneshot_to_vec(message).unwrap()
            }
            Half::Ec(key, bytes) => {
                let digest = hash(digest(self.alg), message).unwrap();
                let signature = EcdsaSig::sign(&digest, key).unwrap();
                let padded = |number: Vec<u8>| [vec![0; bytes - number.len()], number].concat();
                [
                    padded(signature.r().to_vec()),
                    padded(signature.s().to_vec()),
                ]
                .concat()
            }
            Half::Ed25519(key) => {
                let mut signer = Signer::new_without_digest(key).unwrap();
                signer.sign_oneshot_to_vec(message).unwrap()
            }
            Half::Secret(secret) => {
                let mut hmac = Hmac::init(secret, &digest(self.alg)).unwrap();
                hmac.update(message).unwrap();
                hmac.finalize().unwrap()
            }
        }
    }

    /// A token with this header.
    pub(super) fn token_with(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        format!("{message}.{}", encode(self.sign(message.as_bytes())))
    }

    /// A token with these claims.
    pub(super) fn token_of(&self, claims: &Value) -> String {
        let header = json!({ "typ": "JWT", "alg": self.alg, "kid": self.kid });
        self.token_with(&header.to_string(), &claims.to_string())
    }

    /// A token for `sub`, with these claims more or instead.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_of(&usual(claims))
    }
}

/// Claims that the usual configuration takes, with others more or instead; `null` removes one.
pub(super) fn usual(more: &Value) -> Value {
    let mut claims = json!({ "iss": ISSUER, "aud": "api", "sub": "ann", "exp": NOW + 600 });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    claims
}

/// A document of these keys.
pub(super) fn document(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}
