//! What the real libmodsecurity says, live where it is installed, from its stored answers where not.
//!
//! `library.tsv` holds the answers of release 3.0.9; `FARMGATE_GOLDEN=write` asks again and writes it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use farmgate_waf::operators::{Captures, Op};
use farmgate_waf::seclang::{MapFiles, OperatorName};

use crate::cases::{Case, here, read, unescape};
use crate::driver::compile;

/// The release whose answers are stored.
const RELEASE: &str = "ModSecurity v3.0.9 ";

#[test]
fn stored_answers_of_the_library_are_ours() {
    let stored = std::fs::read_to_string(here("library.tsv")).unwrap();
    let mut lines = stored.lines();
    let mut asked = 0;
    let mut wrong = Vec::new();
    for case in read() {
        for value in &case.values {
            let theirs = lines.next().expect("an answer for each value");
            compare(&case, value, theirs, &mut wrong);
            asked += 1;
        }
    }
    assert_eq!(lines.next(), None, "more answers than values");
    assert!(asked > 3000, "{asked}");
    let wrong = unexpected(wrong);
    assert!(
        wrong.is_empty(),
        "{} of {asked}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_installed_library_agrees() {
    let Some(driver) = compile(&here("modsecurity.c")) else {
        eprintln!("operators were not compared: libmodsecurity-dev or cc is not installed");
        return;
    };
    let cases = read();
    let Some(answers) = ask(&driver.program, &cases) else {
        eprintln!("operators were not compared: another release than {RELEASE}");
        return;
    };
    let mut theirs = answers.iter();
    let mut wrong = Vec::new();
    for case in &cases {
        for value in &case.values {
            compare(case, value, theirs.next().expect("an answer"), &mut wrong);
        }
    }
    let wrong = unexpected(wrong);
    if std::env::var("FARMGATE_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(here("library.tsv"), answers.join("\n") + "\n").unwrap();
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        answers.len(),
        wrong.join("\n")
    );
}

/// Where this engine differs from release 3.0.9 on purpose: operator, argument, why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "rx",
        "^b$",
        "`^` and `$` are the ends of the value, not of its lines",
    ),
    (
        "pm",
        "|66 6f|o",
        "the release does not read the digits 0 to 9 between bars",
    ),
    (
        "pm",
        "a\\\\;b",
        "the release does not cut off what an escape makes shorter",
    ),
    (
        "pm",
        "a\\\\\\\\b c",
        "the release does not cut off what an escape makes shorter",
    ),
    (
        "rx",
        "[\\\\w-.]+",
        "PCRE2 refuses such a hyphen, and the rule never matches; here it stands for itself",
    ),
    (
        "rx",
        "x{2}{2}",
        "PCRE2 refuses a quantifier of a quantifier, and the rule never matches",
    ),
    (
        "rx",
        "ab\\\\Z",
        "the line feed before the end belongs to the match, since there is no lookahead",
    ),
    (
        "ipMatch",
        "0.0.0.0/0",
        "the release refuses a network of all addresses",
    ),
    (
        "verifyCPF",
        "\\\\b\\\\d{11}\\\\b",
        "the release forgets what stands before a candidate",
    ),
];

fn compare(case: &Case, value: &[u8], theirs: &str, wrong: &mut Vec<String>) {
    let ours = answer(case, value);
    if ours != theirs {
        wrong.push(format!(
            "@{} {} of \"{}\": theirs {theirs}, ours {ours}",
            case.operator,
            case.argument.escape_ascii(),
            value.escape_ascii()
        ));
    }
}

/// Takes the differences on purpose out of the list; each of them must be there.
fn unexpected(mut wrong: Vec<String>) -> Vec<String> {
    for (operator, argument, why) in DIFFERENCES {
        let argument = unescape(argument);
        let begin = format!("@{operator} {} of ", argument.escape_ascii());
        let before = wrong.len();
        wrong.retain(|line| !line.starts_with(&begin));
        assert!(
            wrong.len() < before,
            "no difference any more: {begin}({why})"
        );
    }
    wrong
}

/// Our answer, written as the driver writes it.
fn answer(case: &Case, value: &[u8]) -> String {
    let name = OperatorName::ALL
        .iter()
        .find(|(_, word)| *word == case.operator)
        .unwrap()
        .0;
    let op = match Op::compile(name, &case.argument, Path::new(""), &MapFiles::default()) {
        Ok(op) => op,
        Err(_) => return "error".to_owned(),
    };
    let mut captures = Captures::default();
    if !op.matches(value, Some(&mut captures)) {
        return "0".to_owned();
    }
    let mut text = "1".to_owned();
    for (index, capture) in captures.iter() {
        write!(text, " {index}={}", to_hex(capture).trim_start_matches('-')).unwrap();
    }
    text
}

/// A line for each value of each case; nothing from another release.
fn ask(program: &Path, cases: &[Case]) -> Option<Vec<String>> {
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the driver starts");
    let input = child.stdin.take().expect("piped");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let answers = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut input = BufWriter::new(input);
            for case in cases {
                let mut op = case.operator.clone().into_bytes();
                op.push(b' ');
                op.extend_from_slice(&case.argument);
                for (at, value) in case.values.iter().enumerate() {
                    let first = u8::from(at == 0);
                    // A driver that has gone is seen by the reader.
                    let _ = writeln!(input, "{} {} {first}", to_hex(&op), to_hex(value));
                }
            }
        });
        let mut lines = output
            .lines()
            .map(|line| line.expect("a line of the driver"));
        let release = lines.next().expect("the library's name");
        let answers: Vec<String> = lines.collect();
        release.starts_with(RELEASE).then_some(answers)
    });
    assert!(child.wait().expect("the driver ends").success());
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
