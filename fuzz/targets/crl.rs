//! Any bytes as a revocation list and as a file of them: bounded, and no list without what it must say.
#![no_main]

use farmgate::tls::crl::{blocks, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(read) = parse(data, 1) {
        // A number, a time and what they stand in take 19 bytes.
        assert!(read.crl.len() * 19 <= data.len());
        // One byte less, or more, is another thing.
        assert!(parse(&data[..data.len() - 1], 1).is_err());
        assert!(parse(&[data, b"\0"].concat(), 1).is_err());
    }
    if let Ok(all) = blocks(data) {
        assert!(!all.is_empty() && all.iter().map(Vec::len).sum::<usize>() < data.len());
    }
});
