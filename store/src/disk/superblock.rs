//! The superblock: who the store is. Two copies of 64 bytes, 4 KiB apart: one is whole at any time.
//!
//! `FGc1`, version (4), name (8), seed of keys (8), starts (4), number of the disk (4), checksum of these (8).

use std::io;

use super::{Disk, FileName, read_exact, write_all};
use crate::hash::checksum;

const VERSION: u32 = 1;
const LEN: usize = 64;
const SECOND: u64 = 4096;
const SEED: u64 = 0x4661_726d_6761_7465;

/// What a superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// Drawn when the store was made; all checksums are seeded with it.
    pub(crate) name: u64,
    /// The seed of keys' hashes.
    pub(crate) seed: u64,
    /// How often the store was opened.
    pub(crate) boot: u32,
    /// Which disk of the store.
    pub(crate) disk: u32,
}

impl Superblock {
    pub(crate) fn encode(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        let mut fields = [
            &b"FGc1"[..],
            &VERSION.to_le_bytes(),
            &self.name.to_le_bytes(),
        ]
        .concat();
        fields.extend_from_slice(&self.seed.to_le_bytes());
        fields.extend_from_slice(&self.boot.to_le_bytes());
        fields.extend_from_slice(&self.disk.to_le_bytes());
        fields.extend_from_slice(&checksum(SEED, &fields).to_le_bytes());
        for (place, byte) in out.iter_mut().zip(fields) {
            *place = byte;
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (covered, rest) = bytes.split_first_chunk::<32>()?;
        if checksum(SEED, covered) != u64::from_le_bytes(*rest.first_chunk::<8>()?) {
            return None;
        }
        let (magic, rest) = covered.split_first_chunk::<4>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        if magic != b"FGc1" || u32::from_le_bytes(*version) != VERSION {
            return None;
        }
        let (name, rest) = rest.split_first_chunk::<8>()?;
        let (seed, rest) = rest.split_first_chunk::<8>()?;
        let (boot, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            name: u64::from_le_bytes(*name),
            seed: u64::from_le_bytes(*seed),
            boot: u32::from_le_bytes(*boot),
            disk: u32::from_le_bytes(*rest.first_chunk::<4>()?),
        })
    }

    /// The copy that verifies, the later one of two; `None` when there is none.
    pub(crate) fn read(disk: &dyn Disk) -> io::Result<Option<Self>> {
        let mut best: Option<Self> = None;
        for at in [0, SECOND] {
            let mut bytes = [0; LEN];
            match read_exact(disk, FileName::Superblock, at, &mut bytes) {
                Ok(()) => {
                    let read = Self::decode(&bytes);
                    best = best.max_by_boot(read);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(best)
    }

    /// Writes both copies, one after the other.
    pub(crate) fn write(&self, disk: &dyn Disk) -> io::Result<()> {
        for at in [0, SECOND] {
            write_all(disk, FileName::Superblock, at, &self.encode())?;
            disk.sync(FileName::Superblock)?;
        }
        Ok(())
    }
}

trait Later: Sized {
    fn max_by_boot(self, other: Self) -> Self;
}

impl Later for Option<Superblock> {
    fn max_by_boot(self, other: Self) -> Self {
        match (self, other) {
            (Some(one), Some(two)) => Some(if two.boot > one.boot { two } else { one }),
            (one, two) => one.or(two),
        }
    }
}
