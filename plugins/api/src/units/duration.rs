//! Times: "80ms", "5s", "1h30m", "2d".

use std::fmt;
use std::str::FromStr;

use super::{leading_number, text_form};

/// Longest time, about a hundred years: beyond it arithmetic with instants could overflow.
const MAX_MS: u64 = 36_525 * 86_400_000;

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const HELP: &str =
    "write a time as \"5s\", \"80ms\" or \"1h30m\"; units are d, h, m, s, ms, largest first";

/// A time in whole milliseconds, at most about a hundred years.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A time in seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// A time in milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// For arithmetic.
    pub const fn get(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }

    /// In milliseconds.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// Whether it is "0s".
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.get()
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no time\n{HELP}");
        let mut rest = text;
        let mut total: u64 = 0;
        let mut last = u64::MAX;
        loop {
            let (number, after) = leading_number(rest).ok_or_else(wrong)?;
            let end = after
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(after.len());
            let (name, next) = after.split_at_checked(end).ok_or_else(wrong)?;
            let unit = UNITS.iter().find(|(unit, _)| *unit == name);
            let (_, unit) = *unit.ok_or_else(wrong)?;
            if unit >= last {
                return Err(wrong());
            }
            last = unit;
            total = number
                .checked_mul(unit)
                .and_then(|part| total.checked_add(part))
                .filter(|sum| *sum <= MAX_MS)
                .ok_or_else(|| format!("\"{text}\" is too long a time\nat most 36525d"))?;
            if next.is_empty() {
                return Ok(Self(total));
            }
            rest = next;
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (name, unit) in UNITS {
            if rest >= unit {
                write!(f, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(Duration, "a time (\"5s\")", |number| format!(
    "a time needs its unit\nwrite \"{number}s\" for seconds or \"{number}ms\" for milliseconds"
));
