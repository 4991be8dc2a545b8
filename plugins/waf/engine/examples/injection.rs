//! What a verdict costs: `cargo run --profile ci --example injection -- FILE...`, a string a line.
//! Without files, strings of a browser's request and a few attacks. Nanoseconds of wall clock a string,
//! the best of 15 rounds.

use std::hint::black_box;
use std::time::Instant;

use farmgate_waf::injection::{sqli, xss};
use farmgate_waf::transform::ByteSet;

const ROUNDS: u32 = 15;

/// Times that all strings are judged in a round.
const REPEATS: u32 = 40;

const STRINGS: &str = include_str!("injection.txt");

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        measure("examples/injection.txt", STRINGS.as_bytes());
    }
    for file in files {
        match std::fs::read(&file) {
            Ok(text) => measure(&file, &text),
            Err(error) => eprintln!("{file}: {error}"),
        }
    }
}

fn measure(name: &str, text: &[u8]) {
    let strings: Vec<&[u8]> = text
        .strip_suffix(b"\n")
        .unwrap_or(text)
        .split(|byte| *byte == b'\n')
        .collect();
    let bytes: usize = strings.iter().map(|string| string.len()).sum();
    let mean = bytes as f64 / strings.len() as f64;
    let sql = best(&strings, |string| sqli(string).is_some());
    let script = best(&strings, xss);
    let skipped = |string: &&&[u8]| {
        let present = ByteSet::of(string);
        farmgate_waf::injection::cannot_be_sqli(&present)
            && farmgate_waf::injection::cannot_be_xss(&present)
    };
    println!(
        "{name}: {} strings, mean {mean:.1} bytes: sqli {sql:.0} ns, xss {script:.0} ns, pair {:.0} ns; \
         {} need neither",
        strings.len(),
        sql + script,
        strings.iter().filter(skipped).count(),
    );
}

fn best(strings: &[&[u8]], judge: impl Fn(&[u8]) -> bool) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..REPEATS {
            for string in strings {
                black_box(judge(black_box(string)));
            }
        }
        let nanoseconds = start.elapsed().as_nanos() as f64;
        best = best.min(nanoseconds / f64::from(REPEATS) / strings.len() as f64);
    }
    best
}
