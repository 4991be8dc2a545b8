//! A disk that notes what is read from segments, and lets reads wait until a test opens it.

use std::io;

use parking_lot::{Condvar, Mutex};

use super::*;
use crate::disk::{FileName, HeldFile};

#[derive(Debug)]
pub(super) struct Gate {
    pub(super) disk: FaultyDisk,
    watch: Arc<Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    shut: Mutex<bool>,
    writes_shut: Mutex<bool>,
    changed: Condvar,
    reads: Mutex<Vec<(u64, usize)>>,
}

impl Watch {
    fn pass(&self, at: u64, len: usize) {
        self.reads.lock().push((at, len));
        let mut shut = self.shut.lock();
        while *shut {
            self.changed.wait(&mut shut);
        }
    }
}

#[derive(Debug)]
struct Held(Arc<dyn HeldFile>, Arc<Watch>);

impl HeldFile for Held {
    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        self.1.pass(at, out.len());
        self.0.read_at(at, out)
    }
}

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            disk: FaultyDisk::new(1, 1 << 30),
            watch: Arc::default(),
        })
    }

    /// Reads wait from now on, or not any more.
    pub(super) fn shut(&self, shut: bool) {
        *self.watch.shut.lock() = shut;
        self.watch.changed.notify_all();
    }

    /// Writes to segments wait from now on, or not any more.
    pub(super) fn shut_writes(&self, shut: bool) {
        *self.watch.writes_shut.lock() = shut;
        self.watch.changed.notify_all();
    }

    /// Where was read and how much was asked for, since the last time.
    pub(super) fn reads(&self) -> Vec<(u64, usize)> {
        std::mem::take(&mut self.watch.reads.lock())
    }
}

impl Disk for Gate {
    fn read_at(&self, file: FileName, at: u64, out: &mut [u8]) -> io::Result<usize> {
        if matches!(file, FileName::Segment(_)) {
            self.watch.pass(at, out.len());
        }
        self.disk.read_at(file, at, out)
    }

    fn write_at(&self, file: FileName, at: u64, bytes: &[u8]) -> io::Result<usize> {
        if matches!(file, FileName::Segment(_)) {
            let mut shut = self.watch.writes_shut.lock();
            while *shut {
                self.watch.changed.wait(&mut shut);
            }
        }
        self.disk.write_at(file, at, bytes)
    }

    fn sync(&self, file: FileName) -> io::Result<()> {
        self.disk.sync(file)
    }

    fn len(&self, file: FileName) -> io::Result<u64> {
        self.disk.len(file)
    }

    fn set_len(&self, file: FileName, len: u64) -> io::Result<()> {
        self.disk.set_len(file, len)
    }

    fn remove(&self, file: FileName) -> io::Result<()> {
        self.disk.remove(file)
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn list(&self) -> io::Result<Vec<FileName>> {
        self.disk.list()
    }

    fn hold(&self, file: FileName) -> io::Result<Arc<dyn HeldFile>> {
        let held = Held(self.disk.hold(file)?, Arc::clone(&self.watch));
        Ok(Arc::new(held))
    }

    fn lock(&self) -> io::Result<bool> {
        self.disk.lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.disk.unlock()
    }
}
