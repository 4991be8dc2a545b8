//! Secrets, and the signatures that they make: HMAC with SHA-256 or SHA-512 (RFC 2104, RFC 6234).

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

/// Bytes of the longest signature.
const MAX_BYTES: usize = 64;

pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The hash below the signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Algorithm {
    #[default]
    Sha256,
    Sha512,
}

impl Algorithm {
    fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// A secret, ready to sign; a clone begins a signature.
#[derive(Clone)]
pub(super) enum Signer {
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl Signer {
    /// With this secret. HMAC takes one of any length; none is never given.
    pub(super) fn new(algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Sha256 => Hmac::new_from_slice(secret).ok().map(Self::Sha256),
            Algorithm::Sha512 => Hmac::new_from_slice(secret).ok().map(Self::Sha512),
        }
    }

    /// Goes on with these bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(mac) => mac.update(bytes),
            Self::Sha512(mac) => mac.update(bytes),
        }
    }

    /// The signature of what was given.
    pub(super) fn sign(self) -> Signature {
        match self {
            Self::Sha256(mac) => Signature::of(&mac.finalize().into_bytes()),
            Self::Sha512(mac) => Signature::of(&mac.finalize().into_bytes()),
        }
    }
}

/// A signature: one that came, or one that was made.
#[derive(Clone)]
pub(super) struct Signature {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Signature {
    fn of(made: &[u8]) -> Self {
        let mut bytes = [0; MAX_BYTES];
        for (to, from) in bytes.iter_mut().zip(made) {
            *to = *from;
        }
        Self {
            bytes,
            len: made.len().min(MAX_BYTES),
        }
    }

    /// Reads a signature as it is written; none if it is none of this algorithm.
    pub(super) fn read(text: &[u8], encoding: Encoding, algorithm: Algorithm) -> Option<Self> {
        let mut bytes = [0; MAX_BYTES];
        let len = match encoding {
            Encoding::Hex => read_hex(text, &mut bytes)?,
            // The decoder wants room for a whole last group.
            Encoding::Base64 => {
                let mut room = [0; MAX_BYTES + 2];
                let len = BASE64.decode_slice(text, &mut room).ok()?;
                bytes.copy_from_slice(room.get(..MAX_BYTES)?);
                len
            }
        };
        (len == algorithm.bytes()).then_some(Self { bytes, len })
    }

    /// Whether both are the same, in a time that does not tell how far they are.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same: bool = self.bytes.ct_eq(&other.bytes).into();
        same && self.len == other.len
    }

    /// The first half of it, as a number.
    pub(super) fn number(&self) -> u128 {
        self.bytes
            .first_chunk()
            .map_or(0, |bytes| u128::from_be_bytes(*bytes))
    }
}

fn read_hex(text: &[u8], out: &mut [u8; MAX_BYTES]) -> Option<usize> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > out.len() {
        return None;
    }
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        let digit = |b: &u8| char::from(*b).to_digit(16);
        *byte = u8::try_from(digit(high)? * 16 + digit(low)?).ok()?;
    }
    Some(pairs.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sign(algorithm: Algorithm, secret: &[u8], text: &[u8]) -> Signature {
        let mut signer = Signer::new(algorithm, secret).unwrap();
        signer.update(text);
        signer.sign()
    }

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        // Test cases 1, 2 and 6.
        let cases: [(&[u8], &[u8], &str, &str); 3] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
                "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
            ),
        ];
        for (secret, text, of_256, of_512) in cases {
            for (algorithm, hex) in [(Algorithm::Sha256, of_256), (Algorithm::Sha512, of_512)] {
                let made = sign(algorithm, secret, text);
                let read = |text: &str| Signature::read(text.as_bytes(), Encoding::Hex, algorithm);
                assert!(made.is(&read(hex).unwrap()));
                assert!(made.is(&read(&hex.to_uppercase()).unwrap()));
                assert!(!made.is(&read(&hex.replace('a', "b")).unwrap()));
            }
        }
    }

    #[test]
    fn what_is_no_signature_is_not_read() {
        let read =
            |text: &str, encoding| Signature::read(text.as_bytes(), encoding, Algorithm::Sha256);
        for text in [
            "",
            "0",
            "zz",
            "é",
            &"0".repeat(62),
            &"0".repeat(63),
            &"0".repeat(128),
            &"0".repeat(999),
        ] {
            assert!(read(text, Encoding::Hex).is_none(), "{text}");
        }
        for text in [
            "",
            "A",
            "!",
            &"A".repeat(42),
            &"A".repeat(44),
            &"A".repeat(88),
            &"A".repeat(9999),
        ] {
            assert!(read(text, Encoding::Base64).is_none(), "{text}");
        }
        assert!(read(&"A".repeat(43), Encoding::Base64).is_some());
        assert!(read(&format!("{}=", "A".repeat(43)), Encoding::Base64).is_some());
    }

    proptest! {
        #[test]
        fn both_encodings_give_the_bytes_back(secret in prop::collection::vec(any::<u8>(), 1..200), text in prop::collection::vec(any::<u8>(), 0..99)) {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                let made = sign(algorithm, &secret, &text);
                let bytes = &made.bytes[..made.len];
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let base64 = BASE64.encode(bytes);
                prop_assert!(Signature::read(hex.as_bytes(), Encoding::Hex, algorithm).unwrap().is(&made));
                prop_assert!(Signature::read(base64.as_bytes(), Encoding::Base64, algorithm).unwrap().is(&made));
            }
        }
    }
}
