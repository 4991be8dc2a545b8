//! The head of a stored object: status, fields, key and [`Meta`], in memory and as bytes.

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Meta;
use super::encoding::{DecodeError, Reader};
use crate::cache::key::Key;

/// Fields of a stored response; more are not stored.
pub const MOST_FIELDS: usize = 1024;

/// The head of a stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHead {
    /// What the rules keep.
    pub meta: Meta,
    /// The status.
    pub status: StatusCode,
    /// The fields, without those that are not kept.
    pub fields: HeaderMap,
    /// The key, to be compared on a hit.
    pub key: Key,
}

impl StoredHead {
    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.meta.encode(out);
        out.extend_from_slice(&self.status.as_u16().to_le_bytes());
        push(&self.key.text, out);
        let count = u32::try_from(self.fields.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for (name, value) in &self.fields {
            push(name.as_str().as_bytes(), out);
            push(value.as_bytes(), out);
        }
    }

    /// Reads it; all of `bytes` is one head.
    ///
    /// # Errors
    /// The bytes are not of this layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (meta, rest) = Meta::decode(bytes)?;
        let mut reader = Reader(rest);
        let head = read(meta, &mut reader).ok_or(DecodeError::Broken)?;
        match reader.0 {
            [] => Ok(head),
            _ => Err(DecodeError::Broken),
        }
    }

    /// About how many bytes it takes in memory, all of it: what a byte-exact budget is charged.
    pub fn memory_bytes(&self) -> usize {
        // Per slot of the map: an entry with name and value, and its place in the index of names.
        const SLOT: usize = size_of::<HeaderName>() + size_of::<HeaderValue>() + 24;
        let texts: usize = self
            .fields
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        size_of::<Self>()
            + self.meta.heap_bytes()
            + self.fields.capacity() * SLOT
            + texts
            + self.key.text.len()
    }
}

fn push(part: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(part);
}

fn read(meta: Meta, reader: &mut Reader<'_>) -> Option<StoredHead> {
    let status = StatusCode::from_u16(reader.u16()?).ok()?;
    let part = |reader: &mut Reader<'_>| {
        let length = usize::try_from(reader.u32()?).ok()?;
        reader.bytes(length).map(Bytes::copy_from_slice)
    };
    let key = Key::from_text(part(reader)?);
    key.read()?;
    let count = usize::try_from(reader.u32()?).ok()?;
    if count > MOST_FIELDS {
        return None;
    }
    let mut fields = HeaderMap::with_capacity(count);
    for _ in 0..count {
        let name = HeaderName::from_bytes(&part(reader)?).ok()?;
        // Checked again: a bit that fell over must not become a line feed in an answer.
        let value = HeaderValue::from_maybe_shared(part(reader)?).ok()?;
        fields.try_append(name, value).ok()?;
    }
    Some(StoredHead {
        meta,
        status,
        fields,
        key,
    })
}
