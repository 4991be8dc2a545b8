//! CRC-32C (Castagnoli, RFC 3720 appendix B.4), a table computed by the compiler.

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut index = 0;
    while index < table.len() {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0x82f6_3b78
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// The checksum of these bytes in order.
pub(super) fn checksum<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u32 {
    !bytes.into_iter().fold(!0, |sum: u32, &byte| {
        let [low, ..] = (sum ^ u32::from(byte)).to_le_bytes();
        // A u8 cannot leave a table of 256.
        TABLE[usize::from(low)] ^ (sum >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn has_the_published_values() {
        assert_eq!(checksum(b""), 0);
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
        assert_eq!(checksum(&[0u8; 32]), 0x8a91_36aa);
        assert_eq!(checksum(&[0xffu8; 32]), 0x62a8_ab43);
    }
}
