//! A moment, written as a date of TOML with its offset.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::de::{Deserialize, Deserializer, Error};
use toml::value::{Datetime, Offset};

const HELP: &str = "write the date, the time and the offset, as 2027-01-01T00:00:00Z";
const DAY_S: i64 = 86_400;

/// A moment of wall-clock time, from 1970 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    at: SystemTime,
    written: Datetime,
}

impl Moment {
    /// The moment for comparisons.
    pub(super) fn at(self) -> SystemTime {
        self.at
    }

    fn of(written: Datetime) -> Option<Self> {
        let (date, time) = (written.date?, written.time?);
        let offset_s = match written.offset? {
            Offset::Z => 0,
            Offset::Custom { minutes } => i64::from(minutes) * 60,
        };
        let days = days_from_civil(
            i64::from(date.year),
            i64::from(date.month),
            i64::from(date.day),
        );
        let second = i64::from(time.second.unwrap_or(0));
        let of_day = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + second;
        let since = u64::try_from(days * DAY_S + of_day - offset_s).ok()?;
        let nanos = Duration::from_nanos(u64::from(time.nanosecond.unwrap_or(0)));
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since) + nanos)?;
        Some(Self { at, written })
    }
}

/// As it was written.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.written, f)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Datetime::deserialize(deserializer)?;
        Self::of(written)
            .ok_or_else(|| D::Error::custom(format_args!("\"{written}\" is no moment\n{HELP}")))
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", days_from_civil). Years begin in March, so that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + days - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(text: &str) -> Option<u64> {
        let moment = Moment::of(text.parse().unwrap())?;
        let since = moment.at().duration_since(SystemTime::UNIX_EPOCH);
        Some(since.unwrap().as_secs())
    }

    #[test]
    fn dates_are_moments() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-01T00:00:00Z", 1_767_225_600),
            ("2027-01-01T00:00:00Z", 1_798_761_600),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("2027-01-01T02:00:00+02:00", 1_798_761_600),
            ("2026-12-31T18:30:00-05:30", 1_798_761_600),
        ] {
            assert_eq!(unix(text), Some(expected), "{text}");
        }
        // Without an offset nobody knows which moment it is, and there is none before 1970.
        for text in [
            "2027-01-01T00:00:00",
            "2027-01-01",
            "12:00:00",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(unix(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = days_from_civil(1969, 12, 31);
        for year in 1970..2200 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [
                31,
                if leap { 29 } else { 28 },
                31,
                30,
                31,
                30,
                31,
                31,
                30,
                31,
                30,
                31,
            ];
            for (month, length) in (1..).zip(lengths) {
                for day in 1..=length {
                    let days = days_from_civil(year, month, day);
                    assert_eq!(days, last + 1, "{year}-{month}-{day}");
                    last = days;
                }
            }
        }
    }
}
