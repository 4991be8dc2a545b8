//! Operators that look for numbers of cards and persons: a regex finds candidates, check digits
//! decide.

use super::Captures;
use super::regex::{self, Regex};

/// The longest candidate, in bytes. Numbers have up to 19 digits; a limit keeps the search linear,
/// since a candidate is tried at every place where the regex can begin.
const CANDIDATE_BYTES: usize = 256;

/// How many bytes are searched at a time for the next candidate.
const WINDOW_BYTES: usize = 2 * CANDIDATE_BYTES;

/// Which check digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Payment cards: Luhn.
    Card,
    /// Brazil's CPF.
    Cpf,
    /// The social security number of the United States.
    Ssn,
    /// Austria's Sozialversicherungsnummer.
    Svnr,
}

/// A compiled operator.
#[derive(Clone, Debug)]
pub struct Verify {
    number: Number,
    candidates: Regex,
}

impl Verify {
    pub(super) fn compile(operator: &str, number: Number, argument: &[u8]) -> Result<Self, String> {
        if argument.is_empty() {
            return Err(format!("{operator} needs a regex that finds candidates"));
        }
        let candidates =
            regex::compile(argument).map_err(|error| format!("{operator}: {error}"))?;
        Ok(Self { number, candidates })
    }

    /// Looks for a candidate whose check digits are right; it becomes TX:0.
    pub(super) fn matches(&self, value: &[u8], captures: Option<&mut Captures>) -> bool {
        // Most values hold no candidate at all: one pass says so.
        if !self.candidates.is_match(value) {
            return false;
        }
        let mut from = 0;
        while from < value.len() {
            let to = from.saturating_add(WINDOW_BYTES).min(value.len());
            let Some((start, _)) = self.candidates.find_in(value, from, to, false) else {
                // A candidate that begins in the second half may have been cut off by the window.
                from = from.saturating_add(CANDIDATE_BYTES);
                continue;
            };
            let to = start.saturating_add(CANDIDATE_BYTES).min(value.len());
            let candidate = self
                .candidates
                .find_in(value, start, to, true)
                .and_then(|(start, end)| value.get(start..end));
            if let Some(candidate) = candidate.filter(|text| self.is_valid(text)) {
                if let Some(captures) = captures {
                    captures.set(0, candidate);
                }
                return true;
            }
            from = start.saturating_add(1);
        }
        false
    }

    fn is_valid(&self, candidate: &[u8]) -> bool {
        match self.number {
            Number::Card => is_card(candidate),
            Number::Cpf => first_digits(candidate).is_some_and(|digits| is_cpf(&digits)),
            Number::Svnr => first_digits(candidate).is_some_and(|digits| is_svnr(&digits)),
            Number::Ssn => is_ssn(candidate),
        }
    }
}

/// The values of all digits of a text.
fn digits(text: &[u8]) -> impl DoubleEndedIterator<Item = u8> {
    text.iter()
        .filter(|byte| byte.is_ascii_digit())
        .map(|byte| byte.wrapping_sub(b'0'))
}

/// The first digits up to a zero byte, where ModSecurity stops; None when there are fewer.
fn first_digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let text = text.split(|byte| *byte == 0).next()?;
    let mut found = [0; N];
    let mut left = digits(text);
    for slot in &mut found {
        *slot = left.next()?;
    }
    Some(found)
}

/// True when all digits are the same.
fn is_repeated(digits: &[u8]) -> bool {
    digits
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a == b))
}

/// True when the digits go 0, 1, 2, ... 9, 0 from this one.
fn counts_from(digits: &[u8], first: u8) -> bool {
    (first..)
        .zip(digits)
        .all(|(expected, digit)| expected % 10 == *digit)
}

/// ISO/IEC 7812: from the right every second digit counts twice.
fn is_card(candidate: &[u8]) -> bool {
    let mut any = false;
    let sum = digits(candidate)
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            any = true;
            match (place % 2, digit) {
                (0, digit) => u32::from(digit),
                (_, digit @ 0..=4) => u32::from(digit).saturating_mul(2),
                (_, digit) => u32::from(digit).saturating_mul(2).saturating_sub(9),
            }
        })
        .fold(0u32, u32::wrapping_add);
    any && sum % 10 == 0
}

fn weighted(digits: &[u8], weights: impl IntoIterator<Item = u32>) -> u32 {
    digits
        .iter()
        .zip(weights)
        .map(|(digit, weight)| u32::from(*digit).wrapping_mul(weight))
        .fold(0, u32::wrapping_add)
}

fn is_cpf(digits: &[u8; 11]) -> bool {
    if is_repeated(digits) || counts_from(digits, 0) {
        return false;
    }
    let check = |sum: u32| match sum % 11 {
        0 | 1 => 0,
        rest => 11u32.wrapping_sub(rest),
    };
    let [a, b, c, d, e, f, g, h, i, first, second] = *digits;
    let body = [a, b, c, d, e, f, g, h, i, first];
    check(weighted(&body, (2..=10).rev())) == u32::from(first)
        && check(weighted(&body, (2..=11).rev())) == u32::from(second)
}

fn is_svnr(digits: &[u8; 10]) -> bool {
    if is_repeated(digits) || counts_from(digits, 0) || counts_from(digits, 1) {
        return false;
    }
    let [_, _, _, check, ..] = *digits;
    let sum = weighted(digits, [3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11;
    // ModSecurity reads 10 as 0, although such numbers are never issued.
    u32::from(check) == if sum == 10 { 0 } else { sum }
}

fn is_ssn(candidate: &[u8]) -> bool {
    let found: [u8; 9] = match first_nine(candidate) {
        Some(found) => found,
        None => return false,
    };
    let rising = found
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.wrapping_add(1) == *b));
    if rising || is_repeated(&found) {
        return false;
    }
    let [a, b, c, d, e, rest @ ..] = found;
    let area = weighted(&[a, b, c], [100, 10, 1]);
    let group = weighted(&[d, e], [10, 1]);
    let serial = weighted(&rest, [1000, 100, 10, 1]);
    area != 0 && group != 0 && serial != 0 && area < 740 && area != 666
}

/// The digits of a candidate that has exactly nine.
fn first_nine(candidate: &[u8]) -> Option<[u8; 9]> {
    let mut found = [0; 9];
    let mut left = digits(candidate);
    for slot in &mut found {
        *slot = left.next()?;
    }
    left.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(number: Number, regex: &str, value: &str) -> Option<String> {
        let verify = Verify::compile("@verify", number, regex.as_bytes()).unwrap();
        let mut captures = Captures::default();
        let matched = verify.matches(value.as_bytes(), Some(&mut captures));
        assert_eq!(matched, verify.matches(value.as_bytes(), None));
        matched.then(|| String::from_utf8_lossy(captures.get(0).unwrap()).into_owned())
    }

    #[test]
    fn cards() {
        let cards = r"\d{13,16}";
        let find = |value: &str| found(Number::Card, cards, value);
        assert_eq!(
            find("4111111111111111").as_deref(),
            Some("4111111111111111")
        );
        // Thirteen of its digits pass, so ModSecurity and this find them; a stricter regex does not.
        assert_eq!(find("4111111111111112").as_deref(), Some("1111111111112"));
        assert_eq!(
            found(Number::Card, r"\b\d{13,16}\b", "4111111111111112"),
            None
        );
        assert_eq!(find("378282246310005").as_deref(), Some("378282246310005"));
        assert_eq!(
            find("x 5500005555555559 y").as_deref(),
            Some("5500005555555559")
        );
        // A candidate inside another one.
        assert_eq!(
            find("94111111111111111").as_deref(),
            Some("4111111111111111")
        );
        let spaced = r"(?:\d[ -]?){13,16}";
        assert!(found(Number::Card, spaced, "4111-1111 1111-1111").is_some());
        assert_eq!(found(Number::Card, "[a-z]+", "abc"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn persons() {
        let cpf = r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}";
        assert!(found(Number::Cpf, cpf, "cpf 529.982.247-25.").is_some());
        assert!(found(Number::Cpf, cpf, "11144477735").is_some());
        for wrong in ["529.982.247-26", "11111111111", "01234567890", "5299822472"] {
            assert_eq!(found(Number::Cpf, cpf, wrong), None, "{wrong}");
        }
        let ssn = r"\d{3}-?\d{2}-?\d{4}";
        assert!(found(Number::Ssn, ssn, "ssn=078-05-1120").is_some());
        for wrong in [
            "000-05-1120",
            "666-05-1120",
            "740-05-1120",
            "078-00-1120",
            "078-05-0000",
            "123456789",
            "111111111",
        ] {
            assert_eq!(found(Number::Ssn, ssn, wrong), None, "{wrong}");
        }
        let svnr = r"\d{4} ?\d{6}";
        assert!(found(Number::Svnr, svnr, "1237010180").is_some());
        for wrong in ["1238010180", "1234567890", "0123456789", "5555555555"] {
            assert_eq!(found(Number::Svnr, svnr, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn long_values_are_searched_to_their_end() {
        let mut value = "9".repeat(20_000);
        value.push_str(" x 4111111111111111");
        assert!(found(Number::Card, r"\b4\d{15}\b", &value).is_some());
        // At every distance from the borders of the windows.
        for pad in 0..1100 {
            let value = format!("{}4111111111111111{}", "x".repeat(pad), "y".repeat(700));
            assert!(found(Number::Card, r"\d{13,16}", &value).is_some(), "{pad}");
        }
    }

    #[test]
    fn a_regex_is_needed() {
        assert!(Verify::compile("@verifyCC", Number::Card, b"").is_err());
        assert!(Verify::compile("@verifyCC", Number::Card, b"(").is_err());
    }
}
