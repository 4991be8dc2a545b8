//! Keys: a primary part and a variance.

use crate::hash::hash128;

/// What an object is found by: the primary key (its parts length-prefixed by the user) and the variance (empty, or
/// what selects one variant). The whole of both is compared on every hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    hash: u128,
    bytes: Box<[u8]>,
}

impl Key {
    /// Bytes before the primary key: its length.
    const PREFIX: usize = 4;

    /// `seed` is the store's: [`crate::Store::key`] gives it. A primary key is cut at 4 GiB by its type's users long
    /// before; here its length is only part of the bytes that are compared.
    pub(crate) fn build(seed: u64, primary: &[u8], variance: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(Self::PREFIX + primary.len() + variance.len());
        let len = u32::try_from(primary.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(primary);
        bytes.extend_from_slice(variance);
        Self::from_bytes(seed, bytes.into_boxed_slice())
    }

    /// A key from the bytes another one had, as they stand on disk.
    pub(crate) fn from_bytes(seed: u64, bytes: Box<[u8]>) -> Self {
        let hash = hash128(seed, &bytes);
        Self { hash, bytes }
    }

    /// The same with a chosen hash: how tests make a collision.
    #[cfg(test)]
    pub(crate) fn with_hash(hash: u128, bytes: &[u8]) -> Self {
        Self {
            hash,
            bytes: bytes.into(),
        }
    }

    pub(crate) fn hash(&self) -> u128 {
        self.hash
    }

    /// All of it: length, primary key, variance.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let rest = self.bytes.get(Self::PREFIX..).unwrap_or_default();
        let len = self
            .bytes
            .first_chunk::<4>()
            .map_or(0, |len| u32::from_le_bytes(*len));
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        rest.split_at_checked(len).unwrap_or((rest, &[]))
    }

    /// The primary key.
    #[must_use]
    pub fn primary(&self) -> &[u8] {
        self.split().0
    }

    /// The variance; empty for an object without variants.
    #[must_use]
    pub fn variance(&self) -> &[u8] {
        self.split().1
    }
}
