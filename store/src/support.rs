//! What the tests of all parts use: a head, an executor that waits with a deadline, bodies that can be checked.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{Fill, FillOptions, Finished, Head, Key, Limits, ReadError, Reader, Store, hash64};

/// Longest wait of a test for something that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestHead {
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) tags: Vec<u64>,
    /// What makes two heads of one object differ.
    pub(crate) version: u64,
}

impl TestHead {
    pub(crate) fn new(host: &str, path: &str, tags: &[&str]) -> Self {
        Self {
            host: host.into(),
            path: path.into(),
            tags: tags.iter().map(|tag| hash64(tag.as_bytes())).collect(),
            version: 0,
        }
    }
}

impl Head for TestHead {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&(self.host.len() as u32).to_le_bytes());
        out.extend_from_slice(self.host.as_bytes());
        out.extend_from_slice(&(self.path.len() as u32).to_le_bytes());
        out.extend_from_slice(self.path.as_bytes());
        self.tags
            .iter()
            .for_each(|tag| out.extend_from_slice(&tag.to_le_bytes()));
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
            let (len, rest) = bytes.split_first_chunk::<4>()?;
            let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            Some((String::from_utf8(text.into()).ok()?, rest))
        }
        let (version, rest) = bytes.split_first_chunk::<8>()?;
        let (host, rest) = text(rest)?;
        let (path, rest) = text(rest)?;
        let (tags, rest) = rest.as_chunks::<8>();
        rest.is_empty().then(|| Self {
            host,
            path,
            tags: tags.iter().map(|tag| u64::from_le_bytes(*tag)).collect(),
            version: u64::from_le_bytes(*version),
        })
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + self.host.len() + self.path.len() + self.tags.len() * 8
    }

    fn host(&self) -> u64 {
        hash64(self.host.as_bytes())
    }

    fn url(&self) -> u64 {
        hash64(format!("{}{}", self.host, self.path).as_bytes())
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn tags(&self) -> &[u64] {
        &self.tags
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let end = Instant::now() + DEADLINE;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let rest = end.saturating_duration_since(Instant::now());
        assert!(!rest.is_zero(), "a wait did not end within {DEADLINE:?}");
        std::thread::park_timeout(rest);
    }
}

/// Polls a future once.
pub(crate) fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Waits until something holds; threads of the engine make it so.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come to hold");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// A body that differs from all others at every place: a wrong byte anywhere is seen.
pub(crate) fn body(seed: u64, len: usize) -> Bytes {
    let word = |n: u64| {
        (n ^ seed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    let mut out = Vec::with_capacity(len + 8);
    for n in 0..len.div_ceil(8) as u64 {
        out.extend_from_slice(&word(n).to_le_bytes());
    }
    out.truncate(len);
    out.into()
}

pub(crate) fn small_limits(memory_bytes: usize) -> Limits {
    Limits {
        memory_bytes,
        shards: 4,
        ..Limits::default()
    }
}

pub(crate) fn memory_store(memory_bytes: usize) -> Store<TestHead> {
    Store::in_memory(small_limits(memory_bytes), 7)
}

pub(crate) fn options(store: &Store<TestHead>) -> FillOptions {
    FillOptions {
        start: store.start(),
        length: None,
        max_bytes: u64::MAX,
        disk_uses: 1,
    }
}

pub(crate) fn key(store: &Store<TestHead>, name: &str) -> Key {
    store.key(name.as_bytes(), b"")
}

pub(crate) fn head(name: &str) -> TestHead {
    TestHead::new("a.example", name, &[])
}

pub(crate) fn begin(store: &Store<TestHead>, name: &str) -> Fill<TestHead> {
    store.begin(key(store, name), head(name), options(store))
}

/// Stores a whole object.
pub(crate) fn put(store: &Store<TestHead>, name: &str, bytes: Bytes) -> Finished {
    let mut fill = begin(store, name);
    fill.append(bytes);
    fill.finish()
}

pub(crate) fn get(store: &Store<TestHead>, name: &str) -> Option<Result<Bytes, ReadError>> {
    let hit = store.lookup(&key(store, name)).hit()?;
    Some(read(hit.into_reader()))
}

/// Reads to the end.
pub(crate) fn read(mut reader: Reader<TestHead>) -> Result<Bytes, ReadError> {
    block_on(async {
        let mut out = Vec::new();
        while let Some(slice) = reader.next().await? {
            out.extend_from_slice(&slice);
        }
        Ok(out.into())
    })
}
