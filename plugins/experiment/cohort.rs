//! Which variant a key belongs to: weighted rendezvous hashing (Mosharaf, Schindelhauer and others;
//! the form with logarithms is Thaler and Ravishankar's highest random weight with weights).
//!
//! Every variant draws a time from an exponential distribution whose rate is its weight, out of a hash
//! of the salt, the variant's name and the key; the earliest wins. So a variant wins with the chance of
//! its part of all weights, and a change of one variant's weight moves only keys to it or from it.
//!
//! The hash is SipHash-2-4 with a key of 16 zero bytes over `salt`, a zero byte, the variant's name, a
//! zero byte, and the key's bytes. It is the same in every process, on every node and in every release.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// The name under which it is drawn whether a key takes part at all. No variant has it.
const TAKES_PART: &str = "";

/// The shares of an experiment.
#[derive(Debug)]
pub(super) struct Cohorts {
    salt: Box<str>,
    /// Keys with a hash below this take part; none: all do.
    below: Option<u64>,
    variants: Box<[Share]>,
}

#[derive(Debug)]
struct Share {
    name: Box<str>,
    weight: f64,
}

impl Cohorts {
    /// Shares out to variants of these names and weights a part of all keys, in millionths.
    pub(super) fn new<'v>(
        salt: &str,
        millionths: u32,
        variants: impl IntoIterator<Item = (&'v str, u32)>,
    ) -> Self {
        let part = (u128::from(millionths) << 64) / 1_000_000;
        Self {
            salt: salt.into(),
            below: u64::try_from(part).ok(),
            variants: variants
                .into_iter()
                .map(|(name, weight)| Share {
                    name: name.into(),
                    weight: f64::from(weight),
                })
                .collect(),
        }
    }

    /// The place of the variant that a key belongs to; none if it takes no part.
    pub(super) fn pick(&self, key: &[u8]) -> Option<usize> {
        if let Some(below) = self.below
            && self.hash(TAKES_PART, key) >= below
        {
            return None;
        }
        let mut first = None;
        for (at, variant) in self.variants.iter().enumerate() {
            if variant.weight <= 0.0 {
                continue;
            }
            let time = -unit(self.hash(&variant.name, key)).ln() / variant.weight;
            if first.is_none_or(|(_, earliest)| time < earliest) {
                first = Some((at, time));
            }
        }
        first.map(|(at, _)| at)
    }

    fn hash(&self, name: &str, key: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new();
        for part in [self.salt.as_bytes(), name.as_bytes()] {
            hasher.write(part);
            hasher.write(&[0]);
        }
        hasher.write(key);
        hasher.finish()
    }
}

/// A number above 0 and below 1 out of the 53 highest bits, which a float holds exactly.
fn unit(hash: u64) -> f64 {
    const PARTS: f64 = (1_u64 << 53) as f64;
    ((hash >> 11) as f64 + 0.5) / PARTS
}
