//! Any pattern and any value: every operator compiles or says why not, asks the same whether groups
//! are kept or not, and finds groups that are parts of the value.
#![no_main]

use std::path::Path;

use farmgate_waf::operators::{CAPTURES, Captures, Op, regex};
use farmgate_waf::seclang::{MapFiles, OperatorName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [which, cut, rest @ ..] = data else {
        return;
    };
    // Half of the inputs are regexes: they have the most to go wrong.
    let (name, _) = match OperatorName::ALL.get(usize::from(*which)) {
        Some(known) => *known,
        None => (OperatorName::Rx, "rx"),
    };
    let (argument, value) = rest.split_at(usize::from(*cut).min(rest.len()));
    let Ok(op) = Op::compile(name, argument, Path::new(""), &MapFiles::default()) else {
        return;
    };
    assert!(op.cost() > 0);
    let matched = op.matches(value, None);
    let mut captures = Captures::default();
    assert_eq!(matched, op.matches(value, Some(&mut captures)));
    assert!(matched || captures.is_empty());
    if Op::takes_macros(name) {
        assert_eq!(matched, Op::matches_argument(name, argument, value));
    }
    if matches!(name, OperatorName::Rx | OperatorName::RxGlobal) && !argument.is_empty() {
        assert!(regex::hir(argument).is_ok());
        assert_eq!(matched, captures.get(0).is_some());
        for index in 0..CAPTURES {
            let group = captures.get(index).unwrap_or_default();
            assert!(group.is_empty() || value.windows(group.len()).any(|part| part == group));
        }
    }
});
