use super::encoding::DecodeError;
use super::head::{StoredHead, Variants};
use super::*;
use crate::cache::cases;
use crate::cache::shared::compress::Wanted;
use http::{HeaderMap, HeaderName, StatusCode};
use proptest::prelude::*;

fn minute() -> Meta {
    Meta {
        received_ms: 1_000_000,
        initial_age_ms: 5_000,
        lifetime_s: 60,
        ..Meta::default()
    }
}

#[test]
fn age_and_freshness() {
    let meta = minute();
    let at = Now::at_ms;
    assert_eq!(meta.age(at(1_000_000)), Age::Known(5_000));
    assert_eq!(meta.age_s(at(1_000_999)), 5);
    assert_eq!(meta.age_s(at(1_001_000)), 6);
    assert!(meta.is_fresh(at(1_054_999)));
    // Fresh means a lifetime above the age, not as long as it.
    assert!(!meta.is_fresh(at(1_055_000)));
    assert_eq!(meta.fresh_ms(at(1_056_000)), Some(-1_000));
}

#[test]
fn no_cache_is_never_fresh() {
    let meta = Meta {
        flags: Flags::NO_CACHE,
        ..minute()
    };
    assert!(!meta.is_fresh(Now::at_ms(1_000_000)));
}

#[test]
fn an_object_from_the_future_has_no_known_age() {
    let meta = minute();
    // Threads may read the clock a little apart.
    assert_eq!(meta.age(Now::at_ms(990_000)), Age::Known(5_000));
    assert_eq!(meta.age(Now::at_ms(989_999)), Age::Unknown);
    assert!(!meta.is_fresh(Now::at_ms(989_999)));
    assert_eq!(meta.fresh_ms(Now::at_ms(0)), None);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let meta = Meta {
        received_ms: u64::MAX,
        received_wall_s: u64::MAX,
        initial_age_ms: u64::MAX,
        lifetime_s: u32::MAX,
        stale_while_revalidate_s: u32::MAX,
        stale_if_error_s: u32::MAX,
        ..Meta::default()
    };
    let last = Now::at_ms(u64::MAX);
    assert_eq!(meta.age(last), Age::Known(u64::MAX));
    assert!(!meta.is_fresh(last));
}

fn any_meta() -> impl Strategy<Value = Meta> {
    let numbers = any::<(u64, u64, u64, u32, u32, u32)>();
    let rest = (
        any::<u16>(),
        any::<Option<u32>>(),
        prop::collection::vec(any::<u64>(), 0..4),
        prop::collection::vec("[a-z]{1,8}", 0..4),
    );
    (numbers, rest).prop_map(|(numbers, (bits, date, marks, names))| Meta {
        received_ms: numbers.0,
        received_wall_s: numbers.1,
        initial_age_ms: numbers.2,
        lifetime_s: numbers.3,
        stale_while_revalidate_s: numbers.4,
        stale_if_error_s: numbers.5,
        flags: Flags::from_bits(bits),
        date_s: date.map(u64::from),
        last_modified_s: date.map(|date| u64::from(date) + 1),
        vary: Vary::from_names(
            names
                .iter()
                .map(|name| HeaderName::from_bytes(name.as_bytes()).expect("a name"))
                .collect(),
        ),
        marks: Marks {
            url: 1,
            host: 2,
            tags: marks,
        },
    })
}

fn head(meta: Meta, fields: HeaderMap) -> StoredHead {
    StoredHead {
        meta,
        status: StatusCode::OK,
        fields,
        key: cases::key("/", None, "r"),
        variants: None,
        wanted: Wanted::default(),
    }
}

#[test]
fn a_head_reads_back_and_nothing_else_does() {
    let fields = cases::fields("A: 1\nA: 2\nB: caf\u{e9}\nC:");
    let head = head(minute(), fields);
    let mut bytes = Vec::new();
    head.encode(&mut bytes);
    assert_eq!(StoredHead::decode(&bytes), Ok(head));
    for end in 0..bytes.len() {
        let cut = bytes.get(..end).expect("inside");
        assert_eq!(StoredHead::decode(cut), Err(DecodeError::Broken), "{end}");
    }
    bytes.push(0);
    assert_eq!(StoredHead::decode(&bytes), Err(DecodeError::Broken));
    assert_eq!(StoredHead::decode(&[9]), Err(DecodeError::Version(9)));
}

#[test]
fn a_list_of_variants_reads_back() {
    let mut list = head(minute(), HeaderMap::new());
    list.variants = Some(Box::new(Variants {
        nonce: 7,
        known: vec![[1; 16], [2; 16]],
    }));
    let mut bytes = Vec::new();
    list.encode(&mut bytes);
    assert_eq!(StoredHead::decode(&bytes), Ok(list));
    for end in 0..bytes.len() {
        let cut = bytes.get(..end).expect("inside");
        assert_eq!(StoredHead::decode(cut), Err(DecodeError::Broken), "{end}");
    }
}

#[test]
fn the_layout_stays_as_it_is() {
    // What lies on disk was written so; a change here needs another version byte.
    let mut bytes = Vec::new();
    minute().encode(&mut bytes);
    assert_eq!(bytes.len(), 1 + 7 * 8 + 3 * 4 + 2 + 2);
    assert_eq!(bytes.first(), Some(&2));
    assert_eq!(bytes.get(1..9), Some(&1_000_000_u64.to_le_bytes()[..]));
}

proptest! {
    #[test]
    fn every_meta_reads_back(meta in any_meta()) {
        let mut bytes = Vec::new();
        meta.encode(&mut bytes);
        bytes.push(7);
        prop_assert_eq!(Meta::decode(&bytes), Ok((meta, &[7][..])));
    }

    #[test]
    fn no_bytes_are_too_odd(mut bytes: Vec<u8>) {
        let _ = StoredHead::decode(&bytes);
        bytes.insert(0, 2);
        let _ = StoredHead::decode(&bytes);
    }

    /// A flipped bit is an error or another head, never a panic and never more fields than were there.
    #[test]
    fn a_flipped_bit_is_survived(at: prop::sample::Index, bit in 0_u32..8) {
        let head = head(minute(), cases::fields("A: 1\nB: 2"));
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        if let Ok(read) = StoredHead::decode(&bytes) {
            prop_assert!(read.fields.len() <= 2);
        }
    }

    /// Time only makes older, and what was stale stays stale.
    #[test]
    fn freshness_only_falls(meta in any_meta(), first in 0_u64..1 << 50, later in 0_u64..1 << 50) {
        let before = Now::at_ms(first);
        let after = Now::at_ms(first + later);
        // An object from the future becomes one of known age: that is the machine's clock coming back.
        if let (Some(a), Some(b)) = (meta.fresh_ms(before), meta.fresh_ms(after)) {
            prop_assert!(a >= b);
            prop_assert!(meta.age_s(before) <= meta.age_s(after));
            prop_assert!(meta.is_fresh(before) || !meta.is_fresh(after));
        }
    }
}
