//! Any bytes as an XML body: text and attributes never outgrow the document by more than its encoding does.
#![no_main]

use farmgate_waf::body::{XmlLimits, XmlSink, xml};
use libfuzzer_sys::fuzz_target;

struct Count(usize);

impl XmlSink for Count {
    fn text(&mut self, text: &[u8]) -> bool {
        self.0 += text.len();
        true
    }

    fn attribute(&mut self, value: &[u8]) -> bool {
        self.0 += value.len();
        true
    }
}

fuzz_target!(|data: &[u8]| {
    let mut seen = Count(0);
    let _ = xml(data, XmlLimits::default(), &mut seen);
    assert!(seen.0 <= data.len() * 2);
});
