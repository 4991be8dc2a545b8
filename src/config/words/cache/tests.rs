use farmgate_plugin_api::decode::{Diagnostics, Node, Table, Value, decode};
use serde::de::DeserializeOwned;

use super::*;

const CONTRACT: &str = include_str!("../../../../tests/contract/cache.toml");

/// The table that stands under a key of `text`, alone or as the only one of a list.
fn table(text: &str, key: &str) -> Table {
    let whole = Table::from_text(text).expect("TOML");
    let node = whole.get(key).expect("the table");
    let node: &Node = match &node.value {
        Value::Array(list) => list.first().expect("one"),
        _ => node,
    };
    Table::of(whole.source().clone(), node).expect("a table")
}

fn read<T: DeserializeOwned>(table: &Table) -> Result<T, String> {
    let mut found = Diagnostics::new();
    let value = decode(table, &mut found);
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    value.ok_or_else(|| told.join("\n"))
}

#[test]
fn the_contract_decodes() {
    let cache: CacheConfig = read(&table(CONTRACT, "cache")).expect("[cache]");
    assert_eq!(cache.memory.value, Size::mib(512));
    assert_eq!(cache.durability, Durability::Interval);
    let disk = cache.disk.first().expect("one folder");
    assert_eq!(disk.value.path.value.written(), "run/cache");
    assert_eq!(disk.value.size.value, Size::mib(4096));

    let policy: CachePolicyConfig = read(&table(CONTRACT, "cache_policy")).expect("a policy");
    assert_eq!(policy.name.value, "static");
    assert_eq!(policy.heuristic.value, Heuristic::Off);
    assert_eq!(policy.ttl.status.len(), 1);
    assert_eq!(policy.tags.len(), 2);
    assert_eq!(policy.key.query.ignore.len(), 2);
    assert!(policy.key.query.sort && !policy.key.consumer && policy.status_header);

    let route = table(CONTRACT, "route");
    let purge = route.get("purge").expect("purge");
    let purge = Table::of(route.source().clone(), purge).expect("a table");
    let purge: PurgeConfig = read(&purge).expect("purge");
    assert_eq!(purge.from.len(), 1);
}

#[test]
fn a_policy_is_its_name_at_least() {
    let policy: CachePolicyConfig = read(&table("[[p]]\nname = \"a\"\n", "p")).expect("a policy");
    assert_eq!(policy.vary, VaryConfig::default());
    assert_eq!(policy.lock.wait.value, Duration::from_secs(5));
    assert_eq!(policy.min_uses.disk.value, 2);
    assert_eq!(policy.set_cookie, SetCookieWord::Bypass);
    assert!(policy.match_content_type);
}

#[test]
fn mistakes_name_their_place_and_what_to_write() {
    let text = "[[p]]\nname = \"a\"\nttl = { status = { \"206\" = \"1s\" }, maximum = \"1d\" }\nheuristic = \"10\"\n\
                tags = [\"cache tag\"]\nset_cookie = \"drop\"\nkey = { query = { sorted = true } }\n";
    let found = read::<CachePolicyConfig>(&table(text, "p")).expect_err("mistakes");
    for part in [
        "text.toml:3:",
        "206",
        "maximum",
        "text.toml:4:13:",
        "neither \"off\" nor a share",
        "text.toml:5:9:",
        "is no name of a header",
        "text.toml:6:14:",
        "bypass",
        "sorted",
        "did you mean \"sort\"",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
}
