//! Any bytes as an OCSP response: read whole or not at all.
#![no_main]

use farmgate::tls::ocsp::well_formed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if well_formed(data) {
        assert!(!well_formed(&data[..data.len() - 1]));
        assert!(!well_formed(&[data, b"\0"].concat()));
    }
});
