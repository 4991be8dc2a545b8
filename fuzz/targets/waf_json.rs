//! Any bytes as a JSON body: what is handed over stays within the bound on names.
#![no_main]

use farmgate_waf::body::{File, Sink, json};
use libfuzzer_sys::fuzz_target;

struct Count(usize);

impl Sink for Count {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.0 += name.len() + value.len();
        true
    }

    fn part_header(&mut self, _: &[u8], _: &[u8]) -> bool {
        panic!("JSON has no parts");
    }

    fn file(&mut self, _: &File<'_>) -> bool {
        panic!("JSON has no files");
    }
}

fuzz_target!(|data: &[u8]| {
    let mut seen = Count(0);
    if let Err(error) = json(data, 64, &mut seen) {
        assert!(error.offset <= data.len());
    }
    // Names may come to eight times the body and 32 KiB; values to the body.
    assert!(seen.0 <= data.len() * 9 + 32 * 1024);
});
