//! The keys of one limit as bytes, for the process that takes over at an upgrade.
//!
//! ```text
//! version          1
//! has seed         0 or 1, then 16 bytes: the secret under which long keys were hashed
//! then each key:
//!   length         0 to 15, or 255 for a hash; then that many bytes of the key, 15 for a hash
//!   ahead          how many nanoseconds the key's stamp lies ahead of the moment of saving
//!   part           the rest of the stamp, in parts of one more nanosecond
//! ```
//!
//! `ahead` and `part` are LEB128. Times are relative, because clocks that only measure mean nothing in another
//! process. An address of IPv4 takes about 12 bytes.

use std::time::Duration;

use farmgate_plugin_api::services::{Kept, Saved};

use super::gcra::{Pace, Stamp};
use super::store::{Key, Seed, Store};

const VERSION: u8 = 1;
const NO_SEED: u8 = 0;
const SEED: u8 = 1;
/// Instead of a length: 15 bytes of a hash follow.
const HASHED: u8 = 0xff;
const SEED_BYTES: usize = 16;
/// Version and seed.
const HEAD_BYTES: usize = 2 + SEED_BYTES;

impl Kept for Store {
    fn save(&self, most_bytes: usize) -> Saved {
        let now_ns = self.ns(self.now());
        // Keys whose stamp lies furthest ahead have used most of their limit: without room for all, those stay.
        let mut sizes = Sizes::default();
        self.each(&mut |key, tat| {
            if let Some(ahead) = ahead(tat, now_ns) {
                sizes.add(ahead, entry_bytes(key, ahead, tat.part()));
            }
        });
        let mut saved = Saved {
            entries: 0,
            left_out: sizes.entries(),
            ..Saved::default()
        };
        let Some(room) = most_bytes.checked_sub(HEAD_BYTES) else {
            return saved;
        };
        let cut = sizes.cut(room);
        saved.bytes = Vec::with_capacity(HEAD_BYTES + sizes.bytes().min(room));
        saved.bytes.push(VERSION);
        match self.seed() {
            Some(seed) => {
                saved.bytes.push(SEED);
                saved.bytes.extend(seed.0.to_be_bytes());
                saved.bytes.extend(seed.1.to_be_bytes());
            }
            None => saved.bytes.push(NO_SEED),
        }
        // What is left for the keys of the one size that fits only in part.
        let mut at_the_cut = cut.room;
        self.each(&mut |key, tat| {
            let Some(ahead) = ahead(tat, now_ns) else {
                return;
            };
            let bytes = entry_bytes(key, ahead, tat.part());
            // Keys may have come in between the two passes: the bound is asked again for each.
            if bits(ahead) < cut.bits || saved.bytes.len() + bytes > most_bytes {
                return;
            }
            if bits(ahead) == cut.bits {
                match at_the_cut.checked_sub(bytes) {
                    Some(left) => at_the_cut = left,
                    None => return,
                }
            }
            put_entry(&mut saved.bytes, key, ahead, tat.part());
            saved.entries += 1;
        });
        saved.left_out = saved.left_out.saturating_sub(saved.entries);
        saved
    }

    fn restore(&self, saved: &[u8], age: Duration) -> Result<usize, String> {
        let mut reader = Reader(saved);
        let seed = reader.head()?;
        // Looked at as a whole first: of bytes that are damaged nothing is taken.
        let mut check = Reader(reader.0);
        while !check.0.is_empty() {
            let at = saved.len() - check.0.len();
            check
                .entry()
                .ok_or_else(|| format!("what stands at byte {at} is no key"))?;
        }
        let takes_hashes = seed.is_some_and(|seed| self.take_seed(seed));
        let now_ns = self.ns(self.now());
        let age_ns = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        let mut taken = 0;
        while let Some((key, ahead, part)) = reader.entry() {
            if key.is_hashed() && !takes_hashes {
                continue;
            }
            let Some(ahead) = ahead.checked_sub(age_ns) else {
                // Spent meanwhile: as good as never seen.
                taken += 1;
                continue;
            };
            let tat = Stamp::new(now_ns.saturating_add(ahead), part);
            taken += usize::from(self.take(key, tat));
        }
        Ok(taken)
    }
}

/// How far ahead of `now_ns` a stamp lies; none for a key that is as good as never seen.
fn ahead(tat: Stamp, now_ns: u64) -> Option<u64> {
    (!Pace::is_spent(tat, now_ns)).then(|| tat.ns().saturating_sub(now_ns))
}

fn bits(ahead: u64) -> usize {
    ahead.checked_ilog2().map_or(0, |log| log as usize + 1)
}

/// Bytes of the entries, by how far ahead their stamps lie: by the number of bits.
struct Sizes([(usize, usize); 65]);

impl Default for Sizes {
    fn default() -> Self {
        Self([(0, 0); 65])
    }
}

/// Which entries are saved: those of more bits all, those of as many while there is room.
struct Cut {
    bits: usize,
    room: usize,
}

impl Sizes {
    fn add(&mut self, ahead: u64, bytes: usize) {
        if let Some((all, entries)) = self.0.get_mut(bits(ahead)) {
            *all += bytes;
            *entries += 1;
        }
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(bytes, _)| bytes).sum()
    }

    fn entries(&self) -> usize {
        self.0.iter().map(|(_, entries)| entries).sum()
    }

    fn cut(&self, mut room: usize) -> Cut {
        for (bits, (bytes, _)) in self.0.iter().enumerate().rev() {
            match room.checked_sub(*bytes) {
                Some(left) => room = left,
                None => return Cut { bits, room },
            }
        }
        Cut {
            bits: 0,
            room: usize::MAX,
        }
    }
}

fn put_entry(out: &mut Vec<u8>, key: Key, ahead: u64, part: u32) {
    let (length, bytes) = key.parts();
    out.push(length);
    out.extend(bytes);
    put_number(out, ahead);
    put_number(out, u64::from(part));
}

fn entry_bytes(key: Key, ahead: u64, part: u32) -> usize {
    let number = |n: u64| bits(n).max(1).div_ceil(7);
    1 + key.parts().1.count() + number(ahead) + number(u64::from(part))
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn head(&mut self) -> Result<Option<Seed>, String> {
        let cut = || "it ends in its head".to_owned();
        match self.byte().ok_or_else(cut)? {
            VERSION => {}
            other => return Err(format!("version {other} is not known, {VERSION} is")),
        }
        match self.byte().ok_or_else(cut)? {
            NO_SEED => Ok(None),
            SEED => {
                let mut half = || Some(u64::from_be_bytes(self.array()?));
                let seed = half().zip(half());
                Ok(Some(seed.map(|(one, two)| Seed(one, two)).ok_or_else(cut)?))
            }
            other => Err(format!("{other} is neither 0 nor 1 at byte 1")),
        }
    }

    fn entry(&mut self) -> Option<(Key, u64, u32)> {
        let length = self.byte()?;
        let len = if length == HASHED {
            15
        } else {
            usize::from(length)
        };
        let (bytes, rest) = self.0.split_at_checked(len)?;
        let key = Key::from_parts(length, bytes)?;
        self.0 = rest;
        Some((key, self.number()?, u32::try_from(self.number()?).ok()?))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            number |= low.checked_shl(shift).filter(|n| n >> shift == low)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }
}
