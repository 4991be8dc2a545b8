//! How many bytes the allocator takes for what is asked.

/// The size class that jemalloc serves `bytes` from: multiples of 16 up to 128, then four classes per doubling.
/// The budget counts these, or a cache of 2,100-byte bodies would take a fifth more than it says.
pub(crate) fn allocated(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    if bytes <= 128 {
        return bytes.next_multiple_of(16);
    }
    // The classes of (2^k, 2^(k+1)] lie 2^k / 4 apart.
    let spacing = (bytes.next_power_of_two() / 8).max(16);
    bytes.next_multiple_of(spacing)
}

/// What the `Bytes` of one allocation costs beside it: its entry in a list and the counter its clones share.
pub(crate) const PER_CHUNK: usize = 32 + 32;

#[cfg(test)]
mod tests {
    use super::allocated;

    #[test]
    fn classes_are_those_of_jemalloc() {
        let classes = [
            (0, 0),
            (1, 16),
            (16, 16),
            (128, 128),
            (129, 160),
            (161, 192),
            (257, 320),
            (2049, 2560),
            (4096, 4096),
            (5120, 5120),
            (131_072, 131_072),
            (131_073, 163_840),
        ];
        for (asked, got) in classes {
            assert_eq!(allocated(asked), got, "{asked}");
        }
    }
}
