//! Any bytes as a head from disk: it never panics, what it reads it writes again, and what it says of itself is bounded.
#![no_main]

use farmgate::cache::meta::head::{MOST_FIELDS, MOST_VARIANTS, StoredHead, Variants};
use farmgate_store::Head;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(head) = StoredHead::decode(data) else {
        return;
    };
    assert!(head.fields.len() <= MOST_FIELDS);
    let bytes = written(&head);
    assert_eq!(StoredHead::decode(&bytes).as_ref(), Ok(&head));
    // What the store asks of every head that it takes from a disk.
    assert!(head.weight() >= size_of::<StoredHead>());
    let _ = (head.host(), head.url(), head.path(), head.tags());
    // The same head as a list of variants, which the rest of the bytes are.
    let (known, _) = data.as_chunks::<16>();
    let listed = StoredHead {
        variants: Some(Box::new(Variants {
            nonce: u64::from(data.first().copied().unwrap_or_default()),
            known: known.iter().copied().take(MOST_VARIANTS).collect(),
        })),
        ..head
    };
    let bytes = written(&listed);
    assert_eq!(StoredHead::decode(&bytes).as_ref(), Ok(&listed));
    if let Some(variants) = &listed.variants {
        for one in &variants.known {
            assert!(variants.place(one).ends_with(one));
        }
    }
    // No beginning of it is a head.
    for end in 0..bytes.len().min(512) {
        assert!(
            bytes
                .get(..end)
                .is_none_or(|cut| StoredHead::decode(cut).is_err())
        );
    }
});

fn written(head: &StoredHead) -> Vec<u8> {
    let mut bytes = Vec::new();
    head.encode(&mut bytes);
    bytes
}
