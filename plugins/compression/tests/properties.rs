//! Whatever the pieces, what a client reads is what the origin sent.

use proptest::prelude::*;

use super::{body, build, coding, decoded, head, page, taking};

/// Bytes that repeat here and there, cut anywhere.
fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let noise = prop::collection::vec(any::<u8>(), 0..600);
    let runs = (any::<u8>(), 0..40_000_usize).prop_map(|(byte, count)| vec![byte; count]);
    let words = prop::collection::vec(prop::sample::select(vec!["farm ", "gate ", "\n"]), 0..900)
        .prop_map(|words| words.concat().into_bytes());
    prop::collection::vec(prop_oneof![noise, runs, words], 0..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_chunking_is_read_the_same(
        pieces in pieces(),
        name in prop::sample::select(vec!["zstd", "br", "gzip"]),
        known in any::<bool>(),
        level in 1..=6_u8,
    ) {
        let table = format!("min_size = '0B'\nlevel = {{ zstd = {level}, br = {level}, gzip = {level} }}");
        let built = build(&table).unwrap();
        let whole = pieces.concat();
        let mut response = page(taking(name));
        // An empty body of known length is never compressed.
        if known && !whole.is_empty() {
            response = response.header("content-length", whole.len().to_string());
        }
        let mut response = head(&built, response);
        prop_assert_eq!(coding(&response), name);
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let out = body(&built, &mut response, &pieces);
        prop_assert!(decoded(name, &out.concat()) == whole);
    }
}
