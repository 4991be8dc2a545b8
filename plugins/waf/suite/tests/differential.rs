//! plan == naive, on every stage, on the corpora and on requests made of pieces of attacks.

use std::sync::OnceLock;

use farmgate_waf::seclang::Source;
use farmgate_waf_suite::differential::Pair;
use farmgate_waf_suite::{corpus, engine, load, places};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Levels at which the plans are compared.
const LEVELS: [u8; 2] = [1, 4];

fn own() -> &'static [Pair; 2] {
    static PAIRS: OnceLock<[Pair; 2]> = OnceLock::new();
    PAIRS.get_or_init(|| {
        let sources = [Source::Pattern("rules/*.conf".into())];
        let rules = engine::load(&places::ours(), &sources).unwrap();
        LEVELS.map(|level| Pair::new(&rules, &engine::paranoia(level)))
    })
}

/// With the Core Rule Set, where there is one.
fn crs() -> Option<[Pair; 2]> {
    let rules = engine::load_crs(&places::crs().unwrap()?).unwrap();
    Some(LEVELS.map(|level| Pair::new(&rules, &engine::paranoia(level))))
}

fn requests() -> Vec<(String, Vec<u8>)> {
    let ours = places::ours();
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for name in ["benign", "attacks"] {
        let samples = corpus::read(&ours.join(name)).unwrap();
        all.extend(
            samples
                .into_iter()
                .map(|sample| (sample.name, sample.request)),
        );
    }
    let mut stages = load::stages(&ours.join("cases")).unwrap();
    if let Some(folder) = places::crs().unwrap() {
        stages.extend(load::stages(&folder.join("tests")).unwrap());
    }
    all.extend(stages.into_iter().map(|stage| (stage.id, stage.request)));
    all
}

fn all_agree(pairs: &[Pair], requests: &[(String, Vec<u8>)]) {
    let mut wrong = Vec::new();
    for (name, request) in requests {
        for (pair, level) in pairs.iter().zip(LEVELS) {
            if let Err(error) = pair.compare(request) {
                wrong.push(format!("{name}, paranoia {level}: {error}"));
            }
        }
    }
    let work = |pair: &Pair| {
        requests
            .iter()
            .fold((0, 0), |sum: (u64, u64), (_, request)| {
                let (plan, naive) = pair.work(request);
                (sum.0 + plan, sum.1 + naive)
            })
    };
    let (plan, naive) = work(&pairs[1]);
    println!("work at paranoia 4: {plan} with the prefilter, {naive} without");
    assert!(
        plan > 0 && plan < naive,
        "the prefilter saves nothing: {plan} and {naive}"
    );
    let shown = wrong
        .iter()
        .take(5)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n\n");
    assert!(
        wrong.is_empty(),
        "{} differ, the first:\n{shown}",
        wrong.len()
    );
}

#[test]
fn own_rules_agree_on_every_stage() {
    all_agree(own(), &requests());
}

#[test]
fn crs_agrees_on_every_stage() {
    match crs() {
        Some(pairs) => all_agree(&pairs, &requests()),
        None => println!(
            "plan and naive with the CRS: not run ({} is not set)",
            places::CRS_VARIABLE
        ),
    }
}

#[test]
fn own_rules_agree_on_random_requests() {
    random(own(), cases(400));
}

#[test]
fn crs_agrees_on_random_requests() {
    match crs() {
        Some(pairs) => random(&pairs, cases(120)),
        None => println!(
            "plan and naive with the CRS: not run ({} is not set)",
            places::CRS_VARIABLE
        ),
    }
}

/// Ten times as many in long runs.
fn cases(usual: u32) -> u32 {
    let is_long = std::env::var_os("FARMGATE_LONG").is_some();
    if is_long { usual * 10 } else { usual }
}

fn random(pairs: &[Pair], cases: u32) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&request(), |bytes| {
            for pair in pairs {
                pair.compare(&bytes).map_err(TestCaseError::fail)?;
            }
            Ok(())
        })
        .unwrap();
}

/// What attacks are made of, and what surrounds them.
const PIECES: [&[u8]; 48] = [
    b"'",
    b"\"",
    b"`",
    b" or 1=1",
    b"-- -",
    b"/*!50000",
    b"*/",
    b" union all select ",
    b"sleep(5)",
    b"<script>",
    b"</script",
    b"onerror=",
    b"javascript:",
    b"alert(1)",
    b"<svg/",
    b"../",
    b"..\\",
    b"/etc/passwd",
    b"%2e%2e%2f",
    b"%252e",
    b"%u003c",
    b"\\u0061",
    b"\\x6a",
    b"&lt;",
    b"&#x3c;",
    b"\0",
    b"\xc0\xae",
    b"\xef\xbc\x9c",
    b"${jndi:ldap://x}",
    b"{{7*7}}",
    b"<?php ",
    b"system(",
    b"; cat ",
    b"|id",
    b"$(whoami)",
    b"cmd.exe",
    b"c^m^d",
    b"http://1.2.3.4/",
    b"O:8:\"a\"",
    b"=",
    b"+",
    b"%",
    b" ",
    b"hello",
    b"caf\xc3\xa9",
    b"12345",
    b"rO0ABQ==",
    b"\r\nSet-Cookie: a=b",
];

const NAMES: [&str; 8] = [
    "q",
    "id_1",
    "pair",
    "a[b]",
    "json.x",
    "__proto__",
    "file",
    "html",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => proptest::sample::select(&PIECES[..]).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
        1 => "[a-zA-Z0-9 ]{0,12}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn pairs(most: usize) -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    proptest::collection::vec((proptest::sample::select(&NAMES[..]), text()), 0..most)
}

/// Percent-encoded, wholly or only where a request line or a form would break.
fn encoded(value: &[u8], wholly: bool) -> String {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || (!wholly && byte.is_ascii_graphic() && !b"&#".contains(&byte))
    };
    let each = value.iter().map(|byte| {
        if plain(*byte) {
            char::from(*byte).to_string()
        } else {
            format!("%{byte:02x}")
        }
    });
    each.collect()
}

fn form(pairs: &[(&str, Vec<u8>)], wholly: bool) -> String {
    let each = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value, wholly)));
    each.collect::<Vec<_>>().join("&")
}

/// A media type and a body of it.
fn body() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let urlencoded = (pairs(5), any::<bool>()).prop_map(|(pairs, wholly)| {
        (
            "application/x-www-form-urlencoded",
            form(&pairs, wholly).into_bytes(),
        )
    });
    let json = (pairs(5), any::<bool>()).prop_map(|(pairs, deep)| {
        let fields = pairs.iter().map(|(name, value)| {
            format!(
                "\"{name}\":{}",
                serde_json::Value::from(String::from_utf8_lossy(value))
            )
        });
        let object = format!("{{{}}}", fields.collect::<Vec<_>>().join(","));
        let text = if deep {
            format!("[[{object},1,null],{object}]")
        } else {
            object
        };
        ("application/json", text.into_bytes())
    });
    let xml = pairs(4).prop_map(|pairs| {
        let mut out = b"<?xml version=\"1.0\"?><r>".to_vec();
        for (_, value) in &pairs {
            let safe: Vec<u8> = value
                .iter()
                .copied()
                .filter(|byte| !b"<&\"".contains(byte))
                .collect();
            out.extend([b"<a b=\"", &safe[..], b"\">", &safe[..], b"</a>"].concat());
        }
        out.extend(b"</r>");
        ("text/xml", out)
    });
    let multipart = pairs(4).prop_map(|pairs| {
        let mut out = Vec::new();
        for (at, (name, value)) in pairs.iter().enumerate() {
            let file = if at % 2 == 0 {
                ""
            } else {
                "; filename=\"a.php\""
            };
            let head =
                format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
            out.extend([head.as_bytes(), value, b"\r\n"].concat());
        }
        out.extend(b"--b0--\r\n");
        ("multipart/form-data; boundary=b0", out)
    });
    let other = text().prop_map(|text| ("text/plain", text));
    let broken = (
        proptest::sample::select(
            &[
                "application/json",
                "text/xml",
                "multipart/form-data; boundary=b0",
            ][..],
        ),
        text(),
    );
    prop_oneof![urlencoded, json, xml, multipart, other, broken]
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = proptest::sample::select(&["GET", "POST", "PUT", "HEAD"][..]);
    let head = (method, text(), pairs(5), any::<bool>());
    let fields = proptest::collection::vec(
        (
            proptest::sample::select(&["User-Agent", "Referer", "X-Length", "X-Api", "Accept"][..]),
            text(),
        ),
        0..4,
    );
    (head, fields, pairs(3), proptest::option::of(body())).prop_map(
        |((method, path, query, wholly), fields, cookies, body)| {
            let path = encoded(&path, wholly).replace('?', "%3f");
            let query = form(&query, wholly);
            let mut out =
                format!("{method} /{path}?{query} HTTP/1.1\r\nHost: a.test\r\n").into_bytes();
            let mut field = |name: &str, value: &[u8]| {
                let value: Vec<u8> = value
                    .iter()
                    .copied()
                    .filter(|byte| !b"\r\n\0".contains(byte))
                    .collect();
                out.extend([name.as_bytes(), b": ", &value[..], b"\r\n"].concat());
            };
            for (name, value) in &fields {
                field(name, value);
            }
            let cookies = cookies
                .iter()
                .map(|(name, value)| format!("{name}={}", encoded(value, wholly)));
            let cookies: Vec<String> = cookies.collect();
            if !cookies.is_empty() {
                field("Cookie", cookies.join("; ").as_bytes());
            }
            if let Some((kind, body)) = &body {
                field("Content-Type", kind.as_bytes());
                field("Content-Length", body.len().to_string().as_bytes());
            }
            out.extend(b"\r\n");
            out.extend(body.map(|(_, body)| body).unwrap_or_default());
            out
        },
    )
}
