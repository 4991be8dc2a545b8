//! Rates: { rate = 100, per = "1m" }, and of bytes { rate = "1KiB", per = "1s" }.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{Duration, Size};

/// So many per time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "RateWords")]
pub struct Rate {
    /// How many; at least 1.
    pub rate: NonZeroU32,
    /// In which time; longer than 0s.
    pub per: Duration,
}

impl Rate {
    /// So many each second.
    pub fn per_second(self) -> f64 {
        f64::from(self.rate.get()) / self.per.get().as_secs_f64()
    }
}

/// So many bytes per time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "ByteRateWords")]
pub struct ByteRate {
    /// How many bytes; at least one.
    pub rate: Size,
    /// In which time; longer than 0s.
    pub per: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateWords {
    rate: u32,
    per: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByteRateWords {
    rate: Size,
    per: Duration,
}

const HELP: &str = "a rate is at least 1, and `per` longer than \"0s\"";

impl TryFrom<RateWords> for Rate {
    type Error = String;
    fn try_from(words: RateWords) -> Result<Self, String> {
        match NonZeroU32::new(words.rate) {
            Some(rate) if !words.per.is_zero() => Ok(Self {
                rate,
                per: words.per,
            }),
            _ => Err(format!("not a rate\n{HELP}")),
        }
    }
}

impl TryFrom<ByteRateWords> for ByteRate {
    type Error = String;
    fn try_from(words: ByteRateWords) -> Result<Self, String> {
        if words.rate.bytes() == 0 || words.per.is_zero() {
            return Err(format!("not a rate\n{HELP}"));
        }
        Ok(Self {
            rate: words.rate,
            per: words.per,
        })
    }
}
