//! Requests whose values are new each time, so that nobody gains by having met them before.

/// What stands where a number is wanted. As long as the number, so that lengths stay right.
const MARK: &[u8] = b"00000000";

/// The text with a number in each place.
pub(crate) fn numbered(text: &[u8], number: u32) -> Vec<u8> {
    let digits = format!("{:08}", number % 100_000_000);
    let mut made = text.to_vec();
    let mut at = 0;
    while let Some(place) = made.get_mut(at..at + MARK.len()) {
        at += match place == MARK {
            true => {
                place.copy_from_slice(digits.as_bytes());
                MARK.len()
            }
            false => 1,
        };
    }
    made
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn every_mark_gets_the_number() {
        for (text, number, expected) in [
            ("a=00000000&b=x-00000000", 17, "a=00000017&b=x-00000017"),
            ("0000000 000", 5, "0000000 000"),
            ("000000000", 123_456_789, "234567890"),
        ] {
            assert_eq!(
                numbered(text.as_bytes(), number),
                expected.as_bytes(),
                "{text}"
            );
        }
    }
}
