//! What is asked: every operator of a block of `cases.tsv` with each of its arguments and values.

use std::path::{Path, PathBuf};

/// One operator with one argument.
pub(crate) struct Case {
    /// The operator's name in rules.
    pub(crate) operator: String,
    /// Its argument.
    pub(crate) argument: Vec<u8>,
    /// What is asked about.
    pub(crate) values: Vec<Vec<u8>>,
}

/// A file beside this one.
pub(crate) fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/operators")
        .join(name)
}

/// All cases. A block is three lines: operators, arguments, values; then a number of values that
/// are made of pieces of the written ones, always the same.
pub(crate) fn read() -> Vec<Case> {
    let text = std::fs::read_to_string(here("cases.tsv")).unwrap();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
        .collect();
    let mut cases = Vec::new();
    for block in lines.chunks(4) {
        let [operators, arguments, values, more] = block else {
            panic!("a block has four lines: {block:?}");
        };
        let mut values: Vec<Vec<u8>> = values.split('\t').map(unescape).collect();
        let more: u64 = more.parse().unwrap();
        for number in 0..more {
            values.push(mix(&values, number));
        }
        values.sort();
        values.dedup();
        for operator in operators.split('\t') {
            for argument in arguments.split('\t') {
                cases.push(Case {
                    operator: operator.to_owned(),
                    argument: unescape(argument),
                    values: values.clone(),
                });
            }
        }
    }
    cases
}

/// A value out of pieces of others, and now and then any byte.
fn mix(values: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    let mut mixed = Vec::new();
    for _ in 0..=random(4) {
        let from = &values[random(values.len())];
        let start = random(from.len() + 1);
        let end = start + random(from.len() - start + 1);
        mixed.extend_from_slice(&from[start..end]);
        if random(3) == 0 {
            mixed.push(u8::try_from(random(255)).unwrap() + 1);
        }
    }
    mixed
}

/// `\xHH`, `\n`, `\t`, `\r` and `\\`; `\e` is nothing, so that an empty cell can be seen.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next().unwrap() {
            b'e' => {}
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
