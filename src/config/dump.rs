//! The configuration as it is in force, for people: united, references as written, secrets hidden.

use farmgate_plugin_api::decode::{Node, Table, Value};
use serde_json::{Map, Value as Json, json};

use super::load::Loaded;

/// What is shown instead of a secret.
const MASK: &str = "***";

/// Parts of keys whose values are secrets, whatever stands below them.
const SECRET_WORDS: &[&str] = &["passw", "secret", "token", "credential", "private"];
/// Whole keys whose values are secrets: headers that carry credentials.
const SECRET_KEYS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "api_key",
    "apikey",
];
/// What a `key` may say openly: sources of a value, which are no secrets.
const SOURCES: &[&str] = &[
    "client_ip",
    "host",
    "path",
    "method",
    "global",
    "consumer",
    "client_san",
];
const SOURCE_PREFIXES: &[&str] = &["header:", "query:", "cookie:"];

/// The united configuration. Texts stand as they were written, so a `${NAME}` is never followed.
pub fn dump(loaded: &Loaded) -> Json {
    dump_tables(&loaded.tables)
}

/// The same from the parsed files.
pub fn dump_tables(tables: &[Table]) -> Json {
    let mut all = Map::new();
    for entry in tables.iter().flat_map(Table::entries) {
        let value = node(&entry.node, Hide::Open);
        match (all.get_mut(entry.key.as_ref()), value) {
            (Some(Json::Array(list)), Json::Array(more)) => list.extend(more),
            (_, value) => {
                all.insert(entry.key.to_string(), value);
            }
        }
    }
    Json::Object(all)
}

/// How much of a value is hidden.
#[derive(Clone, Copy, PartialEq)]
enum Hide {
    /// Nothing.
    Open,
    /// Texts, unless they name a source or a file: the value of a `key`.
    Key,
    /// Everything below.
    All,
}

fn hide(key: &str, above: Hide, is_pair: bool) -> Hide {
    let key = key.to_ascii_lowercase();
    let secret = SECRET_WORDS.iter().any(|word| key.contains(word));
    if above == Hide::All || secret || SECRET_KEYS.contains(&key.as_str()) {
        Hide::All
    } else if !is_pair && (key == "key" || key.ends_with("_key") || key.ends_with("-key")) {
        Hide::Key
    } else {
        Hide::Open
    }
}

fn node(node: &Node, level: Hide) -> Json {
    match &node.value {
        Value::Text { written, .. } => json!(text(written, level)),
        Value::Integer(_) | Value::Huge(_) | Value::Float(_) if level == Hide::All => json!(MASK),
        Value::Integer(number) => json!(number),
        Value::Huge(digits) => json!(digits.as_ref()),
        Value::Float(number) => json!(number),
        Value::Boolean(flag) => json!(flag),
        Value::Datetime(date) => json!(date.to_string()),
        Value::Array(items) => items.iter().map(|item| self::node(item, level)).collect(),
        Value::Table(entries) => {
            // { cert = PATH, key = PATH } names files.
            let is_pair = entries.iter().any(|entry| entry.key.as_ref() == "cert");
            let shown = entries.iter().map(|entry| {
                let level = hide(&entry.key, level, is_pair);
                (entry.key.to_string(), self::node(&entry.node, level))
            });
            Json::Object(shown.collect())
        }
    }
}

fn text(written: &str, level: Hide) -> String {
    let source = SOURCES.contains(&written)
        || SOURCE_PREFIXES
            .iter()
            .any(|prefix| written.starts_with(prefix));
    match level {
        Hide::Open => without_userinfo(written),
        Hide::Key if source || is_reference(written) => written.to_owned(),
        Hide::All if is_reference(written) => written.to_owned(),
        Hide::Key | Hide::All => MASK.to_owned(),
    }
}

/// Whether a text is nothing but a reference: `file:PATH` or one `${NAME}`.
fn is_reference(written: &str) -> bool {
    let name = written
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    written.starts_with("file:")
        || name.is_some_and(|n| n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

/// Hides `user:password@` in URLs.
fn without_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after
            .find(|c: char| "/?#\"' ".contains(c))
            .unwrap_or(after.len());
        let (authority, next) = after.split_at_checked(end).unwrap_or((after, ""));
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str(MASK);
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = next;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::super::load::load_str;
    use super::dump;

    /// A policy has words that look like those of secrets.
    #[test]
    fn a_cache_policy_is_shown_as_it_is() {
        let text = r#"
[cache]
memory = "1GiB"
disk = [{ path = "a", size = "1GiB" }]
[[cache_policy]]
name = "p"
key = { query = { ignore = ["utm_*"], sort = true }, headers = ["x-a"], cookies = ["c"], consumer = false }
tags = ["cache-tag"]
set_cookie = "strip"
"#;
        let shown = dump(&load_str("a.toml", text).expect("loads"));
        let all = shown.to_string();
        assert!(!all.contains(super::MASK), "{all}");
        assert_eq!(
            shown["cache_policy"][0]["key"]["query"]["ignore"][0],
            "utm_*"
        );
        assert_eq!(shown["cache"]["disk"][0]["size"], "1GiB");
    }

    #[test]
    fn secrets_are_hidden_and_references_shown() {
        let text = r#"
[[plugin]]
name = "p"
kind = "k"
password = "hunter2"
client_secret = "file:oidc.secret"
tokens = ["hunter2", "file:x"]
pin = { secret = 1234, inner = { secret_list = [1, "hunter2"] } }
api_key = "hunter2"
key = "header:x-user"
url = "https://bob:hunter2@example.test/a?b=https://eve:hunter2@x"
request = { set = { authorization = "Bearer hunter2", "x-a" = "b" } }
certificate = { cert = "a.pem", key = "a.key" }
signing_key = "hunter2"
literal = "$${NAME}"
"#;
        let loaded = load_str("a.toml", text).expect("loads");
        let shown = dump(&loaded);
        let all = shown.to_string();
        assert!(!all.contains("hunter2") && !all.contains("1234"), "{all}");
        let plugin = &shown["plugin"][0];
        assert_eq!(plugin["client_secret"], "file:oidc.secret");
        assert_eq!(plugin["key"], "header:x-user");
        assert_eq!(plugin["certificate"]["key"], "a.key");
        assert_eq!(plugin["request"]["set"]["x-a"], "b");
        assert_eq!(plugin["url"], "https://***@example.test/a?b=https://***@x");
        assert_eq!(plugin["literal"], "$${NAME}");
    }
}
