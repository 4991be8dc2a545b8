//! The verdicts that libinjection gave, kept as data, and the library itself where there is one.
//!
//! `FARMGATE_GOLDEN=write` writes the data anew from the library. To add a seed, add a line with nothing
//! behind it, then do so.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::answer::{Answer, Library, Sum};
use super::corpus::{BLOCK, MUTATIONS, Numbers, compose, escape, mutate, unescape};

const DATA: &str = include_str!("../../../tests/data/injection.tsv");

/// The first field of the lines of blocks, before their number.
const BLOCK_MARK: &str = "BLOCK ";

/// A line of the data.
struct Line {
    what: What,
    /// All fields behind the first.
    kept: Vec<String>,
}

enum What {
    /// A seed and its number.
    Seed(u64, Vec<u8>),
    /// Strings of pieces, from this number.
    Block(u64),
}

fn lines() -> Vec<Line> {
    let mut seeds = 0;
    let mut lines = Vec::new();
    for line in DATA.lines().filter(|line| !line.starts_with("##")) {
        let mut fields = line.split('\t');
        let first = fields.next().expect("there is a first field");
        let what = if let Some(number) = first.strip_prefix(BLOCK_MARK) {
            What::Block(number.parse().expect("a number"))
        } else {
            seeds += 1;
            What::Seed(seeds, unescape(first))
        };
        lines.push(Line {
            what,
            kept: fields.map(str::to_owned).collect(),
        });
    }
    lines
}

/// The strings of a line: a seed with its mutations, or a block.
fn strings(lines: &[Line], at: usize) -> Vec<Vec<u8>> {
    let seeds: Vec<&Vec<u8>> = lines
        .iter()
        .filter_map(|line| match &line.what {
            What::Seed(_, seed) => Some(seed),
            What::Block(_) => None,
        })
        .collect();
    let mut all = Vec::new();
    let mut value = Vec::new();
    match &lines[at].what {
        What::Seed(number, seed) => {
            let mut numbers = Numbers::new(*number);
            all.push(seed.clone());
            for _ in 0..MUTATIONS {
                // Another seed near this one, so that seeds added at the end change nothing here.
                let other = seeds[numbers.below(usize::try_from(*number).expect("small"))];
                mutate(&mut numbers, seed, other, &mut value);
                all.push(value.clone());
            }
        }
        What::Block(number) => {
            let mut numbers = Numbers::new(*number << 32);
            for _ in 0..BLOCK {
                compose(&mut numbers, &mut value);
                all.push(value.clone());
            }
        }
    }
    all
}

/// The fields behind the first that these answers make.
fn fields(line: &Line, answers: &[Answer]) -> Vec<String> {
    let mut sum = Sum::new();
    answers.iter().for_each(|answer| sum.add(answer));
    let sum = format!("{:016x}", sum.0);
    match line.what {
        What::Seed(..) => {
            let first = &answers[0];
            vec![first.sqli(), u8::from(first.xss()).to_string(), sum]
        }
        What::Block(_) => vec![sum],
    }
}

#[test]
fn the_kept_verdicts_are_ours() {
    let lines = lines();
    let (mut count, mut attacks, mut scripts) = (0, 0, 0);
    for at in 0..lines.len() {
        let answers: Vec<Answer> = strings(&lines, at)
            .iter()
            .map(|value| Answer::ours(value))
            .collect();
        count += answers.len();
        attacks += answers
            .iter()
            .filter(|answer| !answer.sqli().is_empty())
            .count();
        scripts += answers.iter().filter(|answer| answer.xss()).count();
        assert_eq!(fields(&lines[at], &answers), lines[at].kept, "line {at}");
    }
    eprintln!("{count} strings as libinjection judges them: SQL {attacks}, scripts {scripts}");
    assert!(count >= 300_000, "the corpus has shrunk to {count} strings");
    assert!(
        attacks > count / 20 && scripts > count / 20,
        "it proves little"
    );
}

#[test]
fn the_library_says_the_same() {
    let mut library = match Library::load() {
        Ok(library) => library,
        Err(reason) => {
            eprintln!(
                "libinjection is not asked, only its kept verdicts are compared: {reason}\n\
                 help: install the package libmodsecurity3, or set FARMGATE_LIBMODSECURITY"
            );
            return;
        }
    };
    eprintln!("asking {}", library.version);
    let lines = lines();
    let mut compared = 0;
    let mut differences = Vec::new();
    let mut data: String =
        DATA.lines()
            .filter(|line| line.starts_with("##"))
            .fold(String::new(), |mut data, line| {
                data.push_str(line);
                data.push('\n');
                data
            });
    for (at, line) in lines.iter().enumerate() {
        let values = strings(&lines, at);
        let answers = library.answers(&values);
        compare(&values, &answers, &mut differences);
        compared += values.len();
        let first = match &line.what {
            What::Seed(_, seed) => escape(seed),
            What::Block(number) => format!("{BLOCK_MARK}{number}"),
        };
        let _ = writeln!(data, "{first}\t{}", fields(line, &answers).join("\t"));
    }
    let more = [short_strings(), real_strings(), more_blocks()];
    for values in more.iter().flat_map(|values| values.chunks(4096)) {
        let answers = library.answers(values);
        compare(values, &answers, &mut differences);
        compared += values.len();
    }
    eprintln!(
        "{compared} strings compared, {} differences",
        differences.len()
    );
    if std::env::var("FARMGATE_GOLDEN").is_ok_and(|word| word == "write") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/injection.tsv");
        std::fs::write(path, data).expect("it can be written");
    } else {
        assert!(data == DATA, "the data was not written by this library");
    }
    let first = differences.iter().take(20).cloned().collect::<String>();
    assert!(
        differences.is_empty(),
        "{} differences\n{first}",
        differences.len()
    );
}

fn compare(values: &[Vec<u8>], answers: &[Answer], differences: &mut Vec<String>) {
    for (value, answer) in values.iter().zip(answers) {
        let ours = Answer::ours(value);
        if ours != *answer {
            let text = escape(value);
            differences.push(format!("{text}\n  theirs {answer:?}\n  ours   {ours:?}\n"));
        }
    }
}

/// All strings of up to two bytes.
fn short_strings() -> Vec<Vec<u8>> {
    let one = (0..=255).map(|byte| vec![byte]);
    let two = (0..=0xffff_u16).map(|bytes| bytes.to_be_bytes().to_vec());
    std::iter::once(Vec::new()).chain(one).chain(two).collect()
}

/// Blocks that are not kept, as many as `FARMGATE_INJECTION_BLOCKS` says: for a longer search.
fn more_blocks() -> Vec<Vec<u8>> {
    let wanted = std::env::var("FARMGATE_INJECTION_BLOCKS").unwrap_or_default();
    let blocks: u64 = wanted.parse().unwrap_or(0);
    let lines: Vec<Line> = (1 << 20..(1 << 20) + blocks)
        .map(|number| Line {
            what: What::Block(number),
            kept: Vec::new(),
        })
        .collect();
    (0..lines.len())
        .flat_map(|at| strings(&lines, at))
        .collect()
}

/// What the regression tests of the Core Rule Set send, when `FARMGATE_CRS_DIR` has them: each line's
/// value, as it stands and with its percent signs decoded, whole and cut at what divides arguments.
fn real_strings() -> Vec<Vec<u8>> {
    let Some(folder) = std::env::var_os("FARMGATE_CRS_DIR") else {
        eprintln!("FARMGATE_CRS_DIR is not set: no strings from the Core Rule Set's tests");
        return Vec::new();
    };
    let mut files = Vec::new();
    collect(&PathBuf::from(folder).join("tests"), &mut files);
    files.sort();
    assert!(!files.is_empty(), "no tests below FARMGATE_CRS_DIR");
    let mut all = Vec::new();
    let (mut numbers, mut value) = (Numbers::new(7), Vec::new());
    for file in files {
        let text = std::fs::read(&file).expect("it can be read");
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            let colon = line.iter().position(|byte| *byte == b':');
            let field = colon.map_or(line, |at| line[at + 1..].trim_ascii());
            for text in [field.to_vec(), decode(field)] {
                all.extend(text.split(|byte| b"&;?".contains(byte)).map(<[u8]>::to_vec));
                all.extend(text.split(|byte| b"=&".contains(byte)).map(<[u8]>::to_vec));
                for _ in 0..4 {
                    mutate(&mut numbers, &text, line, &mut value);
                    all.push(value.clone());
                }
                all.push(text);
            }
        }
    }
    all
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, rest) {
            (b'+', _) => decoded.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or(0) as u8;
                decoded.push(digit(high) << 4 | digit(low));
                rest = after;
            }
            _ => decoded.push(*byte),
        }
    }
    decoded
}
