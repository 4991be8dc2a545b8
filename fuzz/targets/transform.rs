//! Any bytes through any chain of transformations: what `apply` reports is true, what `may_change`
//! rules out does not happen, and no result is longer than promised.
//!
//! Input: the first byte is the length of the chain, then a byte for each of its transformations,
//! then the value.
#![no_main]

use farmgate_waf::transform::{ByteSet, Transformation};
use libfuzzer_sys::fuzz_target;

/// Longest chain: no rule of the Core Rule Set has more than seven.
const LONGEST: usize = 8;

fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first() else {
        return;
    };
    let length = usize::from(*length) % (LONGEST + 1);
    let Some((chain, value)) = rest.split_at_checked(length) else {
        return;
    };
    let mut value = value.to_vec();
    let mut out = Vec::new();
    for choice in chain {
        let place = usize::from(*choice) % Transformation::ALL.len();
        let (transformation, word) = Transformation::ALL[place];
        assert_eq!(Transformation::from_word(word), Some(transformation));
        let changed = transformation.apply(&value, &mut out);
        if !changed {
            continue;
        }
        assert_ne!(value, out, "{word} reports a change");
        assert!(
            transformation.may_change(&ByteSet::of(&value)),
            "{word} was ruled out"
        );
        assert!(
            out.len() <= value.len() * transformation.growth() + Transformation::SPARE,
            "{word} grew {} bytes to {}",
            value.len(),
            out.len()
        );
        assert!(!transformation.only_changes_case() || out.eq_ignore_ascii_case(&value));
        std::mem::swap(&mut value, &mut out);
    }
});
