use super::*;
use crate::seclang::MapFiles;

fn compile(name: &str, argument: &str) -> Op {
    let name = OperatorName::ALL
        .iter()
        .find(|(_, word)| *word == name)
        .unwrap()
        .0;
    Op::compile(
        name,
        argument.as_bytes(),
        Path::new(""),
        &MapFiles::default(),
    )
    .unwrap()
}

/// `operator<TAB>argument<TAB>value<TAB>1|0`, with Rust's escapes for bytes.
#[test]
fn operators_match_as_the_table_says() {
    let table = include_str!("vectors.tsv");
    let mut rows = 0;
    for (line, row) in (1..).zip(table.lines()) {
        if row.starts_with('#') || row.is_empty() {
            continue;
        }
        let [name, argument, value, expected] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("line {line} has not four columns");
        };
        let (argument, value) = (unescape(argument), unescape(value));
        let name = OperatorName::ALL
            .iter()
            .find(|(_, word)| *word == name)
            .unwrap()
            .0;
        let op = Op::compile(name, &argument, Path::new(""), &MapFiles::default())
            .unwrap_or_else(|error| panic!("line {line}: {error}"));
        assert_eq!(
            op.matches(&value, None),
            expected == "1",
            "line {line}: {row}"
        );
        let mut captures = Captures::default();
        assert_eq!(
            op.matches(&value, Some(&mut captures)),
            expected == "1",
            "line {line}"
        );
        if Op::takes_macros(name) {
            let late = Op::matches_argument(name, &argument, &value);
            assert_eq!(late, expected == "1", "line {line}, argument known late");
        }
        rows += 1;
    }
    assert!(rows > 60, "{rows}");
}

/// `\xHH`, `\n`, `\t` and `\\`.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next().unwrap() {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'\\' => out.push(b'\\'),
            b'x' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                let digits = std::str::from_utf8(&digits).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
            }
            other => panic!("unknown escape \\{}", char::from(other)),
        }
    }
    out
}

#[test]
fn captures_are_those_of_the_match() {
    let groups = |name: &str, argument: &str, value: &str| {
        let mut captures = Captures::default();
        captures.set(9, b"before");
        assert!(compile(name, argument).matches(value.as_bytes(), Some(&mut captures)));
        captures
            .iter()
            .map(|(index, value)| format!("{index}={}", value.escape_ascii()))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(groups("rx", "(a)|(b)(c)?", "xb"), "0=b 2=b 9=before");
    assert_eq!(groups("rx", "", "xb"), "9=before");
    assert_eq!(groups("rx", "x*", "b"), "0= 9=before");
    let ten = "(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)";
    assert_eq!(
        groups("rx", ten, "abcdefghijk"),
        "0=abcdefghijk 1=a 2=b 3=c 4=d 5=e 6=f 7=g 8=h 9=i"
    );
    assert_eq!(
        groups("rxGlobal", "(a)b?", "ab-a"),
        "0=ab 1=a 2=a 3=a 9=before"
    );
    assert_eq!(groups("pm", "Foo bar", "xFOO"), "0=Foo 9=before");
    assert_eq!(
        groups("verifyCC", r"\d{16}", "4111111111111111"),
        "0=4111111111111111 9=before"
    );
    assert_eq!(groups("containsWord", "a", "b a"), "9=before");
    assert_eq!(groups("detectSQLi", "", "1' OR '1'='1"), "0=s&sos 9=before");
    assert_eq!(groups("detectXSS", "", "<script>"), "0=<script> 9=before");
}

#[test]
fn bad_arguments_are_refused_with_the_operators_name() {
    let refuse = |name: OperatorName, argument: &str| {
        let files = MapFiles::default();
        Op::compile(name, argument.as_bytes(), Path::new(""), &files).unwrap_err()
    };
    for (name, argument, says) in [
        (OperatorName::Rx, "(?=x)", "linear"),
        (OperatorName::Rx, "(", "@rx"),
        (OperatorName::RxGlobal, "a++", "possessive"),
        (OperatorName::Pm, "", "@pm"),
        (OperatorName::PmFromFile, "absent.data", "absent.data"),
        (OperatorName::IpMatch, "x", "@ipMatch"),
        (OperatorName::IpMatchFromFile, "absent", "absent"),
        (
            OperatorName::ValidateByteRange,
            "1-300",
            "@validateByteRange",
        ),
        (OperatorName::VerifyCc, "[", "@verifyCC"),
        (OperatorName::FuzzyHash, "a 5", "GPL"),
        (OperatorName::GeoLookup, "", "@geoLookup"),
    ] {
        let error = refuse(name, argument);
        assert!(error.contains(says), "{name:?} {argument}: {error}");
    }
}

#[test]
fn refused_operators_are_not_offered() {
    for (refused, reason) in REFUSED {
        assert!(!reason.is_empty());
        assert!(
            OperatorName::ALL
                .iter()
                .all(|(_, word)| !word.eq_ignore_ascii_case(refused)),
            "{refused}"
        );
    }
}
