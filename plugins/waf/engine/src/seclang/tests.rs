//! The whole Core Rule Set, when its folder is named.

use std::path::PathBuf;

use super::*;

#[test]
fn the_core_rule_set_loads() {
    let Some(root) = std::env::var_os("FARMGATE_CRS_DIR") else {
        return;
    };
    let files = DiskFiles {
        root: PathBuf::from(root),
    };
    let sources = [
        Source::Pattern("crs-setup.conf.example".into()),
        Source::Pattern("rules/*.conf".into()),
    ];
    let loaded = load(&sources, &files).unwrap_or_else(|problems| {
        for problem in &problems {
            eprintln!("{problem}");
        }
        panic!("{} problems", problems.len());
    });
    for warning in &loaded.warnings {
        eprintln!("{warning}");
    }
    let rules: Vec<&Rule> = loaded
        .program
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Rule(rule) => Some(&**rule),
            Item::Marker(_) => None,
        })
        .collect();
    let markers = loaded.program.items.len() - rules.len();
    let links: usize = rules.iter().map(|rule| rule.conditions.len()).sum();
    let phases = Phase::ALL.map(|phase| rules.iter().filter(|rule| rule.phase == phase).count());
    assert_eq!((rules.len(), links, markers), (630, 703, 30));
    assert_eq!(phases, [173, 292, 43, 109, 13]);
}
