//! The thread that compresses: one, with little priority, behind a bounded queue.

use std::collections::HashSet;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;

use bytes::Bytes;
use farmgate_store::ObjectId;
use futures_util::FutureExt;
use parking_lot::Mutex;

use super::{Coding, encode};
use crate::cache::SharedCache;
use crate::cache::key::KeyHash;
use crate::cache::shared::Found;

/// Orders that wait. Further ones are made when the response is asked for again.
const ORDERS: usize = 256;

/// How much less than a serving thread it gets of a busy core: the least there is.
const NICE: i32 = 19;

type Pending = Arc<Mutex<HashSet<(KeyHash, ObjectId, Coding)>>>;

struct Order {
    key: farmgate_store::Key,
    named: (KeyHash, ObjectId, Coding),
}

/// Where variants are ordered.
#[derive(Debug)]
pub(in crate::cache::shared) struct Worker {
    orders: SyncSender<Order>,
    pending: Pending,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Order").field(&self.named).finish()
    }
}

impl Worker {
    /// Starts the thread; it ends with the cache. Without a thread nothing is compressed.
    pub(in crate::cache::shared) fn start(cache: Weak<SharedCache>) -> Self {
        let (orders, queue) = sync_channel(ORDERS);
        let pending = Pending::default();
        let done = Arc::clone(&pending);
        let started = thread::Builder::new()
            .name("compress".to_owned())
            .spawn(move || run(&cache, &queue, &done));
        if let Err(error) = started {
            log::warn!("nothing is compressed in the cache: no thread: {error}");
        }
        Self { orders, pending }
    }

    /// Nothing is ordered or made.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.pending.lock().is_empty()
    }

    /// Orders a variant, unless it is ordered already or too much is.
    pub(super) fn order(&self, of: &Found, coding: Coding) {
        let named = (of.hit.head().key.hash, of.hit.id(), coding);
        if !self.pending.lock().insert(named) {
            return;
        }
        let key = of.key.clone();
        if self.orders.try_send(Order { key, named }).is_err() {
            self.pending.lock().remove(&named);
        }
    }
}

fn run(cache: &Weak<SharedCache>, queue: &Receiver<Order>, pending: &Pending) {
    // For this thread alone: on Linux a priority belongs to a thread.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        log::debug!("the compressing thread keeps its priority: {error}");
    }
    while let Ok(order) = queue.recv() {
        let Some(cache) = cache.upgrade() else { return };
        if let Err(error) = make(&cache, &order) {
            log::warn!("a compressed variant could not be made: {error}");
        }
        pending.lock().remove(&order.named);
    }
}

fn make(cache: &SharedCache, order: &Order) -> io::Result<()> {
    let (_, id, coding) = order.named;
    let found = || {
        let hit = cache.store().lookup(&order.key).hit()?;
        (hit.id() == id).then(|| Found {
            hit,
            key: order.key.clone(),
        })
    };
    // Gone or renewed meanwhile: it will be ordered anew.
    let (Some(read), Some(of)) = (found(), found()) else {
        return Ok(());
    };
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut reader = read.hit.into_reader();
    loop {
        // In memory, where nothing has to be waited for; what is not there is left alone.
        match reader.next().now_or_never() {
            Some(Ok(Some(piece))) => pieces.push(piece),
            Some(Ok(None)) => break,
            Some(Err(_)) | None => return Ok(()),
        }
    }
    match encode::encode(coding, &pieces)? {
        Some(body) => cache.keep_coded(&of, coding, body),
        None => of.hit.head().wanted.give_up(),
    }
    Ok(())
}
