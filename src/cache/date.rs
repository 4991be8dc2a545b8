//! HTTP-date (RFC 9110 section 5.6.7): the three forms and nothing near them.
//!
//! The letter case of names is not looked at: a date in the wrong case has only one meaning. Everything else that
//! is not in the grammar (another zone, a two-digit year in the first form, missing commas, single-digit hours,
//! more or fewer spaces) is no date, and an Expires that is no date means stale (RFC 9111 section 5.3). Senders
//! that get it wrong lose freshness, never the other way round.

/// Days before each month of a year that is no leap year.
const DAYS_BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

const DAYS: [&[u8]; 7] = [
    b"monday",
    b"tuesday",
    b"wednesday",
    b"thursday",
    b"friday",
    b"saturday",
    b"sunday",
];

/// Seconds of a year of 365.25 days; only to choose a century.
const YEAR_S: u64 = 31_557_600;

/// Seconds since 1970 of a date in one of the three forms; dates before 1970 are 0. `now_s` decides the century of a
/// two-digit year: the one that is at most 50 years ahead (RFC 9110 section 5.6.7).
///
/// The name of the day must be one, but it is not held against the date: many senders compute it wrongly, and the
/// date itself is clear.
pub fn parse_http_date(value: &[u8], now_s: u64) -> Option<u64> {
    let mut text = Text(value.trim_ascii());
    let day_name = text.letters();
    match text.0.first()? {
        b',' if day_name.len() == 3 => {
            is_day(day_name).then_some(())?;
            text.literal(b", ")?;
            imf(&mut text)
        }
        b',' => {
            DAYS.iter()
                .any(|day| day_name.eq_ignore_ascii_case(day))
                .then_some(())?;
            text.literal(b", ")?;
            rfc850(&mut text, now_s)
        }
        _ => {
            is_day(day_name).then_some(())?;
            text.literal(b" ")?;
            asctime(&mut text)
        }
    }
    .filter(|_| text.0.is_empty())
}

/// `06 Nov 1994 08:49:37 GMT`
fn imf(text: &mut Text<'_>) -> Option<u64> {
    let day = text.digits(2)?;
    text.literal(b" ")?;
    let month = text.month()?;
    text.literal(b" ")?;
    let year = text.digits(4)?;
    text.literal(b" ")?;
    let time = text.time()?;
    text.zone()?;
    seconds(year, month, day, time)
}

/// `06-Nov-94 08:49:37 GMT`
fn rfc850(text: &mut Text<'_>, now_s: u64) -> Option<u64> {
    let day = text.digits(2)?;
    text.literal(b"-")?;
    let month = text.month()?;
    text.literal(b"-")?;
    let short = text.digits(2)?;
    text.literal(b" ")?;
    let time = text.time()?;
    text.zone()?;
    let limit = now_s.saturating_add(50 * YEAR_S);
    let this_year = 1970 + now_s / YEAR_S;
    let century = this_year - this_year % 100;
    // The latest century that is not too far ahead.
    [century + 100, century, century.saturating_sub(100)]
        .into_iter()
        .filter_map(|century| seconds(century + short, month, day, time))
        .find(|date| *date <= limit)
}

/// `Nov  6 08:49:37 1994`, after the day's name
fn asctime(text: &mut Text<'_>) -> Option<u64> {
    let month = text.month()?;
    text.literal(b" ")?;
    let day = match text.literal(b" ") {
        Some(()) => text.digits(1)?,
        None => text.digits(2)?,
    };
    text.literal(b" ")?;
    let time = text.time()?;
    text.literal(b" ")?;
    let year = text.digits(4)?;
    seconds(year, month, day, time)
}

fn is_day(name: &[u8]) -> bool {
    name.len() == 3
        && DAYS.iter().any(|day| {
            day.get(..3)
                .is_some_and(|short| short.eq_ignore_ascii_case(name))
        })
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// `month` counts from 0. A day that the month does not have is no date.
fn seconds(year: u64, month: usize, day: u64, time_s: u64) -> Option<u64> {
    let before = *DAYS_BEFORE.get(month)?;
    let leap_day = u64::from(is_leap(year) && month > 1);
    let length = match month {
        1 => 28 + u64::from(is_leap(year)),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    if day == 0 || day > length {
        return None;
    }
    let Some(past) = year.checked_sub(1) else {
        return Some(0);
    };
    // 719,162 days lie before 1970-01-01 in this calendar.
    let days = past * 365 + past / 4 - past / 100 + past / 400 + before + leap_day + day - 1;
    Some((days * 86_400 + time_s).saturating_sub(719_162 * 86_400))
}

struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn letters(&mut self) -> &'a [u8] {
        let end = self
            .0
            .iter()
            .position(|byte| !byte.is_ascii_alphabetic())
            .unwrap_or(self.0.len());
        let (head, rest) = self.0.split_at_checked(end).unwrap_or((self.0, &[]));
        self.0 = rest;
        head
    }

    fn literal(&mut self, literal: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    fn digits(&mut self, count: usize) -> Option<u64> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        head.iter().try_fold(0_u64, |value, byte| {
            byte.is_ascii_digit()
                .then(|| value * 10 + u64::from(byte - b'0'))
        })
    }

    fn month(&mut self) -> Option<usize> {
        let name = self.letters();
        MONTHS
            .iter()
            .position(|month| name.eq_ignore_ascii_case(month))
    }

    /// `08:49:37` in seconds of the day; a leap second counts as the one before it.
    fn time(&mut self) -> Option<u64> {
        let hour = self.digits(2)?;
        self.literal(b":")?;
        let minute = self.digits(2)?;
        self.literal(b":")?;
        let second = self.digits(2)?;
        (hour < 24 && minute < 60 && second <= 60)
            .then(|| hour * 3600 + minute * 60 + second.min(59))
    }

    fn zone(&mut self) -> Option<()> {
        self.literal(b" ")?;
        self.letters().eq_ignore_ascii_case(b"gmt").then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::cases;

    /// 2026-01-01.
    const NOW_S: u64 = 1_767_225_600;

    #[test]
    fn every_case() {
        for case in cases::rows(include_str!("cases/dates.txt"), 2) {
            let [want, text] = case.columns.as_slice() else {
                panic!("line {}: two columns", case.line);
            };
            let want = (want != "-").then(|| want.parse::<u64>().expect("seconds"));
            let got = parse_http_date(text.as_bytes(), NOW_S);
            assert_eq!(got, want, "line {}: {text:?}", case.line);
        }
    }

    #[test]
    fn a_two_digit_year_is_at_most_fifty_years_ahead() {
        let year =
            |text: &str, now_s| parse_http_date(text.as_bytes(), now_s).map(|s| 1970 + s / YEAR_S);
        let text = "Monday, 15-Jun-76 00:00:00 GMT";
        assert_eq!(year(text, NOW_S), Some(1976));
        assert_eq!(year(text, NOW_S + YEAR_S), Some(2076));
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_another_parser(s in 0_u64..=253_402_300_799) {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(s);
            let text = httpdate::fmt_http_date(time);
            proptest::prop_assert_eq!(parse_http_date(text.as_bytes(), NOW_S), Some(s));
        }

        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>, now_s: u64) {
            let _ = parse_http_date(&bytes, now_s);
        }

        #[test]
        fn near_dates_are_read_or_refused(text in "(mon|Monday|[A-Z][a-z]{2}),? [0-9]{1,2}[- ][A-Za-z]{3}[- ][0-9]{1,5} [0-9:]{5,8}( GMT)?", now_s: u64) {
            let _ = parse_http_date(text.as_bytes(), now_s);
        }
    }
}
