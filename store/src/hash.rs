//! XXH3, the one hash of the engine: 128 bits for keys, 64 bits for names in purges and for checksums on disk.

use twox_hash::{XxHash3_64, XxHash3_128};

/// The hash that names are purged by: hosts, tags, URLs. The same on every node, so that purges can be sent on.
/// Two names with one hash are purged together, which is the safe side.
#[must_use]
pub fn hash64(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// The hash an object is found by. Seeded per store, so that nobody can look for collisions beforehand; one that
/// happens is a miss, because the whole key is compared.
pub(crate) fn hash128(seed: u64, bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot_with_seed(seed, bytes)
}

/// The checksum of everything on disk. `name` is the store's, so that bytes of another store never verify.
pub(crate) fn checksum(name: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(name, bytes)
}
