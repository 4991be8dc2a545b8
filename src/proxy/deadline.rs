//! Until when an answer is of use, as others say and as we say to origins.
//!
//! `X-Request-Deadline` is a moment, in milliseconds since 1970 (UTC): by then the head of the answer must have come. A
//! time that is left would be wrong after every queue and every hop it travels through; a moment stays true, costs one
//! number to read, and needs clocks that agree, as hosts of one farm do (NTP). So it is believed of trusted proxies
//! only, which are hosts of the farm, and what others send under that name never reaches an origin.
//!
//! `grpc-timeout` (gRPC over HTTP/2, "Requests") bounds a whole call and comes from anybody: it can only shorten. What is
//! left of it is passed on. Calls without one get none of ours: they may stream for as long as they like once their
//! answer has begun, and our own `timeouts.request` holds to its head only.

use std::time::{Duration, Instant};

use farmgate_plugin_api::Headers;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::ctx::Ctx;
use crate::telemetry::clock::unix_ms;

/// The moment by which the head of the answer must have come.
pub const X_REQUEST_DEADLINE: HeaderName = HeaderName::from_static("x-request-deadline");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Most digits of a `grpc-timeout`.
const GRPC_DIGITS: usize = 8;

/// What others said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// A trusted proxy, for the head of the answer.
    hop: Option<Instant>,
    /// The caller, for a whole call.
    call: Option<Instant>,
}

impl Told {
    /// `own`, or what was said if that is sooner.
    pub fn shorten(&self, own: Instant) -> Instant {
        [self.hop, self.call]
            .into_iter()
            .flatten()
            .fold(own, Ord::min)
    }
}

/// Step 3: what the request says. What is malformed counts as not said.
pub fn read(cx: &mut Ctx, headers: &HeaderMap) {
    let hop = match cx.trusted {
        true => single(headers, &X_REQUEST_DEADLINE)
            .and_then(parse_moment)
            .map(|at_ms| Duration::from_millis(at_ms.saturating_sub(unix_ms()))),
        false => None,
    };
    let call = single(headers, &GRPC_TIMEOUT).and_then(parse_timeout);
    // What cannot be added is as far away as never.
    let until = |left: Option<Duration>| cx.start.head_at.checked_add(left?);
    cx.told = Told {
        hop: until(hop),
        call: until(call),
    };
}

/// Says to the origin what is left.
pub fn write(cx: &Ctx, upstream: &mut (dyn Headers + '_)) {
    let now = Instant::now();
    let left = cx.deadline().saturating_duration_since(now);
    upstream.set(&X_REQUEST_DEADLINE, moment(unix_ms(), left));
    if cx.fetch.is_some() {
        // Made for all who wait for it: the time of one of them is none of the origin's business.
        upstream.remove(&GRPC_TIMEOUT);
    } else if let Some(call) = cx.told.call {
        let until = cx.told.shorten(call);
        upstream.set(&GRPC_TIMEOUT, timeout(until.saturating_duration_since(now)));
    }
}

/// The value of a field that stands once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

fn parse_moment(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn moment(now_ms: u64, left: Duration) -> HeaderValue {
    let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    HeaderValue::from(now_ms.saturating_add(left_ms))
}

/// 1 to 8 digits and a unit.
fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > GRPC_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// In the finest unit that holds it, never more than `left`. The grammar has no zero: the least is a nanosecond.
fn timeout(left: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let units = [
        (left.as_nanos().max(1), 'n'),
        (left.as_micros(), 'u'),
        (left.as_millis(), 'm'),
        (u128::from(left.as_secs()), 'S'),
        (u128::from(left.as_secs() / 60), 'M'),
        (u128::from(left.as_secs() / 3600), 'H'),
    ];
    let (number, unit) = units
        .into_iter()
        .find(|(number, _)| *number <= MOST)
        .unwrap_or((MOST, 'H'));
    // Digits and a letter are always a value.
    HeaderValue::try_from(format!("{number}{unit}")).unwrap_or(HeaderValue::from_static("1n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timeouts_of_calls_are_read() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("0S", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("100000000n", None),
            ("S", None),
            ("", None),
            ("5", None),
            ("5s", None),
            ("5 S", None),
            ("-5S", None),
            ("+5S", None),
            ("1.5S", None),
            ("5SS", None),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn timeouts_of_calls_are_written() {
        for (left, expected) in [
            (Duration::ZERO, "1n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_secs(3), "3000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(200_000), "200000S"),
            (Duration::from_secs(99_999_999 * 60 + 59), "99999999M"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(timeout(left), expected, "{left:?}");
        }
    }

    #[test]
    fn moments_are_numbers_and_nothing_else() {
        assert_eq!(parse_moment(b"1760000000123"), Some(1_760_000_000_123));
        for text in [
            "",
            "-1",
            "+1",
            "1.5",
            " 1",
            "1,2",
            "2026-01-01T00:00:00Z",
            "18446744073709551616",
        ] {
            assert_eq!(parse_moment(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(moment(1000, Duration::from_micros(2_999)), "1002");
        assert_eq!(moment(u64::MAX, Duration::MAX), u64::MAX.to_string());
    }

    #[test]
    fn a_field_that_stands_twice_says_nothing() {
        let mut headers = HeaderMap::new();
        assert_eq!(single(&headers, &GRPC_TIMEOUT), None);
        headers.append(GRPC_TIMEOUT, HeaderValue::from_static("1S"));
        assert_eq!(single(&headers, &GRPC_TIMEOUT), Some(&b"1S"[..]));
        headers.append(GRPC_TIMEOUT, HeaderValue::from_static("2S"));
        assert_eq!(single(&headers, &GRPC_TIMEOUT), None);
    }

    #[test]
    fn what_is_said_only_shortens() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let own = at(10);
        let told = |hop: Option<u64>, call: Option<u64>| Told {
            hop: hop.map(at),
            call: call.map(at),
        };
        assert_eq!(told(None, None).shorten(own), own);
        assert_eq!(told(Some(20), Some(30)).shorten(own), own);
        assert_eq!(told(Some(5), Some(30)).shorten(own), at(5));
        assert_eq!(told(Some(5), Some(3)).shorten(own), at(3));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_never_longer(nanos in 1..u64::MAX) {
            let left = Duration::from_nanos(nanos);
            let read = parse_timeout(timeout(left).as_bytes()).unwrap();
            prop_assert!(read <= left);
            // A unit is left for the next one, at most 1000 times as long, with 10^8 of it: 10^5 of the next.
            prop_assert!(left - read <= left / 100_000, "{left:?} {read:?}");
        }

        #[test]
        fn no_bytes_break_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            if let Some(left) = parse_timeout(&bytes) {
                prop_assert!(Instant::now().checked_add(left).is_some());
            }
            let _ = parse_moment(&bytes);
        }
    }
}
