//! Shares: "20%", "0.5%".

use std::fmt;
use std::str::FromStr;

use super::text_form;

const HELP: &str = "write a share as \"20%\" or \"0.5%\", from 0% to 100%, at most four decimals";

/// Parts of a whole in 100%: a millionth is the smallest step, so that equality is exact.
const WHOLE: u32 = 1_000_000;

/// A share of a whole, from 0% to 100%.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

impl Ratio {
    /// So many percent; more than 100 count as 100.
    pub const fn percent(percent: u32) -> Self {
        Self(if percent > 100 {
            WHOLE
        } else {
            percent * 10_000
        })
    }

    /// From 0.0 to 1.0.
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// In millionths, from 0 to 1000000.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// True for this share of all random numbers: never for 0%, always for 100%, and the same for the same number.
    pub const fn takes(self, random: u64) -> bool {
        // The upper half, scaled to the whole: no division, and no share is off by more than 2^-32.
        ((random >> 32) * WHOLE as u64) >> 32 < self.0 as u64
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no share\n{HELP}");
        let number = text.strip_suffix('%').ok_or_else(wrong)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !plain(whole) || !plain(decimals) || decimals.len() > 4 {
            return Err(wrong());
        }
        let whole: u32 = whole.parse().map_err(|_| wrong())?;
        let decimals: u32 = format!("{decimals:0<4}").parse().map_err(|_| wrong())?;
        let parts = whole
            .checked_mul(10_000)
            .and_then(|n| n.checked_add(decimals));
        parts.filter(|n| *n <= WHOLE).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / 10_000, self.0 % 10_000);
        if decimals == 0 {
            return write!(f, "{whole}%");
        }
        let decimals = format!("{decimals:04}");
        write!(f, "{whole}.{}%", decimals.trim_end_matches('0'))
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(Ratio, "a share (\"20%\")", |number| format!(
    "a share needs its sign\nwrite \"{number}%\""
));
