//! Any bytes as a PROXY header: bounded, and never longer than what was given.
#![no_main]

use farmgate::protocol::proxy_protocol::{Parsed, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Parsed::Complete { len, .. } = parse(data) {
        assert!(len <= data.len());
        // What was complete stays complete when more bytes follow, and nothing shorter is.
        assert!(matches!(parse(&data[..len]), Parsed::Complete { len: same, .. } if same == len));
        assert!(!matches!(parse(&data[..len - 1]), Parsed::Complete { .. }));
    }
});
