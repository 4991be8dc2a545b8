//! Hiding values in JSON, against a model over parsed values.

use farmgate_plugin_api::decode::Located;
use proptest::prelude::*;
use serde_json::{Map, Value};

use crate::mirror::json::{NotJson, hide};
use crate::mirror::json_path::{JsonPath, Paths};

fn paths(texts: &[&str]) -> Paths {
    let path = |text: &&str| Located::here(JsonPath::parse(text).unwrap());
    Paths::new(texts.iter().map(path).collect()).unwrap()
}

fn hidden(document: &str, texts: &[&str]) -> String {
    String::from_utf8(hide(document.as_bytes(), &paths(texts)).unwrap()).unwrap()
}

#[test]
fn values_are_hidden_where_paths_lead() {
    for (document, texts, expected) in [
        (r#"{"a":1}"#, &["$.a"][..], r#"{"a":"***"}"#),
        (
            r#"{"a":{"b":[1,2]},"b":3}"#,
            &["$.a.b"],
            r#"{"a":{"b":"***"},"b":3}"#,
        ),
        (
            r#"[{"a":1},{"a":2}]"#,
            &["$[1].a"],
            r#"[{"a":1},{"a":"***"}]"#,
        ),
        (
            r#"{"x":{"a":1,"b":2}}"#,
            &["$.x.*"],
            r#"{"x":{"a":"***","b":"***"}}"#,
        ),
        (
            r#"{"a":[[1,2],[3]]}"#,
            &["$.a[*][0]"],
            r#"{"a":[["***",2],["***"]]}"#,
        ),
        (
            r#"{"p":1,"q":[{"p":{"p":2}}]}"#,
            &["$..p"],
            r#"{"p":"***","q":[{"p":"***"}]}"#,
        ),
        (
            r#"{"q":{"p":{"x":1,"y":2}}}"#,
            &["$..p.x"],
            r#"{"q":{"p":{"x":"***","y":2}}}"#,
        ),
        // Two paths, one within the other.
        (r#"{"a":{"b":1}}"#, &["$.a.b", "$.a"], r#"{"a":"***"}"#),
        (r#"{"a":1,"a":2}"#, &["$.a"], r#"{"a":"***","a":"***"}"#),
        (" [ ] ", &["$[0]"], " [ ] "),
        ("1e999", &["$.a"], "1e999"),
        (
            r#"{"\ud83d\ude00":1}"#,
            &["$.😀"],
            r#"{"\ud83d\ude00":"***"}"#,
        ),
        (r#"{"b":{"a":1}}"#, &["$.a"], r#"{"b":{"a":1}}"#),
    ] {
        assert_eq!(hidden(document, texts), expected, "{document} {texts:?}");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(hide(deep(128).as_bytes(), &paths(&["$.a"])).is_ok());
    for document in [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "01",
        "1.",
        ".5",
        "-",
        "+1",
        "1e",
        "1e+",
        "tru",
        "truex",
        "nulll",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u123g\"",
        "\"a\nb\"",
        "1 2",
        "{} []",
        "NaN",
        "Infinity",
        "//x\n1",
        "\u{feff}1",
        "{\"\\ud800\":1}",
        "{\"\\ud800\\u0041\":1}",
        &deep(129),
    ] {
        assert_eq!(
            hide(document.as_bytes(), &paths(&["$.a"])),
            Err(NotJson),
            "{document:?}"
        );
    }
    assert_eq!(hide(b"\"\xff\"", &paths(&["$.a"])), Err(NotJson));
}

/// The same on parsed values: what `..name`, names, items and stars lead to.
fn model(value: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else {
        *value = Value::from("***");
        return;
    };
    if let Step::Below(_) = step {
        for_each(value, |_, child| model(child, path));
    }
    for_each(value, |place, child| {
        if step.takes(place) {
            model(child, rest);
        }
    });
}

fn for_each(value: &mut Value, mut each: impl FnMut(&str, &mut Value)) {
    match value {
        Value::Object(members) => members
            .iter_mut()
            .for_each(|(name, child)| each(name, child)),
        Value::Array(items) => {
            for (number, child) in items.iter_mut().enumerate() {
                each(&format!("#{number}"), child);
            }
        }
        _ => {}
    }
}

#[derive(Clone, Debug)]
enum Step {
    Name(&'static str),
    Item(usize),
    All,
    Below(&'static str),
}

impl Step {
    fn takes(&self, place: &str) -> bool {
        match self {
            Self::Name(name) | Self::Below(name) => place.eq_ignore_ascii_case(name),
            Self::Item(number) => place == format!("#{number}"),
            Self::All => true,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Name(name) => format!(".{name}"),
            Self::Item(number) => format!("[{number}]"),
            Self::All => "[*]".to_owned(),
            Self::Below(name) => format!("..{name}"),
        }
    }
}

const NAMES: [&str; 4] = ["a", "b", "B", "card"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::sample::select(&NAMES).prop_map(Step::Name),
        (0_usize..3).prop_map(Step::Item),
        Just(Step::All),
        prop::sample::select(&NAMES).prop_map(Step::Below),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        "[\"\\\\\n\u{1}é]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let member = (
            prop_oneof![
                prop::sample::select(&NAMES).prop_map(str::to_owned),
                "\\PC{0,3}"
            ],
            inner.clone(),
        );
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            prop::collection::vec(member, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn hiding_does_what_the_model_does(
        document in document(),
        all in prop::collection::vec(prop::collection::vec(step(), 1..4), 1..4),
        pretty in any::<bool>(),
    ) {
        let text = if pretty {
            serde_json::to_string_pretty(&document).unwrap()
        } else {
            document.to_string()
        };
        let written: Vec<String> = all
            .iter()
            .map(|path| format!("${}", path.iter().map(Step::text).collect::<String>()))
            .collect();
        let written: Vec<&str> = written.iter().map(String::as_str).collect();
        let mut expected = document.clone();
        // Longer paths first: what a shorter one hides is gone then.
        for path in &all {
            let mut alone = document.clone();
            model(&mut alone, path);
            merge(&mut expected, &alone);
        }
        let found = hidden(&text, &written);
        prop_assert_eq!(serde_json::from_str::<Value>(&found).unwrap(), expected);
    }

    #[test]
    fn what_nobody_names_stays_byte_for_byte(document in document()) {
        let text = serde_json::to_string_pretty(&document).unwrap();
        prop_assert_eq!(hidden(&text, &["$.nobody[7]", "$..has_it"]), text);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = hide(&bytes, &paths(&["$..a", "$[*]"]));
    }

    #[test]
    fn what_others_read_is_read(text in "[\\[\\]{}:,\"a\\\\u0019 .eE+-]{0,24}|\\[[0-9,. eE+-]{0,12}\\]") {
        let ours = hide(text.as_bytes(), &paths(&["$.a"])).is_ok();
        match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            Ok(_) => prop_assert!(ours || text.contains("\\u"), "{}", text),
            // They refuse what has no finite value too.
            Err(error) => prop_assert!(!ours || error.to_string().contains("out of range"), "{}: {}", text, error),
        }
    }
}

/// What either of two has hidden.
fn merge(into: &mut Value, other: &Value) {
    if other.as_str() == Some("***") {
        *into = other.clone();
        return;
    }
    match (into, other) {
        (Value::Object(into), Value::Object(other)) => {
            for (name, child) in into.iter_mut() {
                merge(child, &other[name]);
            }
        }
        (Value::Array(into), Value::Array(other)) => {
            into.iter_mut()
                .zip(other)
                .for_each(|(child, other)| merge(child, other));
        }
        _ => {}
    }
}
