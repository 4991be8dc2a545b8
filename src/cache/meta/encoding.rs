//! [`Meta`] as bytes, for the head of an object on disk. One version byte, little endian, lengths before lists; what does
//! not read as exactly one value is refused, and the object is a miss.

use http::header::HeaderName;

use super::{Flags, Meta};
use crate::cache::purge::{MOST_TAGS, Marks};
use crate::cache::vary::{MOST_NAMES, Vary};

/// The layout; another one is refused.
const VERSION: u8 = 2;

/// Why bytes are no head of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Another layout.
    Version(u8),
    /// It ends too early, goes on too long, or holds what no version wrote.
    Broken,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(version) => write!(f, "layout {version} of a head is not {VERSION}"),
            Self::Broken => f.write_str("the bytes of a head are broken"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl Meta {
    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        for number in [
            self.received_ms,
            self.received_wall_s,
            self.initial_age_ms,
            // No response is from the year 1 billion: the largest number says that there is none.
            self.date_s.unwrap_or(u64::MAX),
            self.last_modified_s.unwrap_or(u64::MAX),
            self.marks.url,
            self.marks.host,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [
            self.lifetime_s,
            self.stale_while_revalidate_s,
            self.stale_if_error_s,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.flags.bits().to_le_bytes());
        // Bounded far below.
        let tags = &self.marks.tags;
        out.push(u8::try_from(tags.len()).unwrap_or(u8::MAX));
        for tag in tags.iter().take(usize::from(u8::MAX)) {
            out.extend_from_slice(&tag.to_le_bytes());
        }
        let names = self.vary.names();
        out.push(u8::try_from(names.len()).unwrap_or(u8::MAX));
        for name in names.iter().take(usize::from(u8::MAX)) {
            let name = name.as_str().as_bytes();
            let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend(name.iter().take(usize::from(length)));
        }
    }

    /// Reads it from the front of `bytes`, and what stands behind it.
    ///
    /// # Errors
    /// The bytes are not of this layout.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let (version, rest) = bytes.split_first().ok_or(DecodeError::Broken)?;
        if *version != VERSION {
            return Err(DecodeError::Version(*version));
        }
        let mut reader = Reader(rest);
        let meta = read(&mut reader).ok_or(DecodeError::Broken)?;
        Ok((meta, reader.0))
    }

    /// Bytes it takes in memory, without those of the struct itself.
    pub fn heap_bytes(&self) -> usize {
        let marks = self.marks.tags.capacity();
        let names = self.vary.names();
        let long: usize = names.iter().map(|name| name.as_str().len()).sum();
        marks * size_of::<u64>() + size_of_val(names) + long
    }
}

fn read(reader: &mut Reader<'_>) -> Option<Meta> {
    let mut meta = Meta {
        received_ms: reader.u64()?,
        received_wall_s: reader.u64()?,
        initial_age_ms: reader.u64()?,
        date_s: Some(reader.u64()?).filter(|date| *date != u64::MAX),
        last_modified_s: Some(reader.u64()?).filter(|date| *date != u64::MAX),
        marks: Marks {
            url: reader.u64()?,
            host: reader.u64()?,
            ..Marks::default()
        },
        lifetime_s: reader.u32()?,
        stale_while_revalidate_s: reader.u32()?,
        stale_if_error_s: reader.u32()?,
        flags: Flags::from_bits(reader.u16()?),
        ..Meta::default()
    };
    meta.marks.tags = reader.list(MOST_TAGS, Reader::u64)?;
    let names = reader.list(MOST_NAMES, |reader| {
        let length = reader.u16()?;
        HeaderName::from_bytes(reader.bytes(usize::from(length))?).ok()
    })?;
    meta.vary = Vary::from_names(names);
    Some(meta)
}

/// Takes numbers and texts from the front; none when there is too little.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.bytes(2)?.try_into().ok()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }

    /// A list with its length in one byte; longer than `most` was not written by us.
    fn list<T>(
        &mut self,
        most: usize,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = usize::from(*self.bytes(1)?.first()?);
        if count > most {
            return None;
        }
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(item(self)?);
        }
        Some(list)
    }
}
