//! Keys, and the only place where signatures are verified.

use boring::bn::BigNum;
use boring::ec::{EcGroup, EcKey};
use boring::ecdsa::EcdsaSig;
use boring::error::ErrorStack;
use boring::hash::{MessageDigest, hash};
use boring::hmac::Hmac;
use boring::memcmp;
use boring::nid::Nid;
use boring::pkey::{PKey, Public};
use boring::rsa::{Padding, Rsa};
use boring::sign::{RsaPssSaltlen, Verifier};
use farmgate_plugin_api::decode::Secret;

use super::algorithm::{Algorithm, Curve, Scheme};

/// RSA moduli: shorter ones are broken or soon will be, longer ones cost a request too much time.
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;
/// Longest exponent of an RSA key, in bytes: what the library takes (33 bits).
const MAX_EXPONENT_BYTES: usize = 5;
/// What stands before an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const ED25519_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A public key that verifies signatures of one family of algorithms.
pub(super) enum PublicKey {
    Rsa(PKey<Public>),
    Ec(Curve, EcKey<Public>),
    Ed25519(PKey<Public>),
}

impl Curve {
    /// The curve of this `crv`.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "P-256" => Some(Self::P256),
            "P-384" => Some(Self::P384),
            "P-521" => Some(Self::P521),
            _ => None,
        }
    }

    fn nid(self) -> Nid {
        match self {
            Self::P256 => Nid::X9_62_PRIME256V1,
            Self::P384 => Nid::SECP384R1,
            Self::P521 => Nid::SECP521R1,
        }
    }

    /// Bytes of a coordinate, and of r and s.
    fn bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

impl PublicKey {
    /// An RSA key; none if it is too weak, too large, or none at all.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        let most = usize::try_from(RSA_BITS.end() / 8).ok()?;
        // A zero byte before the number is not canonical, but common.
        let n = n.strip_prefix(&[0]).unwrap_or(n);
        if n.len() > most || e.len() > MAX_EXPONENT_BYTES {
            return None;
        }
        let exponent = e
            .iter()
            .fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
        if exponent < 3 || exponent % 2 == 0 {
            return None;
        }
        let key = || -> Result<PKey<Public>, ErrorStack> {
            let rsa = Rsa::from_public_components(BigNum::from_slice(n)?, BigNum::from_slice(e)?)?;
            PKey::from_rsa(rsa)
        };
        let key = key().ok()?;
        RSA_BITS.contains(&key.bits()).then_some(Self::Rsa(key))
    }

    /// An EC key; none if the point is not on the curve.
    pub(super) fn ec(curve: Curve, x: &[u8], y: &[u8]) -> Option<Self> {
        // RFC 7518 section 6.2.1.2: as long as the field's elements.
        if x.len() != curve.bytes() || y.len() != curve.bytes() {
            return None;
        }
        let key = || -> Result<EcKey<Public>, ErrorStack> {
            let group = EcGroup::from_curve_name(curve.nid())?;
            let (x, y) = (BigNum::from_slice(x)?, BigNum::from_slice(y)?);
            let key = EcKey::from_public_key_affine_coordinates(&group, &x, &y)?;
            key.check_key()?;
            Ok(key)
        };
        Some(Self::Ec(curve, key().ok()?))
    }

    /// An Ed25519 key.
    pub(super) fn ed25519(x: &[u8]) -> Option<Self> {
        if x.len() != 32 {
            return None;
        }
        let info = [&ED25519_PREFIX, x].concat();
        PKey::public_key_from_der(&info).ok().map(Self::Ed25519)
    }

    /// True if signatures of this algorithm are made with such a key.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        match (algorithm.scheme(), self) {
            (Scheme::Pkcs1(_) | Scheme::Pss(_), Self::Rsa(_))
            | (Scheme::Ed25519, Self::Ed25519(_)) => true,
            (Scheme::Ecdsa(_, wanted), Self::Ec(curve, _)) => wanted == *curve,
            _ => false,
        }
    }

    /// True if `signature` over `message` was made with this key's other half. False whenever key
    /// and algorithm do not fit, and when the library fails.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (algorithm.scheme(), self) {
            (Scheme::Pkcs1(digest), Self::Rsa(key)) => {
                rsa(key, digest, Padding::PKCS1, message, signature)
            }
            (Scheme::Pss(digest), Self::Rsa(key)) => {
                rsa(key, digest, Padding::PKCS1_PSS, message, signature)
            }
            (Scheme::Ecdsa(digest, wanted), Self::Ec(curve, key)) if wanted == *curve => {
                ecdsa(key, digest, *curve, message, signature)
            }
            (Scheme::Ed25519, Self::Ed25519(key)) => Verifier::new_without_digest(key)
                .and_then(|mut verifier| verifier.verify_oneshot(signature, message)),
            _ => Ok(false),
        };
        verified.unwrap_or(false)
    }
}

fn rsa(
    key: &PKey<Public>,
    digest: MessageDigest,
    padding: Padding,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, ErrorStack> {
    let mut verifier = Verifier::new(digest, key)?;
    verifier.set_rsa_padding(padding)?;
    if padding == Padding::PKCS1_PSS {
        verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        verifier.set_rsa_mgf1_md(digest)?;
    }
    verifier.verify_oneshot(signature, message)
}

fn ecdsa(
    key: &EcKey<Public>,
    digest: MessageDigest,
    curve: Curve,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, ErrorStack> {
    let Some((r, s)) = signature.split_at_checked(curve.bytes()) else {
        return Ok(false);
    };
    if s.len() != curve.bytes() {
        return Ok(false);
    }
    let (r, s) = (BigNum::from_slice(r)?, BigNum::from_slice(s)?);
    EcdsaSig::from_private_components(r, s)?.verify(&hash(digest, message)?, key)
}

/// True if `signature` is the HMAC of `message` under this secret; the time it takes does not tell
/// how much of it was right.
pub(super) fn hmac_verifies(
    secret: &Secret,
    algorithm: Algorithm,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Scheme::Hmac(digest) = algorithm.scheme() else {
        return false;
    };
    let made = || -> Result<Vec<u8>, ErrorStack> {
        let mut hmac = Hmac::init(secret.reveal().as_bytes(), &digest)?;
        hmac.update(message)?;
        hmac.finalize()
    };
    made().is_ok_and(|made| made.len() == signature.len() && memcmp::eq(&made, signature))
}
