//! Any bytes as a multipart body: pieces of any size give what the whole gives.
#![no_main]

use farmgate_waf::body::{File, Multipart, MultipartFlags, MultipartLimits, Sink};
use libfuzzer_sys::fuzz_target;

#[derive(Default, PartialEq, Debug)]
struct Seen(Vec<(u8, Vec<u8>, Vec<u8>, u64)>);

impl Sink for Seen {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
        self.0.push((b'a', name.to_vec(), value.to_vec(), 0));
        true
    }

    fn part_header(&mut self, part_name: &[u8], line: &[u8]) -> bool {
        self.0.push((b'h', part_name.to_vec(), line.to_vec(), 0));
        true
    }

    fn file(&mut self, file: &File<'_>) -> bool {
        self.0
            .push((b'f', file.name.to_vec(), file.filename.to_vec(), file.size));
        true
    }
}

fn read(pieces: &mut dyn Iterator<Item = &[u8]>) -> (Seen, MultipartFlags) {
    let mut seen = Seen::default();
    let limits = MultipartLimits::default();
    let mut parser =
        Multipart::new(b"multipart/form-data; boundary=ab", limits).expect("a boundary");
    for piece in pieces {
        parser.push(piece, &mut seen);
    }
    let flags = parser.finish(&mut seen);
    (seen, flags)
}

fuzz_target!(|data: &[u8]| {
    let _ = Multipart::new(data, MultipartLimits::default());
    let whole = read(&mut std::iter::once(data));
    let size = data.first().map_or(1, |byte| usize::from(*byte).max(1));
    assert_eq!(whole, read(&mut data.chunks(size)));
});
