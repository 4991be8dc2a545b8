//! Agreement with libmodsecurity 3.0.9: with its kept answers everywhere, and with the library itself
//! where its headers and a compiler are installed. A name whose quote never closes is no case: 3.0.9 reads
//! behind the end of its memory there, and answers now this, now that. Here it is an error.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::answers::{Case, answers, cases, deviations};
use super::shown;

const PROGRAM: &str = include_str!("modsecurity.cc");

/// The version whose answers are kept.
const VERSION: &str = "ModSecurity v3.0.9 ";

/// Lines that say the same when they are equal. Collections of v3 have no order; a scalar that is unset or
/// 0 says nothing; its messages are its own words.
fn normal<S: AsRef<str>>(case: &Case, lines: &[S]) -> Vec<String> {
    let is_multipart = case
        .content_type
        .get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"multi"));
    let mut kept: Vec<String> = lines
        .iter()
        .map(AsRef::as_ref)
        .filter(|line| !line.ends_with(" -") && (line.contains(" x") || !line.ends_with(" 0")))
        .filter(|line| {
            let word = line.split(' ').next().unwrap_or_default();
            // Of filename* v3 makes no MULTIPART_FILENAME, and we do; names of broken parts come twice.
            !matches!(
                word,
                "REQBODY_ERROR_MSG" | "REQBODY_PROCESSOR" | "FILENAME" | "NAME" | "" | "."
            )
        })
        .map(|line| match line.split_once(' ') {
            // 3.0.9 keeps the line ends of part headers, and loses those inside of values.
            Some(("PART_HEADER" | "ARGS_POST", values)) if is_multipart => {
                let word = line.split(' ').next().unwrap_or_default();
                let values: Vec<String> = values.split(' ').map(without_line_ends).collect();
                format!("{word} {}", values.join(" "))
            }
            _ => line.to_owned(),
        })
        .collect();
    kept.sort();
    if kept.iter().any(|line| line == "REQBODY_ERROR 1") {
        // v3 and we stop in different places then; that there is an error is what rules act on.
        return vec!["REQBODY_ERROR 1".into()];
    }
    // The empty text of a document that has none.
    kept.retain(|line| line != "XML x");
    kept
}

fn without_line_ends(value: &str) -> String {
    let digits = value.as_bytes().get(1..).unwrap_or_default();
    let (pairs, _) = digits.as_chunks::<2>();
    let kept: Vec<u8> = pairs
        .iter()
        .filter(|pair| !matches!(*pair, b"0d" | b"0a"))
        .flatten()
        .copied()
        .collect();
    format!("x{}", String::from_utf8_lossy(&kept))
}

#[test]
fn every_case_agrees_with_the_kept_answers_or_deviates_for_a_reason() {
    let (answers, mut deviations) = (answers(), deviations());
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 200, "the table is there: {}", cases.len());
    for case in &cases {
        let theirs = answers
            .get(case.name)
            .unwrap_or_else(|| panic!("no answer for {}", case.name));
        let theirs = normal(case, theirs);
        let ours = normal(
            case,
            &shown::case(case.kind, &case.content_type, &case.body),
        );
        let deviates = deviations.remove(case.name);
        if (theirs == ours) == deviates.is_some() {
            wrong.push(format!(
                "{} {:?}\n  v3   {theirs:#?}\n  ours {ours:#?}\n  listed as a deviation: {deviates:?}",
                case.name,
                case.body.escape_ascii().to_string()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        deviations.is_empty(),
        "deviations of no case: {deviations:?}"
    );
}

#[test]
fn the_library_answers_as_it_did() {
    if !Path::new("/usr/include/modsecurity/modsecurity.h").exists() {
        eprintln!("libmodsecurity-dev is not installed: the kept answers were compared");
        return;
    }
    let folder = std::env::temp_dir().join(format!("waf-bodies-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (source, program) = (folder.join("ask.cc"), folder.join("ask"));
    std::fs::write(&source, PROGRAM).expect("the program's text");
    let built = Command::new("c++")
        .args([
            source.as_os_str(),
            "-o".as_ref(),
            program.as_os_str(),
            "-lmodsecurity".as_ref(),
        ])
        .output();
    if !built.as_ref().is_ok_and(|built| built.status.success()) {
        std::fs::remove_dir_all(&folder).expect("gone");
        eprintln!("no C++ compiler for the reference program: the kept answers were compared");
        return;
    }
    let cases = cases();
    let text = ask(&program, &cases);
    std::fs::remove_dir_all(&folder).expect("gone");
    let mut blocks = text.split("\n.\n");
    let version = blocks.next().unwrap_or_default();
    if !version.starts_with(VERSION) {
        eprintln!("{version} is installed, the kept answers are of {VERSION}");
        return;
    }
    let mut kept = format!("# What {version} answers to cases.txt.\n");
    for (case, block) in cases.iter().zip(blocks) {
        let lines = block
            .lines()
            .filter(|line| !line.ends_with(" -") && !line.ends_with("_MSG x"));
        let lines: Vec<&str> = lines
            .filter(|line| line.contains(" x") || !line.ends_with(" 0"))
            .collect();
        kept.push_str(&format!("== {}\n{}\n", case.name, lines.join("\n")));
    }
    if std::env::var("FARMGATE_GOLDEN").is_ok_and(|word| word == "write") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/body/tests/answers.txt");
        std::fs::write(path, &kept).expect("the answers");
    } else {
        let difference = kept
            .lines()
            .zip(super::answers::ANSWERS.lines())
            .find(|(now, then)| now != then);
        assert!(
            difference.is_none() && kept.len() == super::answers::ANSWERS.len(),
            "{difference:?}"
        );
    }
}

fn ask(program: &Path, cases: &[Case]) -> String {
    let mut input = Vec::new();
    for case in cases {
        input.push(case.kind);
        for bytes in [&case.content_type, &case.body] {
            input.extend_from_slice(&u32::try_from(bytes.len()).expect("short").to_be_bytes());
        }
        input.extend_from_slice(&case.content_type);
        input.extend_from_slice(&case.body);
    }
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("it ends");
    writer
        .join()
        .expect("no panic")
        .expect("it reads everything");
    assert!(output.status.success(), "{:?}", output.status);
    String::from_utf8(output.stdout).expect("text")
}
