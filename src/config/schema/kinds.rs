//! Puts the options of the plugin kinds into the schema of the configuration.

use serde_json::{Map, Value, json};

use super::forms;

/// Replaces the two placeholders, a named plugin and an inline one, by a choice of all kinds.
pub(super) fn plug_in(root: &mut Value, kinds: &[(&str, &str)]) -> Result<(), String> {
    let mut defs = Map::new();
    let (mut named, mut inline) = (Vec::new(), Vec::new());
    for (kind, text) in kinds {
        let wrong = |why: &str| format!("the schema of plugin kind {kind} {why}");
        let own = serde_json::from_str(text).map_err(|e| wrong(&format!("is not JSON: {e}")))?;
        let Value::Object(mut own) = own else {
            return Err(wrong("is no object"));
        };
        for nested in ["$defs", "definitions"] {
            if let Some(Value::Object(inner)) = own.remove(nested) {
                for (name, mut schema) in inner {
                    rename(&mut schema, kind);
                    defs.insert(format!("{kind}.{name}"), schema);
                }
            }
        }
        let mut own = Value::Object(own);
        rename(&mut own, kind);
        let name = |form: &str| format!("plugin.{kind}.{form}");
        defs.insert(name("named"), with_words(own.clone(), kind, true));
        defs.insert(name("inline"), with_words(own, kind, false));
        named.push(json!({ "$ref": format!("#/$defs/{}", name("named")) }));
        inline.push(json!({ "$ref": format!("#/$defs/{}", name("inline")) }));
    }
    let root_defs = root
        .as_object_mut()
        .map(|root| root.entry("$defs").or_insert_with(|| json!({})));
    let Some(Value::Object(all)) = root_defs else {
        return Err("the schema of the configuration is no object".to_owned());
    };
    all.append(&mut defs);
    if !kinds.is_empty() {
        all.insert(forms::NAMED_PLUGIN.to_owned(), json!({ "oneOf": named }));
        all.insert(forms::INLINE_PLUGIN.to_owned(), json!({ "oneOf": inline }));
    }
    Ok(())
}

/// Adds the words every plugin has.
fn with_words(mut schema: Value, kind: &str, is_named: bool) -> Value {
    let Some(object) = schema.as_object_mut() else {
        return schema;
    };
    object.remove("$schema");
    object.entry("type").or_insert_with(|| json!("object"));
    let mut required = vec![json!("kind")];
    let mut words = vec![("kind", json!({ "const": kind })), ("fail", forms::fail())];
    if is_named {
        required.push(json!("name"));
        words.push(("name", forms::name()));
    }
    let properties = object.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        for (word, schema) in words {
            properties.insert(word.to_owned(), schema);
        }
    }
    let all = object.entry("required").or_insert_with(|| json!([]));
    if let Some(all) = all.as_array_mut() {
        all.append(&mut required);
    }
    object.insert("additionalProperties".to_owned(), json!(false));
    schema
}

/// Points references to a kind's own definitions at their new place.
fn rename(schema: &mut Value, kind: &str) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                let own = value.as_str().and_then(|text| {
                    let text = text.strip_prefix("#/")?;
                    text.strip_prefix("$defs/")
                        .or(text.strip_prefix("definitions/"))
                });
                match own {
                    Some(name) if key == "$ref" => {
                        *value = json!(format!("#/$defs/{kind}.{name}"));
                    }
                    _ => rename(value, kind),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, kind)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
