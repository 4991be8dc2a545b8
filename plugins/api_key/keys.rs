//! Who has which key: a table that is looked up by the SHA-256 of what a client sends.

use std::collections::HashMap;
use std::fmt;

use farmgate_plugin_api::Consumer;
use foldhash::fast::RandomState;
use serde::de::{Deserialize, Deserializer, Error};
use sha2::{Digest, Sha256};

/// The SHA-256 of a key. A table of them gives no key away, as long as keys are long and random.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyHash([u8; 32]);

/// The SHA-256 of nothing: what `printf %s "$KEY" | sha256sum` gives when the variable is empty.
const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const HELP: &str = "write the 64 hexadecimal digits that `printf %s KEY | sha256sum` prints";

impl KeyHash {
    /// The hash of a key that a client sent.
    pub(super) fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Reads 64 hexadecimal digits of either case. The error does not show the text: it may be a key.
    fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case(OF_NOTHING) {
            return Err(format!("this is the SHA-256 of an empty key\n{HELP}"));
        }
        let wrong = || format!("this is no SHA-256 of a key\n{HELP}");
        let mut hash = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != hash.len() || !rest.is_empty() {
            return Err(wrong());
        }
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            let digit = |b: &u8| char::from(*b).to_digit(16);
            let (high, low) = digit(high).zip(digit(low)).ok_or_else(wrong)?;
            *byte = u8::try_from(high * 16 + low).map_err(|_| wrong())?;
        }
        Ok(Self(hash))
    }
}

/// Not even the hash is shown: it is what somebody who guesses keys would need.
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// Every key and whose it is. Never changed: another version of the file makes another table.
#[derive(Default)]
pub(super) struct Keys {
    consumers: Vec<Consumer>,
    /// The hash, and the place of its consumer. Comparing hashes need not take constant time: whoever learns
    /// how far a hash of his choice agrees with one in the table is no nearer to a key.
    places: HashMap<KeyHash, u32, RandomState>,
}

impl Keys {
    /// Whose key this is.
    pub(super) fn find(&self, key: &[u8]) -> Option<&Consumer> {
        let place = usize::try_from(*self.places.get(&KeyHash::of(key))?).ok()?;
        self.consumers.get(place)
    }

    /// Adds a consumer and the hashes of its keys. False if somebody has one of them already.
    pub(super) fn add(&mut self, consumer: Consumer, hashes: &[KeyHash]) -> bool {
        let Ok(place) = u32::try_from(self.consumers.len()) else {
            return false;
        };
        self.consumers.push(consumer);
        let mut is_new = true;
        for hash in hashes {
            is_new &= self.places.insert(*hash, place).is_none();
        }
        is_new
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// How many consumers there are.
    pub(super) fn consumers(&self) -> usize {
        self.consumers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hash_is_what_sha256sum_prints() {
        // printf %s foo | sha256sum
        let foo = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        assert_eq!(KeyHash::parse(foo).unwrap(), KeyHash::of(b"foo"));
        assert_eq!(
            KeyHash::parse(&foo.to_uppercase()).unwrap(),
            KeyHash::of(b"foo")
        );
        assert_eq!(format!("{:?}", KeyHash::of(b"foo")), "***");
    }

    #[test]
    fn anything_else_is_refused_and_not_shown() {
        let secret = "sk_live_51MZ";
        let long = "g".repeat(64);
        let wide = "é".repeat(32);
        for text in ["", secret, &long, &wide, &"a".repeat(63), &"a".repeat(66)] {
            let error = KeyHash::parse(text).unwrap_err();
            assert!(error.contains("sha256sum"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        assert!(
            KeyHash::parse(OF_NOTHING)
                .unwrap_err()
                .contains("empty key")
        );
    }

    proptest! {
        #[test]
        fn exactly_the_keys_that_were_added_are_found(
            added in prop::collection::hash_set("[a-z0-9]{1,40}", 0..40),
            asked in prop::collection::vec("[a-z0-9]{1,3}", 0..40),
        ) {
            let mut keys = Keys::default();
            for key in &added {
                let consumer = Consumer { name: key.as_str().into(), ..Consumer::default() };
                prop_assert!(keys.add(consumer, &[KeyHash::of(key.as_bytes())]));
            }
            for key in added.iter().chain(&asked) {
                let found = keys.find(key.as_bytes()).map(|consumer| &*consumer.name);
                prop_assert_eq!(found, added.get(key).map(String::as_str));
            }
        }
    }
}
