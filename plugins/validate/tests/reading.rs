//! JSON within bounds, against `serde_json` without any.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::super::json::{Bounds, Duplicates, Unread, read};

const WIDE: Bounds = Bounds {
    depth: 100,
    values: 100_000,
    duplicates: Duplicates::Refuse,
};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300_f64).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-c~/]{0,3}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn within_its_bounds_it_reads_what_serde_json_reads(value in value(), pretty: bool) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => value.to_string(),
        };
        prop_assert_eq!(read(text.as_bytes(), WIDE), Ok(value.clone()));
        let exact = Bounds { depth: depth(&value), values: count(&value), ..WIDE };
        prop_assert_eq!(read(text.as_bytes(), exact), Ok(value.clone()));
        if exact.depth > 0 {
            let tight = Bounds { depth: exact.depth - 1, ..WIDE };
            prop_assert_eq!(read(text.as_bytes(), tight).unwrap_err().0, Unread::TooDeep);
        }
        let tight = Bounds { values: exact.values - 1, ..WIDE };
        prop_assert_eq!(read(text.as_bytes(), tight).unwrap_err().0, Unread::TooMany);
    }

    #[test]
    fn any_bytes_are_read_as_serde_json_reads_them(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let bounds = Bounds { duplicates: Duplicates::Last, ..WIDE };
        let known = serde_json::from_slice::<Value>(&bytes).ok();
        prop_assert_eq!(read(&bytes, bounds).ok(), known);
    }

    #[test]
    fn nearly_json_is_read_as_serde_json_reads_it(text in r#"[\[\]{},:"ab0-9.eE\\u+-]{0,24}"#) {
        let bounds = Bounds { duplicates: Duplicates::Last, ..WIDE };
        let known = serde_json::from_str::<Value>(&text).ok();
        prop_assert_eq!(read(text.as_bytes(), bounds).ok(), known);
    }
}

#[test]
fn a_failure_says_where() {
    for (text, why, at) in [
        (
            r#"{"a":{"b":[1,{"c":1,"c":2}]}}"#,
            Unread::Duplicate,
            "/a/b/1/c",
        ),
        (r#"{"a~/b":{"x":1,"x":1}}"#, Unread::Duplicate, "/a~0~1b/x"),
        (r#"{"a":[1,2,nul]}"#, Unread::Syntax, "/a/2"),
        ("[1e999]", Unread::Syntax, "/0"),
        ("", Unread::Syntax, ""),
        ("[] x", Unread::Syntax, ""),
    ] {
        assert_eq!(
            read(text.as_bytes(), WIDE),
            Err((why, at.to_owned())),
            "{text}"
        );
    }
    let last = Bounds {
        duplicates: Duplicates::Last,
        ..WIDE
    };
    assert_eq!(
        read(br#"{"a":1,"\u0061":2}"#, last),
        Ok(serde_json::json!({"a": 2}))
    );
    assert_eq!(
        read(br#"{"a":1,"\u0061":2}"#, WIDE).unwrap_err().0,
        Unread::Duplicate
    );
}
