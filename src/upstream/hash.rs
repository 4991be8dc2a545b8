//! One 64-bit hash for keys, the same in every process, on every node, in every version.
//!
//! FNV-1a 64 (draft-eastlake-fnv) over the bytes, then the finaliser of MurmurHash3, because
//! FNV alone leaves the high bits of short keys poor. No random seed: all nodes of a farm must
//! send one key to one endpoint. So it does not resist chosen keys; never use it for a table
//! whose chains an attacker could grow.

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Hashes text that arrives in pieces; the pieces are joined without a mark between them.
#[derive(Clone, Copy, Debug)]
pub struct StableHasher(u64);

impl Default for StableHasher {
    fn default() -> Self {
        Self(FNV_OFFSET)
    }
}

impl StableHasher {
    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }

    /// The hash of all bytes so far.
    pub fn finish(self) -> u64 {
        mix(self.0)
    }
}

/// The hash of `bytes`.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hasher = StableHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// The 64-bit finaliser of MurmurHash3 (public domain): a bijection that spreads every bit.
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let value = (value ^ (value >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ (value >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_part_matches_the_published_vectors() {
        for (text, expected) in [
            ("", 0xcbf2_9ce4_8422_2325_u64),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            let mut hasher = StableHasher::default();
            hasher.write(text.as_bytes());
            assert_eq!(hasher.0, expected, "{text}");
        }
    }

    /// Nodes of different versions must agree: these numbers may never change.
    #[test]
    fn golden_values() {
        assert_eq!(stable_hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(stable_hash(b"user-1"), 0x41a2_fca5_c684_01c5);
    }

    #[test]
    fn pieces_equal_the_whole() {
        let mut hasher = StableHasher::default();
        hasher.write(b"user");
        hasher.write(b"-1");
        assert_eq!(hasher.finish(), stable_hash(b"user-1"));
    }

    #[test]
    fn short_keys_fill_the_high_bits_evenly() {
        let mut buckets = [0_u32; 64];
        for number in 0..64_000 {
            let hash = stable_hash(format!("u{number}").as_bytes());
            buckets[(hash >> 58) as usize] += 1;
        }
        assert!(
            buckets.iter().all(|&n| (850..1150).contains(&n)),
            "{buckets:?}"
        );
    }
}
