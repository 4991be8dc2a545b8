//! A disk in memory that fails on purpose.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Disk, FileName, HeldFile};

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
    files: Mutex<HashMap<FileName, Contents>>,
    /// Removed and perhaps held.
    removed: Mutex<Vec<Weak<Mutex<Vec<u8>>>>>,
    whims: Arc<Whims>,
    /// Bytes that fit, over all files.
    room: AtomicU64,
    locked: AtomicBool,
}

type Contents = Arc<Mutex<Vec<u8>>>;

/// When what fails.
#[derive(Debug, Default)]
struct Whims {
    faults: Mutex<Faults>,
    random: AtomicU64,
    broken: AtomicBool,
    injected: AtomicU64,
}

/// A file that is held.
#[derive(Debug)]
struct Open {
    contents: Contents,
    whims: Arc<Whims>,
}

impl FaultyDisk {
    /// A disk without faults yet, on which `room` bytes fit.
    #[must_use]
    pub fn new(seed: u64, room: u64) -> Self {
        Self {
            files: Mutex::default(),
            removed: Mutex::default(),
            whims: Arc::new(Whims {
                random: AtomicU64::new(seed),
                ..Whims::default()
            }),
            room: AtomicU64::new(room),
            locked: AtomicBool::new(false),
        }
    }

    /// From now on these.
    pub fn set_faults(&self, faults: Faults) {
        *self.whims.faults.lock() = faults;
    }

    /// From now on every call fails, or not any more.
    pub fn set_broken(&self, broken: bool) {
        self.whims.broken.store(broken, Ordering::SeqCst);
    }

    /// From now on so many bytes fit.
    pub fn set_room(&self, bytes: u64) {
        self.room.store(bytes, Ordering::SeqCst);
    }

    /// Faults that happened.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.whims.injected.load(Ordering::SeqCst)
    }

    /// The same bytes on another disk, unlocked: what a process finds that starts after this one was killed now.
    #[must_use]
    pub fn after_kill(&self, seed: u64) -> Self {
        let copy = Self::new(seed, self.room.load(Ordering::SeqCst));
        let files = self.files.lock();
        let copied = files
            .iter()
            .map(|(name, file)| (*name, Arc::new(Mutex::new(file.lock().clone()))));
        *copy.files.lock() = copied.collect();
        drop(files);
        copy
    }

    /// Changes the bytes of a file as a foreign hand would.
    pub fn edit(&self, file: FileName, change: impl FnOnce(&mut Vec<u8>)) {
        let contents = Arc::clone(self.files.lock().entry(file).or_default());
        change(&mut contents.lock());
    }

    /// Bytes of all files, and of those that are removed and still open.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let files = self.files.lock();
        self.bytes_of(&files)
    }

    fn contents(&self, file: FileName) -> io::Result<Contents> {
        let files = self.files.lock();
        let contents = files.get(&file).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::clone(contents))
    }

    fn bytes_of(&self, files: &HashMap<FileName, Contents>) -> u64 {
        let listed: u64 = files.values().map(|file| file.lock().len() as u64).sum();
        let mut removed = self.removed.lock();
        removed.retain(|file| file.strong_count() > 0);
        let open = removed.iter().filter_map(Weak::upgrade);
        listed + open.map(|file| file.lock().len() as u64).sum::<u64>()
    }
}

impl Whims {
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

    fn begin_read(&self) -> io::Result<Faults> {
        let faults = self.begin()?;
        if self.happens(faults.read_error) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(faults)
    }

    fn read(
        &self,
        faults: Faults,
        contents: &Contents,
        at: u64,
        out: &mut [u8],
    ) -> io::Result<usize> {
        let bytes = contents.lock();
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
}

impl HeldFile for Open {
    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let faults = self.whims.begin_read()?;
        self.whims.read(faults, &self.contents, at, out)
    }
}

impl Disk for FaultyDisk {
    fn read_at(&self, file: FileName, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let faults = self.whims.begin_read()?;
        let contents = self.contents(file)?;
        self.whims.read(faults, &contents, at, out)
    }

    fn write_at(&self, file: FileName, at: u64, bytes: &[u8]) -> io::Result<usize> {
        let faults = self.whims.begin()?;
        if self.whims.happens(faults.write_error) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let mut bytes = bytes.to_vec();
        let mut said = bytes.len();
        if self.whims.happens(faults.torn_write) {
            bytes.truncate(self.whims.part(bytes.len()));
        }
        if self.whims.happens(faults.short_write) {
            bytes.truncate(self.whims.part(bytes.len()));
            said = bytes.len();
        }
        if self.whims.happens(faults.flip_on_write) {
            self.whims.flip(&mut bytes);
        }
        let at = usize::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut files = self.files.lock();
        let used = self.bytes_of(&files);
        let kept = files.entry(file).or_default();
        let mut kept = kept.lock();
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
        let faults = self.whims.begin()?;
        if self.whims.happens(faults.sync_error) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }

    fn len(&self, file: FileName) -> io::Result<u64> {
        self.whims.begin()?;
        let contents = self.contents(file)?;
        let len = contents.lock().len();
        Ok(len as u64)
    }

    fn set_len(&self, file: FileName, len: u64) -> io::Result<()> {
        self.whims.begin()?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.contents(file)?.lock().resize(len, 0);
        Ok(())
    }

    fn remove(&self, file: FileName) -> io::Result<()> {
        self.whims.begin()?;
        let removed = self.files.lock().remove(&file);
        let removed = removed.as_ref().map(Arc::downgrade);
        self.removed.lock().extend(removed);
        Ok(())
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        self.whims.begin()?;
        let mut files = self.files.lock();
        let bytes = files.remove(&from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to, bytes);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<FileName>> {
        self.whims.begin()?;
        let mut files: Vec<FileName> = self.files.lock().keys().copied().collect();
        files.sort_unstable();
        Ok(files)
    }

    fn hold(&self, file: FileName) -> io::Result<Arc<dyn HeldFile>> {
        self.whims.begin()?;
        Ok(Arc::new(Open {
            contents: self.contents(file)?,
            whims: Arc::clone(&self.whims),
        }))
    }

    fn lock(&self) -> io::Result<bool> {
        self.whims.begin()?;
        // In one process there may be two stores on one disk: the second one is refused, as another process is.
        Ok(!self.locked.swap(true, Ordering::SeqCst))
    }

    fn unlock(&self) -> io::Result<()> {
        self.locked.store(false, Ordering::SeqCst);
        Ok(())
    }
}
