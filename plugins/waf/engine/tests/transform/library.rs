//! What the real libmodsecurity says, live where it is installed, from its stored answers where not.
//!
//! `library.tsv` holds a SHA-1 over the results of every thousand strings: `FARMGATE_GOLDEN=write`
//! asks the library again and writes it.

use crate::{
    driver::compile,
    escape::{escape, unescape},
    strings::string,
};
use farmgate_waf::transform::Transformation;
use sha1::{Digest as _, Sha1};
use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The map of code points that is built in; the library reads it from a file.
const PAIRS: &str = include_str!("../../src/transform/us_ascii.txt");
/// Strings for each transformation.
const STRINGS: u64 = 20_000;
/// Strings under one hash.
const BLOCK: u64 = 1_000;
/// The release whose answers are stored.
const RELEASE: &str = "ModSecurity v3.0.9 ";

/// The result for the string as libmodsecurity 3.0.9 has it: ours, but for the two errors of that
/// release that are listed at the top of the module `transform`.
pub(crate) fn as_release(transformation: Transformation, input: &[u8]) -> Vec<u8> {
    let mut result = Vec::new();
    if !transformation.apply(input, &mut result) {
        result = input.to_vec();
    }
    match transformation {
        Transformation::CssDecode => up_to_nul(result),
        Transformation::SqlHexDecode => up_to_nul(old_sql_hex(input)),
        _ => result,
    }
}

fn up_to_nul(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    }
    text
}

/// It stops before the last byte and at NUL, and copies the byte after a number without a look.
fn old_sql_hex(input: &[u8]) -> Vec<u8> {
    let at = |place: usize| input.get(place).copied().unwrap_or(0);
    let digits = |place: usize| at(place).is_ascii_hexdigit() && at(place + 1).is_ascii_hexdigit();
    let value = |byte: u8| char::from(byte).to_digit(16).expect("a digit") as u8;
    let mut result = Vec::new();
    let mut place = 0;
    while place + 1 < input.len() && at(place) != 0 {
        if at(place) == b'0' && matches!(at(place + 1), b'x' | b'X') && digits(place + 2) {
            place += 2;
            while digits(place) {
                result.push(value(at(place)) << 4 | value(at(place + 1)));
                place += 2;
            }
        }
        result.push(at(place));
        place += 1;
    }
    result
}

#[test]
fn stored_answers_of_the_library_are_ours() {
    let stored = std::fs::read_to_string(answers()).expect("the stored answers");
    let mut computed = String::new();
    for (transformation, word) in Transformation::ALL {
        hashes(word, &mut computed, |number| {
            as_release(*transformation, &string(*transformation, number))
        });
    }
    for (ours, theirs) in computed.lines().zip(stored.lines()) {
        assert_eq!(ours, theirs, "a string of this block has another result");
    }
    assert_eq!(computed.lines().count(), stored.lines().count());
}

#[test]
fn the_installed_library_agrees() {
    let Some(driver) = compile(&here("modsecurity.c")) else {
        eprintln!("transformations were not compared: libmodsecurity-dev or cc is not installed");
        return;
    };
    let numbers: Vec<u64> = (0..STRINGS).collect();
    let asked = |transformation, number: &u64| string(transformation, *number);
    let Some(answers) = ask(&driver.program, &numbers, asked) else {
        eprintln!("transformations were not compared: another release than {RELEASE}");
        return;
    };
    let mut differences = Vec::new();
    let mut stored = String::new();
    for (column, (transformation, word)) in Transformation::ALL.iter().enumerate() {
        let mut other = Vec::new();
        for (number, line) in answers.iter().enumerate() {
            let input = string(*transformation, number as u64);
            let ours = as_release(*transformation, &input);
            if line[column] != ours {
                let [input, theirs, ours] = [&input, &line[column], &ours].map(|text| escape(text));
                other.push(format!("{input:?}: theirs {theirs:?}, ours {ours:?}"));
            }
        }

        if let Some(shortest) = other.iter().min_by_key(|text| text.len()) {
            differences.push(format!("{word}: {} differ; {shortest}", other.len()));
        }
        hashes(word, &mut stored, |number| {
            answers[number as usize][column].clone()
        });
    }
    assert!(
        differences.is_empty(),
        "of {STRINGS} strings each:\n{}",
        differences.join("\n")
    );
    if std::env::var("FARMGATE_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(self::answers(), stored).expect("write the answers");
    }
}

#[test]
fn the_installed_library_agrees_with_the_vectors() {
    let Some(driver) = compile(&here("modsecurity.c")) else {
        eprintln!("vectors were not compared: libmodsecurity-dev or cc is not installed");
        return;
    };
    let vectors = crate::vectors::read();
    let asked = |_, vector: &crate::vectors::Vector| unescape(&vector.input);
    let Some(answers) = ask(&driver.program, &vectors, asked) else {
        eprintln!("vectors were not compared: another release than {RELEASE}");
        return;
    };
    for (vector, line) in vectors.iter().zip(&answers) {
        for (column, (transformation, word)) in Transformation::ALL.iter().enumerate() {
            let input = unescape(&vector.input);
            assert_eq!(
                escape(&line[column]),
                escape(&as_release(*transformation, &input)),
                "{word} of {:?}",
                vector.input
            );
        }
    }
}

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/transform")
        .join(name)
}

fn answers() -> PathBuf {
    here("library.tsv")
}

/// A line for each block: the word, the first string's number, the hash.
fn hashes(word: &str, into: &mut String, result: impl Fn(u64) -> Vec<u8>) {
    for first in (0..STRINGS).step_by(BLOCK as usize) {
        let mut hash = Sha1::new();
        for number in first..first + BLOCK {
            let result = result(number);
            hash.update((result.len() as u64).to_le_bytes());
            hash.update(&result);
        }
        write!(into, "{word}\t{first}\t").expect("memory");
        for byte in hash.finalize().iter().take(10) {
            write!(into, "{byte:02x}").expect("memory");
        }
        into.push('\n');
    }
}

/// For each item a line with the result of every transformation; nothing from another release.
fn ask<T: Sync>(
    program: &Path,
    items: &[T],
    string: impl Fn(Transformation, &T) -> Vec<u8> + Sync,
) -> Option<Vec<Vec<Vec<u8>>>> {
    let words = Transformation::ALL.iter().map(|(_, word)| word);
    let map = program.with_file_name("unicode.mapping");
    std::fs::write(
        &map,
        format!("20127 (US-ASCII)\n{}\n\n", PAIRS.replace('\n', " ")),
    )
    .expect("a map");
    let mut child = Command::new(program)
        .args(words)
        .env("UNICODE_MAP", map)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the driver starts");
    let input = child.stdin.take().expect("piped");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let answers = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut input = BufWriter::new(input);
            for item in items {
                for (transformation, _) in Transformation::ALL {
                    let text = to_hex(&string(*transformation, item));
                    // A driver that has gone is seen by the reader.
                    let _ = write!(input, "{text} ");
                }
                let _ = writeln!(input);
            }
        });
        let mut lines = output
            .lines()
            .map(|line| line.expect("a line of the driver"));
        let release = lines.next().expect("the library's name");
        let answers = lines
            .map(|line| line.split(' ').map(from_hex).collect())
            .collect::<Vec<Vec<_>>>();
        release.starts_with(RELEASE).then_some(answers)
    });
    assert!(child.wait().expect("the driver ends").success());
    if let Some(answers) = &answers {
        assert_eq!(answers.len(), items.len(), "an answer for each line");
    }
    answers
}

fn to_hex(text: &[u8]) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    text.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("memory");
        digits
    })
}

fn from_hex(digits: &str) -> Vec<u8> {
    if digits == "-" {
        return Vec::new();
    }
    assert_eq!(digits.len() % 2, 0, "{digits:?}");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}
