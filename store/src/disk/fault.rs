//! A disk in memory that fails on purpose.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Disk, FileName};

/// How often, of 65,536 calls, each fault happens.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Faults {
    /// A bit of what is read is another one.
    pub flip_on_read: u16,
    /// A bit of what is written is another one, for good.
    pub flip_on_write: u16,
    /// Only a part is written, and the call says that all was.
    pub torn_write: u16,
    /// Only a part is written, and the call says so.
    pub short_write: u16,
    /// Only a part is read, and the call says so.
    pub short_read: u16,
    /// Reading fails.
    pub read_error: u16,
    /// Writing fails.
    pub write_error: u16,
    /// Bringing to the device fails.
    pub sync_error: u16,
    /// The call takes a millisecond.
    pub delay: u16,
}

/// Files in memory, with faults drawn from a seed.
#[derive(Debug)]
pub struct FaultyDisk {
    files: Mutex<HashMap<FileName, Vec<u8>>>,
    faults: Mutex<Faults>,
    random: AtomicU64,
    /// Bytes that fit, over all files.
    room: AtomicU64,
    broken: AtomicBool,
    locked: AtomicBool,
    injected: AtomicU64,
}

impl FaultyDisk {
    /// A disk without faults yet, on which `room` bytes fit.
    #[must_use]
    pub fn new(seed: u64, room: u64) -> Self {
        Self {
            files: Mutex::default(),
            faults: Mutex::default(),
            random: AtomicU64::new(seed),
            room: AtomicU64::new(room),
            broken: AtomicBool::new(false),
            locked: AtomicBool::new(false),
            injected: AtomicU64::new(0),
        }
    }

    /// From now on these.
    pub fn set_faults(&self, faults: Faults) {
        *self.faults.lock() = faults;
    }

    /// From now on every call fails, or not any more.
    pub fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// From now on so many bytes fit.
    pub fn set_room(&self, bytes: u64) {
        self.room.store(bytes, Ordering::SeqCst);
    }

    /// Faults that happened.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.injected.load(Ordering::SeqCst)
    }

    /// The same bytes on another disk, unlocked: what a process finds that starts after this one was killed now.
    #[must_use]
    pub fn after_kill(&self, seed: u64) -> Self {
        let copy = Self::new(seed, self.room.load(Ordering::SeqCst));
        *copy.files.lock() = self.files.lock().clone();
        copy
    }

    /// Changes the bytes of a file as a foreign hand would.
    pub fn edit(&self, file: FileName, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.files.lock().entry(file).or_default());
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files
            .lock()
            .values()
            .map(|file| file.len() as u64)
            .sum()
    }

    /// SplitMix64.
    fn draw(&self) -> u64 {
        let seed = self
            .random
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn happens(&self, of_65536: u16) -> bool {
        let happens = of_65536 > 0 && self.draw() & 0xffff < u64::from(of_65536);
        if happens {
            self.injected.fetch_add(1, Ordering::Relaxed);
        }
        happens
    }

    fn begin(&self) -> io::Result<Faults> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the device is gone"));
        }
        let faults = *self.faults.lock();
        if self.happens(faults.delay) {
            let end = Instant::now() + Duration::from_millis(1);
            while let Some(rest) = end.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(rest);
            }
        }
        Ok(faults)
    }

    fn flip(&self, bytes: &mut [u8]) {
        let bits = bytes.len() as u64 * 8;
        if bits > 0 {
            let bit = self.draw() % bits;
            if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// A length below `len`, at least one when there is one.
    fn part(&self, len: usize) -> usize {
        (self.draw() as usize % len.max(1)).max(1).min(len)
    }
}

impl Disk for FaultyDisk {
    fn read_at(&self, file: FileName, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let faults = self.begin()?;
        if self.happens(faults.read_error) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let files = self.files.lock();
        let bytes = files.get(&file).ok_or(io::ErrorKind::NotFound)?;
        let rest = usize::try_from(at)
            .ok()
            .and_then(|at| bytes.get(at..))
            .unwrap_or_default();
        let mut len = rest.len().min(out.len());
        if self.happens(faults.short_read) {
            len = self.part(len);
        }
        let (Some(out), Some(rest)) = (out.get_mut(..len), rest.get(..len)) else {
            return Ok(0);
        };
        out.copy_from_slice(rest);
        if self.happens(faults.flip_on_read) {
            self.flip(out);
        }
        Ok(len)
    }

    fn write_at(&self, file: FileName, at: u64, bytes: &[u8]) -> io::Result<usize> {
        let faults = self.begin()?;
        if self.happens(faults.write_error) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let mut bytes = bytes.to_vec();
        let mut said = bytes.len();
        if self.happens(faults.torn_write) {
            bytes.truncate(self.part(bytes.len()));
        }
        if self.happens(faults.short_write) {
            bytes.truncate(self.part(bytes.len()));
            said = bytes.len();
        }
        if self.happens(faults.flip_on_write) {
            self.flip(&mut bytes);
        }
        let at = usize::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut files = self.files.lock();
        let used: u64 = files.values().map(|file| file.len() as u64).sum();
        let kept = files.entry(file).or_default();
        let end = at + bytes.len();
        let more = end.saturating_sub(kept.len()) as u64;
        if used + more > self.room.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(28));
        }
        if kept.len() < end {
            kept.resize(end, 0);
        }
        if let Some(place) = kept.get_mut(at..end) {
            place.copy_from_slice(&bytes);
        }
        Ok(said)
    }

    fn sync(&self, _: FileName) -> io::Result<()> {
        let faults = self.begin()?;
        if self.happens(faults.sync_error) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }

    fn len(&self, file: FileName) -> io::Result<u64> {
        self.begin()?;
        let files = self.files.lock();
        let bytes = files.get(&file).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes.len() as u64)
    }

    fn set_len(&self, file: FileName, len: u64) -> io::Result<()> {
        self.begin()?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.files
            .lock()
            .get_mut(&file)
            .ok_or(io::ErrorKind::NotFound)?
            .resize(len, 0);
        Ok(())
    }

    fn remove(&self, file: FileName) -> io::Result<()> {
        self.begin()?;
        self.files.lock().remove(&file);
        Ok(())
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        self.begin()?;
        let mut files = self.files.lock();
        let bytes = files.remove(&from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to, bytes);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<FileName>> {
        self.begin()?;
        let mut files: Vec<FileName> = self.files.lock().keys().copied().collect();
        files.sort_unstable();
        Ok(files)
    }

    fn lock(&self) -> io::Result<bool> {
        self.begin()?;
        // In one process there may be two stores on one disk: the second one is refused, as another process is.
        Ok(!self.locked.swap(true, Ordering::SeqCst))
    }

    fn unlock(&self) -> io::Result<()> {
        self.locked.store(false, Ordering::SeqCst);
        Ok(())
    }
}
