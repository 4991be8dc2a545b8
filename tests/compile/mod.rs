//! Golden configurations: words in, diagnostics or a decision out.
//!
//! A case is a `.toml` file in a folder beside this one. Its last lines are comments: `#!check` or
//! `#!explain ARGUMENTS URL` runs that command on the file, and the `#! ` lines behind it are what it
//! prints; one that ends in `...` gives the beginning only. `#!exit N` is the exit code, 0 without it.
//! `FARMGATE_GOLDEN=write` writes what is printed now into the files, to be read before it is kept.

mod several;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use farmgate::compile::codes as compile_codes;
use farmgate::config::codes as config_codes;

use crate::harness::cli::{check, command};

/// A command of a case and what it should print.
struct Expectation {
    words: Vec<String>,
    code: i32,
    lines: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile")
}

/// Every `.toml` below a folder, in order.
fn tomls(folder: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = folder
        .read_dir()
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            tomls(&path, out);
        } else if path.extension().is_some_and(|end| end == "toml") {
            out.push(path);
        }
    }
}

fn cases() -> Vec<PathBuf> {
    let mut out = Vec::new();
    tomls(&folder(), &mut out);
    out
}

fn read(text: &str) -> Vec<Expectation> {
    let mut out: Vec<Expectation> = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("#!") else {
            continue;
        };
        match (
            rest.strip_prefix(' '),
            rest.strip_prefix("exit "),
            out.last_mut(),
        ) {
            (Some(printed), _, Some(last)) => last.lines.push(printed.to_owned()),
            (_, Some(code), Some(last)) => last.code = code.parse().expect("an exit code"),
            _ => out.push(Expectation {
                words: words(rest),
                code: 0,
                lines: Vec::new(),
            }),
        }
    }
    out
}

/// Words parted by spaces; quotes hold a word together.
fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (at, part) in text.split('\'').enumerate() {
        match at % 2 {
            0 => out.extend(part.split_whitespace().map(str::to_owned)),
            _ => out.push(part.to_owned()),
        }
    }
    out
}

fn run(path: &Path, expectation: &Expectation) -> (i32, Vec<String>) {
    let (name, arguments) = expectation.words.split_first().expect("a command");
    let output = command()
        .current_dir(path.parent().expect("a folder"))
        .env("FARMGATE_TEST_SET", "set")
        .arg(name)
        .arg("--config")
        .arg(path.file_name().expect("a name"))
        .args(arguments)
        .output()
        .expect("run the binary");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("UTF-8");
    let lines = text
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    (output.status.code().unwrap_or(-1), lines)
}

fn same(expected: &[String], found: &[String]) -> bool {
    expected.len() == found.len()
        && expected.iter().zip(found).all(|(want, have)| {
            want == have
                || want
                    .strip_suffix("...")
                    .is_some_and(|start| have.starts_with(start))
        })
}

/// The file with what its commands print now.
fn rewritten(path: &Path, text: &str) -> String {
    let config = text.lines().take_while(|line| !line.starts_with("#!"));
    let mut out: String = config.map(|line| format!("{line}\n")).collect();
    for expectation in read(text) {
        let (code, lines) = run(path, &expectation);
        let rest: Vec<String> = expectation
            .words
            .iter()
            .map(|word| {
                if word.contains(' ') {
                    format!("'{word}'")
                } else {
                    word.clone()
                }
            })
            .collect();
        out += &format!("#!{}\n", rest.join(" "));
        if code != 0 {
            out += &format!("#!exit {code}\n");
        }
        for (at, line) in lines.iter().enumerate() {
            // A line that was cut by hand stays cut.
            let kept = expectation
                .lines
                .get(at)
                .filter(|kept| same(std::slice::from_ref(*kept), std::slice::from_ref(line)));
            out += &format!("#! {}\n", kept.unwrap_or(line));
        }
    }
    out
}

#[test]
fn every_case_prints_what_it_says() {
    let write = std::env::var_os("FARMGATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for path in cases() {
        let text = std::fs::read_to_string(&path).expect("a case");
        if write {
            std::fs::write(&path, rewritten(&path, &text)).expect("write the case");
            continue;
        }
        let expectations = read(&text);
        assert!(
            !expectations.is_empty(),
            "{} expects nothing",
            path.display()
        );
        for expectation in &expectations {
            let (code, lines) = run(&path, expectation);
            if code != expectation.code || !same(&expectation.lines, &lines) {
                wrong.push(format!(
                    "{} {:?}\nexpected {}:\n{}\nfound {code}:\n{}\n",
                    path.display(),
                    expectation.words,
                    expectation.code,
                    expectation.lines.join("\n"),
                    lines.join("\n"),
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Codes that are not about one file's text, each with where it is met.
const ELSEWHERE: &[(&str, &str)] = &[
    (config_codes::UNREADABLE, "several"),
    (config_codes::NOT_UTF8, "several"),
    (config_codes::TOO_LARGE, "several"),
    (config_codes::NOTHING, "several"),
    (config_codes::FILE_TWICE, "several"),
    (config_codes::TABLE_TWICE, "several"),
    (compile_codes::BIND_FAILED, "reload: needs a running node"),
    (compile_codes::NEEDS_UPGRADE, "reload: needs a running node"),
    (compile_codes::DRAINING, "admin: needs a draining node"),
    (compile_codes::LOG_OPEN, "admin: needs a running node"),
    (compile_codes::TLS_LIBRARY, "nowhere: only without memory"),
    (compile_codes::ROUTE_TOO_MANY, "several"),
    (compile_codes::ROUTE_COSTLY, "several"),
];

#[test]
fn every_code_is_met() {
    let mut met = BTreeSet::new();
    let mut count = 0;
    for path in cases() {
        count += 1;
        let text = std::fs::read_to_string(&path).expect("a case");
        for line in text.lines().filter(|line| line.starts_with("#! ")) {
            met.extend(
                line.split(' ')
                    .filter(|word| word.starts_with("E-"))
                    .map(str::to_owned),
            );
        }
    }
    met.extend(ELSEWHERE.iter().map(|(code, _)| (*code).to_owned()));
    let config = config_codes::ALL.iter().map(|code| code.code);
    let compile = compile_codes::ALL.iter().map(|code| code.code);
    let missing: Vec<&str> = config
        .chain(compile)
        .filter(|code| !met.contains(*code))
        .collect();
    assert!(missing.is_empty(), "no case meets {missing:?}");
    assert!(count >= 60, "{count} cases");
}

#[test]
fn codes_mean_one_thing() {
    let config = config_codes::ALL.iter().map(|code| code.code);
    let compile = compile_codes::ALL.iter().map(|code| code.code);
    let mut seen = BTreeSet::new();
    for code in config.chain(compile) {
        assert!(seen.insert(code), "{code} stands for two things");
    }
    use farmgate_plugin_api::kind::codes as kind;
    for code in [kind::OPTIONS, kind::FILE, kind::VALUE, kind::IDLE] {
        assert!(
            seen.insert(code),
            "{code} of the plugin API stands for something else too"
        );
    }
}

/// Warnings about the machine, not about the file.
const OF_MACHINES: [&str; 3] = ["E-LIMIT-001", "E-CACHE-006", "E-CACHE-007"];

/// conf/farmgate.toml, conf/examples/*.toml and plugins/*/example.toml load without a warning that an
/// operator would have to explain away.
#[test]
fn what_we_ship_loads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("conf/farmgate.toml")];
    tomls(&root.join("conf/examples"), &mut paths);
    for room in root.join("plugins").read_dir().expect("plugins") {
        let example = room.expect("a room").path().join("example.toml");
        if example.exists() {
            paths.push(example);
        }
    }
    assert!(paths.len() >= 15, "{paths:?}");
    for path in paths {
        let ran = check(&path).expect(0);
        let warnings: Vec<&str> = ran
            .out
            .lines()
            .filter(|line| line.contains(": warning E-"))
            .filter(|line| !OF_MACHINES.iter().any(|code| line.contains(code)))
            .collect();
        assert!(warnings.is_empty(), "{}: {warnings:?}", path.display());
    }
}
