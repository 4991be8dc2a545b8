//! Wall-clock text: RFC 3339 in UTC with milliseconds, without a calendar library.

use std::time::{SystemTime, UNIX_EPOCH};

/// Length of `2026-01-02T03:04:05.678Z`.
pub const RFC3339_LEN: usize = 24;

/// Milliseconds since 1970 now; 0 if the clock stands before it.
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// Year, month and day of a day number since 1970-01-01: the era method of H. Hinnant's `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // since 0000-03-01
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153; // 0 is March
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = match shifted_month {
        0..=9 => shifted_month + 3,
        _ => shifted_month - 9,
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

fn put(out: &mut [u8], mut number: u64) {
    for byte in out.iter_mut().rev() {
        *byte = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Formats times; the part up to the second is kept, since neighbours in a log share it.
#[derive(Clone, Debug)]
pub struct Rfc3339 {
    second: Option<u64>,
    text: [u8; RFC3339_LEN],
}

impl Default for Rfc3339 {
    fn default() -> Self {
        Rfc3339::START
    }
}

impl Rfc3339 {
    /// Before the first time was formatted.
    pub const START: Rfc3339 = Rfc3339 {
        second: None,
        text: *b"1970-01-01T00:00:00.000Z",
    };

    /// The text of `ms` milliseconds since 1970. Times after the year 9999 show that year's last second.
    pub fn format(&mut self, ms: u64) -> &str {
        const LAST: u64 = 253_402_300_799;
        let second = (ms / 1_000).min(LAST);
        if self.second != Some(second) {
            let (year, month, day) = civil(second / 86_400);
            let of_day = second % 86_400;
            for (range, number) in [
                (0..4, year),
                (5..7, month),
                (8..10, day),
                (11..13, of_day / 3_600),
                (14..16, of_day / 60 % 60),
                (17..19, of_day % 60),
            ] {
                if let Some(digits) = self.text.get_mut(range) {
                    put(digits, number);
                }
            }
            self.second = Some(second);
        }
        if let Some(digits) = self.text.get_mut(20..23) {
            put(digits, ms % 1_000);
        }
        std::str::from_utf8(&self.text).unwrap_or_default()
    }
}

/// The text of one time.
pub fn rfc3339(ms: u64) -> String {
    Rfc3339::default().format(ms).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_000_000_000_000, "2001-09-09T01:46:40.000Z"),
            (1_234_567_890_123, "2009-02-13T23:31:30.123Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (4_107_542_400_007, "2100-03-01T00:00:00.007Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(ms), text, "{ms}");
        }
        assert!(rfc3339(u64::MAX).starts_with("9999-12-31T23:59:59."));
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let leap =
            |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(civil(days), (year, month, day));
            day += 1;
            let length = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn one_formatter_goes_back_and_forth() {
        let mut format = Rfc3339::default();
        assert_eq!(format.format(1_500), "1970-01-01T00:00:01.500Z");
        assert_eq!(format.format(1_501), "1970-01-01T00:00:01.501Z");
        assert_eq!(format.format(999), "1970-01-01T00:00:00.999Z");
        assert_eq!(format.format(0), "1970-01-01T00:00:00.000Z");
    }
}
