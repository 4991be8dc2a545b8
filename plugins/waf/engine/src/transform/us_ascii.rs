//! Letters of US-ASCII for code points that are drawn like them: Windows' "best fit" for code page 20127.

use std::sync::LazyLock;

/// `code point:letter`, in hexadecimal, in order.
const PAIRS: &str = include_str!("us_ascii.txt");

static MAP: LazyLock<Vec<(u16, u8)>> = LazyLock::new(|| {
    PAIRS
        .split_whitespace()
        .filter_map(|pair| {
            let (code_point, letter) = pair.split_once(':')?;
            Some((
                u16::from_str_radix(code_point, 16).ok()?,
                u8::from_str_radix(letter, 16).ok()?,
            ))
        })
        .collect()
});

/// The letter that stands for a code point.
pub(super) fn letter(code_point: u16) -> Option<u8> {
    let at = MAP
        .binary_search_by_key(&code_point, |(known, _)| *known)
        .ok()?;
    MAP.get(at).map(|(_, letter)| *letter)
}

#[cfg(test)]
mod tests {
    use super::{MAP, PAIRS, letter};

    #[test]
    fn every_pair_is_read_and_found() {
        assert_eq!(MAP.len(), PAIRS.split_whitespace().count());
        assert!(MAP.is_sorted());
        assert_eq!(
            (letter(0x2019), letter(0xff1c), letter(0x0041)),
            (Some(b'\''), Some(b'<'), None)
        );
    }
}
