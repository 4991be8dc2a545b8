//! Measures the engine alone: nanoseconds a hit, bytes of the index, recovery, bytes on disk.
//!
//! `cargo run --profile ci -p farmgate-store --example measure [OBJECTS]`

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use farmgate_store::disk::{Durability, FileDisk};
use farmgate_store::{DiskOptions, FillOptions, Head, Limits, OpenOptions, Store, hash64};

/// As large as a small response's fields.
#[derive(Debug)]
struct Fields {
    path: Vec<u8>,
}

impl Head for Fields {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.path);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            path: bytes.to_vec(),
        })
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + self.path.len()
    }

    fn host(&self) -> u64 {
        1
    }

    fn url(&self) -> u64 {
        hash64(&self.path)
    }

    fn path(&self) -> &[u8] {
        &self.path
    }

    fn tags(&self) -> &[u64] {
        &[]
    }
}

fn name(n: u64) -> Vec<u8> {
    format!("https example.org /static/images/{n:08}.jpg").into_bytes()
}

fn put(store: &Store<Fields>, n: u64, body: &Bytes) {
    let path = name(n);
    // As many bytes on disk as the fields of a small answer.
    let head = Fields {
        path: [path.as_slice(), &[b'.'; 60]].concat(),
    };
    let options = FillOptions {
        start: store.start(),
        length: None,
        max_bytes: u64::MAX,
        disk_uses: 1,
    };
    let mut fill = store.begin(store.key(&path, b""), head, options);
    fill.append(body.clone());
    fill.finish();
}

fn hits(store: &Store<Fields>, objects: u64) {
    let keys: Vec<_> = (0..objects)
        .map(|n| store.key(&name(n.wrapping_mul(7919) % objects), b""))
        .collect();
    for round in 0..3 {
        let begun = Instant::now();
        let found = keys
            .iter()
            .filter(|key| store.lookup(key).hit().is_some())
            .count();
        let nanoseconds = begun.elapsed().as_nanos() as f64 / keys.len() as f64;
        println!("hit {round}: {nanoseconds:.0} ns over {objects} objects ({found} found)");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let objects: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(200_000), |text| text.parse())?;
    let folder = std::env::temp_dir().join(format!("farmgate-measure-{}", std::process::id()));
    let body = Bytes::from(vec![7_u8; 2048]);
    let bytes = objects * 4096;
    let memory = usize::try_from(bytes)?.max(64 << 20);
    let open = || -> Result<Store<Fields>, Box<dyn std::error::Error>> {
        let disk = Arc::new(FileDisk::open(&folder)?);
        let options = OpenOptions {
            limits: Limits {
                memory_bytes: memory,
                ..Limits::default()
            },
            disks: vec![DiskOptions {
                disk,
                size_bytes: bytes.max(64 << 20),
            }],
            durability: Durability::Interval,
            segment_bytes: 64 << 20,
            random: 0x6a09_e667_f3bc_c908,
            elder: false,
        };
        Ok(Store::open(&options)?.0)
    };

    hits(
        &{
            let store = Store::in_memory(
                Limits {
                    memory_bytes: memory,
                    ..Limits::default()
                },
                1,
            );
            (0..1_000).for_each(|n| put(&store, n, &body));
            store
        },
        1_000,
    );

    let store = open()?;
    let begun = Instant::now();
    for n in 0..objects {
        put(&store, n, &body);
        if n % 4_096 == 0 {
            while !store.is_written() {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }
    let written = begun.elapsed();
    println!(
        "fill: {:.1} us an object of 2 KiB",
        written.as_micros() as f64 / objects as f64
    );
    println!(
        "index: {:.1} bytes an object",
        store.index_bytes() as f64 / store.objects() as f64
    );
    hits(&store, objects);
    while !store.is_written() {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    println!(
        "not on disk for want of queue: {}",
        store.counters().disk_queue_full.load(Ordering::Relaxed)
    );
    drop(store);

    for how in ["after a kill", "after a clean stop"] {
        let begun = Instant::now();
        let store = open()?;
        let opened = begun.elapsed();
        while !store.is_recovered() {
            std::thread::park_timeout(Duration::from_micros(100));
        }
        let recovered = store.counters().recovered.load(Ordering::Relaxed);
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "recovery {how}: open {opened:?}, {recovered} objects in {seconds:.2} s, {:.2} s a million",
            seconds * 1e6 / recovered.max(1) as f64
        );
        store.release(Duration::from_secs(60));
        if how == "after a kill" {
            let on_disk = store.counters().disk_bytes_now.load(Ordering::Relaxed);
            println!(
                "disk: {:.3} bytes a byte of body",
                on_disk as f64 / (recovered.max(1) * 2048) as f64
            );
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
