//! The head of a stored object: status, fields, key and [`Meta`], in memory and as bytes.

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Meta;
use super::encoding::{DecodeError, Reader};
use crate::cache::key::Key;
use crate::cache::shared::compress::Wanted;
use crate::cache::vary::Variance;

/// Fields of a stored response; more are not stored.
pub const MOST_FIELDS: usize = 1024;

/// Variants of one key, whatever a policy allows.
pub const MOST_VARIANTS: usize = 1024;

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
    /// It is no response, but what is known of the variants of its key; `meta.vary` then has the names of all of them.
    pub variants: Option<Box<Variants>>,
    /// How often clients wished for it compressed, since it came into memory.
    pub wanted: Wanted,
}

/// The variants of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variants {
    /// Part of the key of each variant. A list that was lost is made anew with another number, so that variants of the
    /// old one, which nobody could count or invalidate any more, are never found again.
    pub nonce: u64,
    /// Those that were stored, at most `max_variants` of the policy; some may be gone.
    pub known: Vec<Variance>,
}

impl Variants {
    /// What tells a variant's place in the store from those of its key's other variants.
    pub fn place(&self, variance: &Variance) -> [u8; 24] {
        let mut place = [0; 24];
        let bytes = self.nonce.to_le_bytes().into_iter().chain(*variance);
        for (to, from) in place.iter_mut().zip(bytes) {
            *to = from;
        }
        place
    }
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
        match &self.variants {
            None => out.push(0),
            Some(variants) => {
                out.push(1);
                out.extend_from_slice(&variants.nonce.to_le_bytes());
                let count = u32::try_from(variants.known.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&count.to_le_bytes());
                variants
                    .known
                    .iter()
                    .for_each(|one| out.extend_from_slice(one));
            }
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
            + self
                .variants
                .as_ref()
                .map_or(0, |list| size_of::<Variants>() + list.known.capacity() * 16)
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
    let variants = match reader.bytes(1)? {
        [0] => None,
        [1] => Some(Box::new(variants(reader)?)),
        _ => return None,
    };
    Some(StoredHead {
        meta,
        status,
        fields,
        key,
        variants,
        wanted: Wanted::default(),
    })
}

fn variants(reader: &mut Reader<'_>) -> Option<Variants> {
    let nonce = reader.u64()?;
    let count = usize::try_from(reader.u32()?).ok()?;
    if count > MOST_VARIANTS {
        return None;
    }
    let mut known = Vec::with_capacity(count);
    for _ in 0..count {
        known.push(reader.bytes(16)?.try_into().ok()?);
    }
    Some(Variants { nonce, known })
}
