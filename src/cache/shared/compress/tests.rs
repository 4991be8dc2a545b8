use std::io::Read;
use std::time::{Duration, Instant};

use farmgate_store::Stamp;

use super::*;
use crate::cache::cases;
use crate::cache::shared::keep::Keep;
use crate::cache::shared::{CacheSettings, Durability, Lookup};
use crate::cache::vary::VaryRules;

const ALL: Encodings = Encodings {
    zstd: true,
    br: true,
    gzip: true,
};

fn cache() -> std::sync::Arc<SharedCache> {
    let settings = CacheSettings {
        memory_bytes: 64 << 20,
        disks: Vec::new(),
        durability: Durability::None,
    };
    SharedCache::open(&settings, 1, false).expect("memory").0
}

async fn put(cache: &SharedCache, path: &str, body: &[u8], start: Stamp) {
    let head = StoredHead {
        meta: Meta {
            flags: Flags::default().with_if(Flags::COMPRESSIBLE, true),
            ..Meta::default()
        },
        status: http::StatusCode::OK,
        fields: HeaderMap::new(),
        key: cases::key(path, None, "r"),
        variants: None,
        wanted: Wanted::default(),
    };
    let keep = Keep {
        fields: &HeaderMap::new(),
        rules: &VaryRules::default(),
        start,
        length: None,
        most_bytes: 1 << 30,
        disk_uses: 0,
    };
    let (mut fill, _) = cache.keep(head, &keep).await.expect("room");
    fill.append(Bytes::copy_from_slice(body));
    fill.finish();
}

async fn find(cache: &SharedCache, path: &str) -> Found {
    let (fields, rules) = (HeaderMap::new(), VaryRules::default());
    let Lookup { found, .. } = cache
        .lookup(&cases::key(path, None, "r"), &fields, &rules)
        .await;
    found.expect("stored")
}

/// Asks until the variant is there; it is made by another thread.
async fn wait(cache: &SharedCache, path: &str, takes: Encodings) -> (Coding, Vec<u8>) {
    let rules = CompressRules::default();
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        let found = find(cache, path).await;
        if let Some((coding, hit)) = cache.coded(&found, takes, &rules) {
            let mut reader = hit.into_reader();
            let mut body = Vec::new();
            while let Some(piece) = reader.next().await.expect("in memory") {
                body.extend_from_slice(&piece);
            }
            return (coding, body);
        }
        tokio::task::yield_now().await;
    }
    panic!("no variant of {path}");
}

#[tokio::test]
async fn each_coding_gives_the_same_bytes_back() {
    let cache = cache();
    let body = b"all work and no play makes a dull page. ".repeat(10_000);
    put(&cache, "/a", &body, cache.store().start()).await;
    let only = |zstd, br, gzip| Encodings { zstd, br, gzip };
    let (coding, coded) = wait(&cache, "/a", only(false, true, false)).await;
    assert_eq!(coding, Coding::Br);
    let mut plain = Vec::new();
    let read = brotli::Decompressor::new(&coded[..], 4096).read_to_end(&mut plain);
    assert!(read.is_ok() && plain == body && coded.len() < body.len() / 10);
    let (coding, coded) = wait(&cache, "/a", only(true, false, false)).await;
    assert_eq!(coding, Coding::Zstd);
    assert_eq!(zstd::decode_all(&coded[..]).expect("zstd"), body);
    let (coding, coded) = wait(&cache, "/a", only(false, false, true)).await;
    assert_eq!(coding, Coding::Gzip);
    let mut plain = Vec::new();
    let read = flate2::read::GzDecoder::new(&coded[..]).read_to_end(&mut plain);
    assert!(read.is_ok() && plain == body);
    // Who takes all gets the smallest.
    assert_eq!(wait(&cache, "/a", ALL).await.0, Coding::Br);
}

#[tokio::test]
async fn it_takes_a_few_wishes_and_a_body_of_the_right_size() {
    let cache = cache();
    let rules = CompressRules::default();
    put(&cache, "/small", &[b'a'; 1023], cache.store().start()).await;
    put(&cache, "/right", &[b'a'; 1024], cache.store().start()).await;
    let right = find(&cache, "/right").await;
    assert!(cache.coded(&right, ALL, &rules).is_none());
    assert!(cache.coded(&right, ALL, &rules).is_none());
    assert!(cache.worker.is_idle());
    for _ in 0..10 {
        let small = find(&cache, "/small").await;
        assert!(cache.coded(&small, ALL, &rules).is_none());
    }
    assert!(cache.worker.is_idle());
    assert_eq!(wait(&cache, "/right", ALL).await.0, Coding::Br);
}

#[tokio::test]
async fn a_variant_is_never_found_for_a_later_body_and_dies_with_a_purge() {
    let cache = cache();
    put(&cache, "/a", &[b'a'; 4096], cache.store().start()).await;
    wait(&cache, "/a", ALL).await;
    put(&cache, "/a", &[b'b'; 4096], cache.store().start()).await;
    let found = find(&cache, "/a").await;
    assert!(
        cache
            .coded(&found, ALL, &CompressRules::default())
            .is_none()
    );
    let (coding, body) = wait(&cache, "/a", ALL).await;
    let mut plain = Vec::new();
    let read = brotli::Decompressor::new(&body[..], 4096).read_to_end(&mut plain);
    assert!(coding == Coding::Br && read.is_ok() && plain == [b'b'; 4096]);
    let purged = find(&cache, "/a").await;
    cache.invalidate_scope(farmgate_store::purge::Scope::All);
    assert!(
        cache
            .coded(&purged, ALL, &CompressRules::default())
            .is_none()
    );
}

#[tokio::test]
async fn what_does_not_become_smaller_is_left_alone() {
    let cache = cache();
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    })
    .take(8192)
    .collect();
    put(&cache, "/noise", &noise, cache.store().start()).await;
    let until = Instant::now() + Duration::from_secs(20);
    let found = find(&cache, "/noise").await;
    while found.hit.head().wanted.0.load(Ordering::Relaxed) != u16::MAX {
        assert!(Instant::now() < until, "it was not looked at");
        assert!(
            cache
                .coded(&found, ALL, &CompressRules::default())
                .is_none()
        );
        tokio::task::yield_now().await;
    }
}
