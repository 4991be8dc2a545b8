//! The schema holds what the words hold.

use serde_json::{Value, json};

use super::schema;

const HEADERS: &str = r##"{
    "$schema": "x",
    "type": "object",
    "properties": { "request": { "$ref": "#/$defs/edits" } },
    "$defs": { "edits": { "type": "object" } }
}"##;

fn made() -> Value {
    schema(&[
        ("headers", HEADERS),
        ("respond", "{\"required\": [\"status\"]}"),
    ])
    .expect("a schema")
}

/// Every `$ref` leads somewhere.
fn check_references(value: &Value, root: &Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(to)) = object.get("$ref") {
                let pointer = to.strip_prefix('#').expect("a local reference");
                assert!(root.pointer(pointer).is_some(), "{to}");
            }
            object.values().for_each(|v| check_references(v, root));
        }
        Value::Array(items) => items.iter().for_each(|v| check_references(v, root)),
        _ => {}
    }
}

#[test]
fn kinds_are_plugged_in() {
    let root = made();
    check_references(&root, &root);
    let named = &root["$defs"]["plugin.headers.named"];
    assert_eq!(named["properties"]["kind"], json!({ "const": "headers" }));
    assert_eq!(
        named["properties"]["request"]["$ref"],
        "#/$defs/headers.edits"
    );
    assert_eq!(named["required"], json!(["kind", "name"]));
    let inline = &root["$defs"]["plugin.respond.inline"];
    assert_eq!(inline["required"], json!(["status", "kind"]));
    assert_eq!(inline["additionalProperties"], json!(false));
    assert!(inline["properties"].get("name").is_none());
    assert_eq!(
        root["$defs"]["InlinePlugin"]["oneOf"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    assert!(
        schema(&[("x", "[")])
            .expect_err("wrong")
            .contains("plugin kind x")
    );
}

#[test]
fn words_are_closed_and_described() {
    let root = made();
    assert_eq!(root["additionalProperties"], json!(false));
    for table in [
        "ServerConfig",
        "ListenerConfig",
        "UpstreamConfig",
        "RouteConfig",
        "RetryConfig",
    ] {
        let table = &root["$defs"][table];
        assert_eq!(table["additionalProperties"], json!(false));
        let properties = table["properties"].as_object().expect("properties");
        for (key, schema) in properties {
            assert!(schema["description"].is_string(), "{key}");
        }
    }
    assert!(!root.to_string().contains("null"));
    let per_try = &root["$defs"]["RetryConfig"]["properties"]["per_try"];
    assert_eq!(per_try["$ref"], "#/$defs/Duration");
    let route = &root["$defs"]["RouteConfig"];
    assert_eq!(route["required"], json!(["name"]));
    assert_eq!(
        root["$defs"]["ListenerConfig"]["required"],
        json!(["name", "address"])
    );
}
