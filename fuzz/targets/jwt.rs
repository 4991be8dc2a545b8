//! Any bytes as a token, wherever it stands, and as a document of keys: only what was signed passes.
//!
//! Input: `k` and a document of keys, or another byte and a token.
#![no_main]

#[path = "../../plugins/jwt/tests/hostile.rs"]
mod hostile;

use farmgate_plugins::jwt::KIND;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| hostile::any(KIND, data));
