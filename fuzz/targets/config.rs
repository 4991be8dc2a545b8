//! Any text as a configuration: it loads or it is refused with diagnostics that can be printed.
#![no_main]

use farmgate::config::load_str;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(diagnostics) = load_str("fuzz.toml", text) {
        let printed = diagnostics.to_string();
        assert!(!printed.is_empty(), "refused without a word");
    }
});
