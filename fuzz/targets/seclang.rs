//! Any bytes as rules: they are read without a panic, every problem has a message, and what loads
//! has ids that differ, links in every rule and a marker behind every `skipAfter`.
#![no_main]

use std::collections::{BTreeMap, HashSet};

use farmgate_waf::seclang::{Item, MapFiles, Source, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The second half is a file that the first may include.
    let (rules, other) = data.split_at(data.len() / 2);
    let files = MapFiles(BTreeMap::from([
        ("rules.conf".into(), rules.to_vec()),
        ("other.conf".into(), other.to_vec()),
    ]));
    let loaded = match load(&[Source::Pattern("rules.conf".into())], &files) {
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| !problem.message.is_empty()));
            return;
        }
        Ok(loaded) => loaded,
    };
    let items = &loaded.program.items;
    let mut ids = HashSet::new();
    for (at, item) in items.iter().enumerate() {
        let Item::Rule(rule) = item else { continue };
        assert!(ids.insert(rule.id), "the id {} twice", rule.id);
        assert!(!rule.conditions.is_empty());
        if let Some(to) = &rule.skip_after {
            let behind = items.iter().skip(at).any(|item| match item {
                Item::Marker(name) => name == to,
                Item::Rule(rule) => rule.id.to_string() == **to || to.parse() == Ok(rule.id),
            });
            assert!(behind, "no marker {to}");
        }
    }
});
