//! Any bytes as a value: verdicts on SQL and scripts never panic, and a pre-check that rules one out is
//! right. Equality with libinjection is tested by the package itself.
#![no_main]

use farmgate_waf::injection::{cannot_be_sqli, cannot_be_xss, sqli, xss};
use farmgate_waf::transform::ByteSet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let present = ByteSet::of(data);
    let fingerprint = sqli(data);
    if let Some(fingerprint) = fingerprint {
        assert!((1..=5).contains(&fingerprint.as_bytes().len()));
        assert!(fingerprint.as_bytes().is_ascii());
        assert!(!cannot_be_sqli(&present), "{fingerprint}");
    }
    let script = xss(data);
    assert!(!script || !cannot_be_xss(&present));
    // A verdict depends on nothing but the value.
    assert_eq!((fingerprint, script), (sqli(data), xss(data)));
});
