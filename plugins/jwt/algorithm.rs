//! The algorithms that sign tokens (RFC 7518 section 3.1, RFC 8037, RFC 9864), and which key each takes.

use std::fmt;

use boring::hash::MessageDigest;
use farmgate_plugin_api::decode::did_you_mean;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// A signature algorithm by its name in `alg`. There is no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
    Ed25519,
    Hs256,
    Hs384,
    Hs512,
}

/// Every algorithm with its name.
const ALL: [(&str, Algorithm); 14] = [
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("ES512", Algorithm::Es512),
    ("EdDSA", Algorithm::EdDsa),
    ("Ed25519", Algorithm::Ed25519),
    ("HS256", Algorithm::Hs256),
    ("HS384", Algorithm::Hs384),
    ("HS512", Algorithm::Hs512),
];

/// A curve of ECDSA keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

/// How a signature is made.
#[derive(Clone, Copy)]
pub(super) enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    Pkcs1(MessageDigest),
    /// RSASSA-PSS with a salt as long as the hash.
    Pss(MessageDigest),
    /// ECDSA; the signature is r and s, each as long as the curve's order.
    Ecdsa(MessageDigest, Curve),
    /// Ed25519.
    Ed25519,
    /// HMAC.
    Hmac(MessageDigest),
}

impl Algorithm {
    /// The algorithm of this name, to the letter: `alg` knows no letter case.
    pub(super) fn of(name: &str) -> Option<Self> {
        ALL.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, algorithm)| *algorithm)
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        ALL.iter()
            .find(|(_, algorithm)| *algorithm == self)
            .map_or("", |(name, _)| name)
    }

    /// How it signs.
    pub(super) fn scheme(self) -> Scheme {
        let (sha256, sha384, sha512) = (
            MessageDigest::sha256(),
            MessageDigest::sha384(),
            MessageDigest::sha512(),
        );
        match self {
            Self::Rs256 => Scheme::Pkcs1(sha256),
            Self::Rs384 => Scheme::Pkcs1(sha384),
            Self::Rs512 => Scheme::Pkcs1(sha512),
            Self::Ps256 => Scheme::Pss(sha256),
            Self::Ps384 => Scheme::Pss(sha384),
            Self::Ps512 => Scheme::Pss(sha512),
            Self::Es256 => Scheme::Ecdsa(sha256, Curve::P256),
            Self::Es384 => Scheme::Ecdsa(sha384, Curve::P384),
            Self::Es512 => Scheme::Ecdsa(sha512, Curve::P521),
            Self::EdDsa | Self::Ed25519 => Scheme::Ed25519,
            Self::Hs256 => Scheme::Hmac(sha256),
            Self::Hs384 => Scheme::Hmac(sha384),
            Self::Hs512 => Scheme::Hmac(sha512),
        }
    }

    /// True if it takes a shared secret instead of a public key.
    pub(super) fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    /// Fewest bytes of a shared secret (RFC 7518 section 3.2): as many as the hash has.
    pub(super) fn least_secret_bytes(self) -> usize {
        match self {
            Self::Hs384 => 48,
            Self::Hs512 => 64,
            _ => 32,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::of(&text).ok_or_else(|| {
            if text.eq_ignore_ascii_case("none") {
                let help = "name the algorithm that the provider signs with, as \"RS256\"";
                return D::Error::custom(format_args!(
                    "tokens without a signature are never let in\n{help}"
                ));
            }
            let names: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
            let help = did_you_mean(&text, &names);
            D::Error::custom(format_args!("{text:?} is no algorithm\n{help}"))
        })
    }
}
