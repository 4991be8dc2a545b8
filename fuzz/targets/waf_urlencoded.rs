//! Any bytes as a form: nothing grows, and every separator makes at most one argument more.
#![no_main]

use farmgate_waf::body::{File, Sink, cookies, urlencoded};
use libfuzzer_sys::fuzz_target;

struct Count(usize);

impl Sink for Count {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.0 += name.len() + value.len();
        true
    }

    fn part_header(&mut self, _: &[u8], _: &[u8]) -> bool {
        panic!("forms have no parts");
    }

    fn file(&mut self, _: &File<'_>) -> bool {
        panic!("forms have no files");
    }
}

fuzz_target!(|data: &[u8]| {
    let mut seen = Count(0);
    let form = urlencoded(data, b'&', &mut seen);
    assert!(seen.0 <= data.len());
    let separators = data.iter().filter(|byte| **byte == b'&').count();
    assert!(form.arguments as usize <= separators + 1);
    let mut bytes = 0;
    cookies(data, &mut |name, value| bytes += name.len() + value.len());
    assert!(bytes <= data.len());
});
