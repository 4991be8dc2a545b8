//! What holds for every body: no panic, the same result in any pieces, bounded memory, linear time.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::shown::{self, Lines};
use crate::body::*;

/// Counts, and keeps nothing.
#[derive(Default)]
struct Count {
    bytes: usize,
    calls: usize,
    /// Calls after which it wants no more; 0 is never.
    stop_at: usize,
}

impl Count {
    fn take(&mut self, one: &[u8], other: &[u8]) -> bool {
        self.bytes += one.len() + other.len();
        self.calls += 1;
        self.calls != self.stop_at
    }
}

impl Sink for Count {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.take(name, value)
    }

    fn part_header(&mut self, name: &[u8], line: &[u8]) -> bool {
        self.take(name, line)
    }

    fn file(&mut self, file: &File<'_>) -> bool {
        self.take(file.name, file.filename)
    }
}

impl XmlSink for Count {
    fn text(&mut self, text: &[u8]) -> bool {
        self.take(text, &[])
    }

    fn attribute(&mut self, value: &[u8]) -> bool {
        self.take(value, &[])
    }
}

const TYPE: &[u8] = b"multipart/form-data; boundary=ab";

/// Bodies that look like multipart often enough to come far.
fn multipart_body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "--ab\r\n",
        "--ab--\r\n",
        "--ab",
        "--",
        "\r\n",
        "\n",
        "\r",
        "a",
        "ab",
        "\0",
        " ",
        "Content-Disposition: form-data; name=\"a\"\r\n\r\n",
        "Content-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\n",
        "Content-Type: text/plain\r\n",
        " folded\r\n",
        "\r\n--ab\r\n",
        "\r\n--ab--\r\n",
    ]);
    let long = (4080usize..4110).prop_map(|count| "x".repeat(count));
    let piece = prop_oneof![20 => piece.prop_map(str::to_owned), 1 => long];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

fn jsonish() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\\u0041\"",
        "\"\\ud800",
        "\"",
        "1",
        "-",
        "0.5e3",
        "true",
        "null",
        " ",
        "\\",
        "\u{e9}",
        "\n",
    ]);
    prop::collection::vec(token, 0..30).prop_map(|tokens| tokens.concat())
}

fn xmlish() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "<a>",
        "</a>",
        "<a b=\"c\">",
        "<b/>",
        "text",
        "&lt;",
        "&x;",
        "&#65;",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?p",
        "?>",
        "\"",
        "<",
        ">",
        "&",
        "<!DOCTYPE a [",
        "]>",
        "<!ENTITY x \"y\">",
        "\u{e9}",
        " ",
        "\r\n",
    ]);
    prop::collection::vec(token, 0..30).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn pieces_change_nothing(body in multipart_body(), cuts in prop::collection::vec(0usize..9000, 0..6)) {
        let whole = shown::multipart(TYPE, &[&body]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([body.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let pieces: Vec<&[u8]> = starts.zip(ends).map(|(start, end)| &body[start..end]).collect();
        prop_assert_eq!(&whole, &shown::multipart(TYPE, &pieces));
        let single: Vec<&[u8]> = body.chunks(1).collect();
        prop_assert_eq!(whole, shown::multipart(TYPE, &single));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0u8..6) {
        let mut sink = Lines::new("ARG");
        match kind {
            0 => { urlencoded(&bytes, b'&', &mut sink); }
            1 => cookies(&bytes, &mut |_, _| ()),
            2 => { let _ = json(&bytes, 16, &mut sink); }
            3 => { let _ = xml(&bytes, XmlLimits::default(), &mut sink); }
            4 => { let _ = Multipart::new(&bytes, MultipartLimits::default()); }
            _ => { shown::multipart(TYPE, &[&bytes]); }
        }
    }

    #[test]
    fn a_sink_that_has_enough_gets_no_more(body in multipart_body(), json_text in jsonish(), xml_text in xmlish(), stop_at in 1usize..4) {
        let count = || Count { stop_at, ..Count::default() };
        let mut seen = count();
        urlencoded(&body, b'a', &mut seen);
        prop_assert!(seen.calls <= stop_at);
        let mut seen = count();
        let _ = json(json_text.as_bytes(), 16, &mut seen);
        prop_assert!(seen.calls <= stop_at);
        let mut seen = count();
        let _ = xml(xml_text.as_bytes(), XmlLimits::default(), &mut seen);
        prop_assert!(seen.calls <= stop_at);
        let mut seen = count();
        let mut parser = Multipart::new(TYPE, MultipartLimits::default()).expect("a boundary");
        parser.push(&body, &mut seen);
        parser.finish(&mut seen);
        prop_assert!(seen.calls <= stop_at);
    }

    #[test]
    fn what_serde_writes_is_read(text in jsonish()) {
        // A string literal of any text is a document: its one value is the text.
        let mut literal = String::from("\"");
        for character in text.chars() {
            literal.push_str(&format!("\\u{:04x}", u32::from(character)));
        }
        literal.push('"');
        let mut lines = Lines::new("ARG");
        prop_assert_eq!(json(literal.as_bytes(), 1, &mut lines), Ok(()));
        prop_assert_eq!(lines.lines, vec![format!("ARG {} {}", shown::hex(b"json"), shown::hex(text.as_bytes()))]);
    }
}

#[test]
fn the_content_of_files_is_counted_and_not_kept() {
    let mut seen = Lines::new("ARG");
    let mut parser = Multipart::new(TYPE, MultipartLimits::default()).expect("a boundary");
    parser.push(
        b"--ab\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n",
        &mut seen,
    );
    let piece = vec![b'z'; 64 * 1024];
    for _ in 0..1600 {
        parser.push(&piece, &mut seen);
    }
    parser.push(b"\r\n--ab--\r\n", &mut seen);
    let flags = parser.finish(&mut seen);
    assert_eq!(flags.files_bytes, 100 * 1024 * 1024);
    assert!(
        flags.inspected_bytes < 200,
        "content of files is not counted: {}",
        flags.inspected_bytes
    );
    assert_eq!(flags.error, None);
}

#[test]
fn field_values_are_kept_up_to_the_limit() {
    let limits = MultipartLimits {
        inspect: 1000,
        ..MultipartLimits::default()
    };
    let mut seen = Count::default();
    let mut parser = Multipart::new(TYPE, limits).expect("a boundary");
    for _ in 0..3 {
        parser.push(
            b"--ab\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n",
            &mut seen,
        );
        parser.push(&vec![b'v'; 10_000], &mut seen);
        parser.push(b"\r\n", &mut seen);
    }
    parser.push(b"--ab--\r\n", &mut seen);
    let flags = parser.finish(&mut seen);
    assert!(
        flags.inspected_bytes > 30_000,
        "the caller sees that it was too much"
    );
    assert!(
        seen.bytes < 1000 + 3 * 100,
        "{} bytes were kept",
        seen.bytes
    );
}

#[test]
fn names_written_out_for_every_leaf_are_bounded() {
    let body = format!("{{\"{}\":[{}1]}}", "k".repeat(60_000), "1,".repeat(30_000));
    let mut seen = Count::default();
    let error = json(body.as_bytes(), 10, &mut seen).expect_err("too long");
    assert_eq!(error.reason, crate::body::json::NAMES_TOO_LONG);
    assert!(seen.bytes <= 9 * body.len() + 16 * 1024, "{}", seen.bytes);
}

#[test]
fn laughs_cost_what_their_bytes_cost() {
    let mut text = String::from("<!DOCTYPE a [<!ENTITY l0 \"lol\">");
    for level in 1..40 {
        let before = format!("&l{};", level - 1).repeat(10);
        text.push_str(&format!("<!ENTITY l{level} \"{before}\">"));
    }
    text.push_str("]><a>&l39;</a>");
    let mut seen = Lines::new("ARG");
    assert!(xml(text.as_bytes(), XmlLimits::default(), &mut seen).is_ok());
    assert_eq!(
        seen.lines.last(),
        Some(&format!("XML {}", shown::hex(b"&l39;")))
    );
    assert_eq!(seen.lines.len(), 41, "each literal value is shown once");
}

/// A body of about so many bytes.
type Grow = fn(usize) -> Vec<u8>;
/// A parser.
type Read = fn(&[u8]);

/// What makes careless parsers slow.
fn nasty() -> Vec<(&'static str, Grow, Read)> {
    fn form(body: &[u8]) {
        urlencoded(body, b'&', &mut Count::default());
    }
    fn read_json(body: &[u8]) {
        let _ = json(body, 10_000, &mut Count::default());
    }
    fn read_xml(body: &[u8]) {
        let _ = xml(body, XmlLimits::default(), &mut Count::default());
    }
    fn parts(body: &[u8]) {
        let mut seen = Count::default();
        let mut parser = Multipart::new(TYPE, MultipartLimits::default()).expect("a boundary");
        parser.push(body, &mut seen);
        parser.finish(&mut seen);
    }
    fn cookie(body: &[u8]) {
        cookies(body, &mut |_, _| ());
    }
    vec![
        ("form of separators", |n| vec![b'&'; n], form),
        ("form of percents", |n| vec![b'%'; n], form),
        ("cookie of blanks", |n| vec![b' '; n], cookie),
        (
            "cookie of blanks and separators",
            |n| b" ;".repeat(n / 2),
            cookie,
        ),
        ("json of open arrays", |n| vec![b'['; n], read_json),
        (
            "json of nested objects",
            |n| b"{\"a\":".repeat(n / 5),
            read_json,
        ),
        (
            "json of one key and many leaves",
            |n| format!("{{\"{}\":[{}1]}}", "k".repeat(n / 2), "1,".repeat(n / 4)).into_bytes(),
            read_json,
        ),
        (
            "json of escapes",
            |n| format!("\"{}\"", "\\u0041".repeat(n / 6)).into_bytes(),
            read_json,
        ),
        (
            "xml of attributes",
            |n| {
                let attributes: String = (0..n / 12)
                    .map(|number| format!(" a{number}=\"x\""))
                    .collect();
                format!("<a{attributes}/>").into_bytes()
            },
            read_xml,
        ),
        (
            "xml of elements",
            |n| format!("<a>{}</a>", "<b/>".repeat(n / 4)).into_bytes(),
            read_xml,
        ),
        (
            "xml of references",
            |n| format!("<a>{}</a>", "&amp;".repeat(n / 5)).into_bytes(),
            read_xml,
        ),
        ("xml of comment starts", |n| b"<!--".repeat(n / 4), read_xml),
        (
            "xml of entities",
            |n| {
                let entities: String = (0..n / 20)
                    .map(|number| format!("<!ENTITY e{number} \"\">"))
                    .collect();
                format!("<!DOCTYPE a [{entities}]><a/>").into_bytes()
            },
            read_xml,
        ),
        (
            "multipart of boundaries",
            |n| b"--ab\r\n".repeat(n / 6),
            parts,
        ),
        ("multipart of dashes", |n| vec![b'-'; n], parts),
        ("multipart of line ends", |n| vec![b'\n'; n], parts),
        (
            "multipart of empty lines behind a bad header",
            |n| {
                let mut body = b"--ab\r\nContent-Disposition: form-data; x=\"".to_vec();
                body.extend(std::iter::repeat_n(b'y', 4000));
                body.extend(b"\"\r\n");
                body.extend(b"\r\n".repeat(n / 2));
                body
            },
            parts,
        ),
        (
            "multipart of headers",
            |n| [b"--ab\r\n".to_vec(), b"a:b\r\n".repeat(n / 5)].concat(),
            parts,
        ),
        (
            "multipart of folds",
            |n| [b"--ab\r\na:\r\n".to_vec(), b" b\r\n".repeat(n / 4)].concat(),
            parts,
        ),
        (
            "multipart of parts",
            |n| b"--ab\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n".repeat(n / 50),
            parts,
        ),
    ]
}

/// The shortest of some runs: what else the machine does only makes a run longer.
fn shortest(body: &[u8], read: fn(&[u8])) -> Duration {
    let run = |_| {
        let start = Instant::now();
        read(body);
        start.elapsed()
    };
    (0..5).map(run).min().unwrap_or_default()
}

#[test]
fn time_grows_with_the_body_and_not_with_its_square() {
    for (name, grow, read) in nasty() {
        let small = shortest(&grow(16 * 1024), read).max(Duration::from_micros(20));
        let large = shortest(&grow(16 * 16 * 1024), read);
        // Linear is 16 times, the square 256 times.
        assert!(
            large < small * 80,
            "{name}: {small:?} for 16 KiB, {large:?} for 256 KiB"
        );
    }
}
