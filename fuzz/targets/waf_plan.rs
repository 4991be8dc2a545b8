//! Any bytes as a request, judged by the project's own rules: the plan with its prefilter sees what the
//! naive evaluation sees, at the lowest paranoia and at the highest.
#![no_main]

use std::sync::LazyLock;

use farmgate_waf::seclang::Source;
use farmgate_waf_suite::differential::Pair;
use farmgate_waf_suite::{engine, places};
use libfuzzer_sys::fuzz_target;

static PAIRS: LazyLock<[Pair; 2]> = LazyLock::new(|| {
    let sources = [Source::Pattern("rules/*.conf".into())];
    let rules = engine::load(&places::ours(), &sources).expect("rules that load");
    [1, 4].map(|level| Pair::new(&rules, &engine::paranoia(level)))
});

fuzz_target!(|data: &[u8]| {
    for pair in &*PAIRS {
        if let Err(difference) = pair.compare(data) {
            panic!("{difference}");
        }
    }
});
