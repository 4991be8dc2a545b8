//! Any bytes in any file of the cache's disk: a start and lookups end without a panic, and what is found is what was
//! put there, never another byte.
#![no_main]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use bytes::Bytes;
use farmgate_store::disk::{Disk, Durability, FaultyDisk, FileName};
use farmgate_store::{DiskOptions, FillOptions, Head, Limits, OpenOptions, Store};
use libfuzzer_sys::fuzz_target;

#[derive(Debug)]
struct Name(Vec<u8>);

impl Head for Name {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.to_vec()))
    }

    fn weight(&self) -> usize {
        self.0.len()
    }

    fn host(&self) -> u64 {
        1
    }

    fn url(&self) -> u64 {
        2
    }

    fn path(&self) -> &[u8] {
        &self.0
    }

    fn tags(&self) -> &[u64] {
        &[]
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park_timeout(Duration::from_secs(1));
    }
}

fn open(disk: &Arc<FaultyDisk>) -> Store<Name> {
    let options = OpenOptions {
        limits: Limits {
            memory_bytes: 8 << 20,
            shards: 1,
            ..Limits::default()
        },
        disks: vec![DiskOptions {
            disk: Arc::clone(disk) as Arc<dyn Disk>,
            size_bytes: 8 << 20,
        }],
        durability: Durability::None,
        segment_bytes: 1 << 20,
        random: 77,
        elder: false,
    };
    let (store, _) = Store::open(&options).expect("a disk in memory opens");
    while !store.is_recovered() {
        std::thread::park_timeout(Duration::from_micros(100));
    }
    store
}

const BODIES: [usize; 3] = [0, 700, 140_000];

fn body(len: usize) -> Bytes {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

fuzz_target!(|data: &[u8]| {
    let [what, high, low, rest @ ..] = data else {
        return;
    };
    let disk = Arc::new(FaultyDisk::new(1, 32 << 20));
    let store = open(&disk);
    for len in BODIES {
        let name = len.to_le_bytes();
        let options = FillOptions {
            start: store.start(),
            length: None,
            max_bytes: u64::MAX,
            disk_uses: 1,
        };
        let mut fill = store.begin(store.key(&name, b""), Name(name.to_vec()), options);
        fill.append(body(len));
        fill.finish();
    }
    while !store.is_written() {
        std::thread::park_timeout(Duration::from_micros(100));
    }
    // With a footer and a snapshot, or as a kill leaves it.
    if what & 1 == 0 {
        store.release(Duration::from_secs(10));
    }
    let disk = Arc::new(disk.after_kill(2));
    let file = [
        FileName::Segment(1),
        FileName::Segment(1),
        FileName::Journal,
        FileName::Snapshot,
        FileName::Superblock,
    ];
    let file = file[usize::from(what >> 1) % file.len()];
    let at = usize::from(u16::from_be_bytes([*high, *low]));
    disk.edit(file, |bytes| {
        if what & 0x80 != 0 {
            *bytes = rest.to_vec();
        } else {
            // From the end as often as from the beginning: there stands the footer.
            let at = if what & 0x40 != 0 {
                bytes.len().saturating_sub(at)
            } else {
                at.min(bytes.len())
            };
            for (byte, change) in bytes[at..].iter_mut().zip(rest) {
                *byte ^= change;
            }
        }
    });
    let store = open(&disk);
    for len in BODIES {
        let key = store.key(&len.to_le_bytes(), b"");
        let Some(hit) = block_on(store.lookup(&key).fetched()) else {
            continue;
        };
        assert_eq!(hit.head().0, len.to_le_bytes());
        let mut reader = hit.into_reader();
        let mut found = Vec::new();
        while let Some(slice) = block_on(reader.next()).expect("it is in memory") {
            found.extend_from_slice(&slice);
        }
        assert_eq!(found, body(len));
    }
});
