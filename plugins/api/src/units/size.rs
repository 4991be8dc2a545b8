//! Sizes: "512B", "64KiB", "10MiB", "1GiB", and decimal "10MB".

use std::fmt;
use std::str::FromStr;

use super::{leading_number, text_form};

/// Binary units first, so that printing takes them.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

const HELP: &str = "write a size as \"64KiB\" or \"10MB\"; units are B, KiB, MiB, GiB, TiB (1024) and KB, MB, GB, TB (1000)";

/// A number of bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// So many MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no size\n{HELP}");
        let (number, name) = leading_number(text).ok_or_else(wrong)?;
        let unit = UNITS.iter().find(|(unit, _)| *unit == name);
        let (_, unit) = *unit.ok_or_else(wrong)?;
        let bytes = number.checked_mul(unit).filter(|n| *n <= i64::MAX as u64);
        bytes
            .map(Self)
            .ok_or_else(|| format!("\"{text}\" is too large\n{HELP}"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, unit): &&(&str, u64)| self.0 >= *unit && self.0.is_multiple_of(*unit);
        match UNITS.iter().find(fits) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

text_form!(Size, "a size (\"64KiB\")", |number| format!(
    "a size needs its unit\nwrite \"{number}B\" for bytes or \"{number}KiB\""
));
