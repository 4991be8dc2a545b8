//! Request ids: 32 hex digits of our own, or a client's when a plugin takes it over.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};

/// Longest id taken over from elsewhere, in bytes.
const MAX_BYTES: usize = 128;

/// The id of a request, for logs, error bodies, the origin and `farmgate explain`.
#[derive(Clone, Debug)]
pub enum RequestId {
    /// Made here.
    Own([u8; 32]),
    /// Taken over.
    Given(Box<str>),
}

thread_local! {
    static SEED: Cell<[u64; 2]> = Cell::new(seed());
}

/// Each thread draws its own start from the system's random source.
fn seed() -> [u64; 2] {
    let random = || std::hash::RandomState::new().build_hasher().finish();
    [random() | 1, random()]
}

/// 64 random bits, xoroshiro128+ (Blackman and Vigna). Not for secrets.
pub fn random() -> u64 {
    SEED.with(|cell| {
        let [a, mut b] = cell.get();
        let result = a.wrapping_add(b);
        b ^= a;
        cell.set([a.rotate_left(24) ^ b ^ (b << 16), b.rotate_left(37)]);
        result
    })
}

impl RequestId {
    /// A fresh id of 128 random bits.
    pub fn new() -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut bits = (u128::from(random()) << 64) | u128::from(random());
        let mut text = [b'0'; 32];
        for digit in text.iter_mut().rev() {
            if let Some(hex) = HEX.get((bits & 15) as usize) {
                *digit = *hex;
            }
            bits >>= 4;
        }
        Self::Own(text)
    }

    /// An id from elsewhere: visible ASCII, at most 128 bytes.
    pub fn given(text: &str) -> Option<Self> {
        let ok = !text.is_empty()
            && text.len() <= MAX_BYTES
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        ok.then(|| Self::Given(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            // The digits are ASCII by construction.
            Self::Own(text) => std::str::from_utf8(text).unwrap_or_default(),
            Self::Given(text) => text,
        }
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_and_differ() {
        let (a, b) = (RequestId::new(), RequestId::new());
        assert_eq!(a.as_str().len(), 32);
        assert!(a.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(a.as_str(), b.as_str());
    }

    #[test]
    fn foreign_ids_are_bounded_and_visible() {
        assert!(RequestId::given("abc-1").is_some());
        assert!(RequestId::given("").is_none());
        assert!(RequestId::given("a b").is_none());
        assert!(RequestId::given("a\nb").is_none());
        assert!(RequestId::given(&"x".repeat(129)).is_none());
    }
}
