use super::multipart::Multipart;
use super::*;
use crate::cache::cases;
use crate::cache::freshness::single_date;
use http::header::DATE;

const WALL_S: u64 = 1_767_225_600;

fn told(ranges: &Ranges) -> String {
    match ranges {
        Ranges::Whole => "200".to_owned(),
        Ranges::Unsatisfiable => "416".to_owned(),
        Ranges::One(range) => format!("{}-{}", range.first, range.last),
        Ranges::Many(ranges) => ranges
            .iter()
            .map(|range| format!("{}-{}", range.first, range.last))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

fn selected(request: &str, stored: &str, length: u64) -> Ranges {
    let stored = cases::fields(stored);
    let meta = Meta {
        date_s: single_date(&stored, &DATE, WALL_S),
        last_modified_s: single_date(&stored, &LAST_MODIFIED, WALL_S),
        ..Meta::default()
    };
    select(&cases::fields(request), &stored, &meta, length, WALL_S)
}

#[test]
fn every_case() {
    for case in cases::rows(include_str!("../cases/ranges.txt"), 3) {
        let [want, length, range] = case.columns.as_slice() else {
            panic!("line {}: three columns", case.line);
        };
        let length = length.trim().parse().expect("a length");
        let got = told(&selected(&format!("Range: {range}"), "", length));
        assert_eq!(&got, want, "line {}: {range}", case.line);
    }
}

#[test]
fn if_range_names_what_is_stored() {
    let stored = "ETag: \"a\"\nLast-Modified: Thu, 01 Jan 2015 00:00:00 GMT\nDate: Thu, 01 Jan 2015 00:00:01 GMT";
    let young = "Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT\nDate: Thu, 01 Jan 2015 00:00:00 GMT";
    for (want, if_range, stored) in [
        ("0-1", "\"a\"", stored),
        ("200", "\"b\"", stored),
        ("200", "W/\"a\"", stored),
        ("200", "a", stored),
        ("200", "\"a\"", "ETag: W/\"a\""),
        ("200", "\"a\"", "X: 1"),
        ("0-1", "Thu, 01 Jan 2015 00:00:00 GMT", stored),
        ("200", "Thu, 01 Jan 2015 00:00:01 GMT", stored),
        ("200", "Wed, 31 Dec 2014 00:00:00 GMT", stored),
        ("200", "Thu, 01 Jan 2015 00:00:00 GMT", young),
        ("200", "", stored),
        ("200", "\"a\"\nIf-Range: \"a\"", stored),
    ] {
        let request = format!("Range: bytes=0-1\nIf-Range: {if_range}");
        assert_eq!(told(&selected(&request, stored, 10)), want, "{if_range}");
    }
    assert_eq!(selected("If-Range: \"a\"", stored, 10), Ranges::Whole);
    let twice = "Range: bytes=0-1\nRange: bytes=0-1";
    assert_eq!(selected(twice, "", 10), Ranges::Whole);
}

#[test]
fn too_many_ranges_are_not_honoured() {
    let list = |count: usize| {
        let ranges: Vec<String> = (0..count).map(|n| format!("{}-{}", n * 2, n * 2)).collect();
        selected(&format!("Range: bytes={}", ranges.join(",")), "", 1000)
    };
    assert!(matches!(list(MOST_RANGES), Ranges::Many(ranges) if ranges.len() == MOST_RANGES));
    assert_eq!(list(MOST_RANGES + 1), Ranges::Whole);
}

#[test]
fn a_multipart_answer_is_as_long_as_it_says() {
    let content_type = HeaderValue::from_static("text/plain");
    let body = b"0123456789";
    let ranges = [
        ByteRange { first: 0, last: 0 },
        ByteRange { first: 5, last: 9 },
    ];
    let multipart = Multipart::new(0xabc, Some(&content_type), 10);
    let mut answer = Vec::new();
    for range in ranges {
        answer.extend(multipart.before(range));
        let first = usize::try_from(range.first).expect("small");
        let last = usize::try_from(range.last).expect("small");
        answer.extend(&body[first..=last]);
    }
    answer.extend(multipart.end());
    assert_eq!(answer.len() as u64, multipart.bytes(&ranges));
    assert_eq!(
        String::from_utf8(answer).expect("ASCII"),
        "\r\n--00000000000000000000000000000abc\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\n0\
         \r\n--00000000000000000000000000000abc\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-9/10\r\n\r\n56789\
         \r\n--00000000000000000000000000000abc--\r\n"
    );
    assert_eq!(
        multipart.content_type(),
        "multipart/byteranges; boundary=00000000000000000000000000000abc"
    );
    assert_eq!(content_range_unsatisfiable(10), "bytes */10");
}

proptest::proptest! {
    /// Whatever is asked for, every part lies inside the body and no two overlap.
    #[test]
    fn parts_lie_inside(text in "(bytes=)?([0-9]{0,3}-[0-9]{0,3}[, ]{0,2}){0,6}", length in 0_u64..200) {
        let parts = match selected(&format!("Range: {text}"), "", length) {
            Ranges::Whole | Ranges::Unsatisfiable => vec![],
            Ranges::One(range) => vec![range],
            Ranges::Many(ranges) => ranges,
        };
        let mut seen = [false; 200];
        for part in parts {
            proptest::prop_assert!(part.first <= part.last && part.last < length);
            for at in part.first..=part.last {
                let at = usize::try_from(at).expect("small");
                proptest::prop_assert!(!std::mem::replace(&mut seen[at], true));
            }
        }
    }
}
