//! Compressed variants of what is stored plain: made in the background once clients have asked for them, and kept beside
//! it. A variant is a body alone. Its head, its age and its end are those of the plain response: it stands at a place
//! that holds the plain one's generation, and is never found for another.

mod encode;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use farmgate_store::{FillOptions, Finished, Store};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};

use super::{Found, Hit, SharedCache};
use crate::cache::guard;
use crate::cache::meta::head::StoredHead;
use crate::cache::meta::{Flags, Meta};
use crate::cache::vary::Encodings;
pub(super) use worker::Worker;

/// Which Content-Types are compressed, where an operator says so.
#[derive(Clone)]
pub struct Kinds(pub Arc<dyn Fn(&HeaderValue) -> bool + Send + Sync>);

impl std::fmt::Debug for Kinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kinds")
    }
}

/// The same only where they are one: what two functions say cannot be compared.
impl PartialEq for Kinds {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Kinds {}

/// What is compressed, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressRules {
    /// The codings that are made, each once a client asks for it.
    pub codings: Encodings,
    /// Smallest body, bytes.
    pub least_bytes: u64,
    /// Largest body, bytes.
    pub most_bytes: u64,
    /// Hits by clients that take a coding before the object is compressed; at least 1.
    pub after_hits: u16,
    /// Content-Types; none: those that were found worth it when they were stored.
    pub kinds: Option<Kinds>,
}

impl CompressRules {
    /// True for a body of a size that is compressed.
    pub fn fits(&self, length: u64) -> bool {
        (self.least_bytes..=self.most_bytes).contains(&length)
    }

    /// True for what is stored plain, may be changed, and is of a type that is compressed.
    pub fn suits(&self, head: &StoredHead) -> bool {
        let Some(Kinds(suits)) = &self.kinds else {
            return head.meta.flags.has(Flags::COMPRESSIBLE);
        };
        head.status == StatusCode::OK
            && !head.meta.flags.has(Flags::NO_TRANSFORM)
            && !head.fields.contains_key(CONTENT_ENCODING)
            && guard::content_type(&head.fields).is_some_and(|kind| suits(kind))
    }
}

impl Default for CompressRules {
    fn default() -> Self {
        Self {
            codings: Encodings {
                zstd: true,
                br: true,
                gzip: true,
            },
            least_bytes: 1024,
            most_bytes: 8 << 20,
            after_hits: 3,
            kinds: None,
        }
    }
}

/// A content coding that variants are made in, from the smallest result to the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 7932.
    Br,
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// All, best first.
    pub const ALL: [Self; 3] = [Self::Br, Self::Zstd, Self::Gzip];

    /// The value of Content-Encoding.
    pub const fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        })
    }

    fn is_in(self, set: Encodings) -> bool {
        match self {
            Self::Br => set.br,
            Self::Zstd => set.zstd,
            Self::Gzip => set.gzip,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Br => 1,
            Self::Zstd => 2,
            Self::Gzip => 3,
        }
    }
}

/// Fields that describe the plain bytes, and would be wrong beside compressed ones.
pub static OF_PLAIN: [HeaderName; 5] = [
    HeaderName::from_static("accept-ranges"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// Where the variants of a stored response stand: behind its own place, a coding and its generation.
fn key(store: &Store<StoredHead>, of: &Found, coding: Coding) -> farmgate_store::Key {
    let mut variance = Vec::with_capacity(of.key.variance().len() + 9);
    variance.extend_from_slice(of.key.variance());
    variance.push(coding.number());
    variance.extend_from_slice(&of.hit.id().bits().to_le_bytes());
    store.key(of.key.primary(), &variance)
}

impl SharedCache {
    /// The best variant that a client takes of a stored response. Where there is none yet, the wish is counted, and in
    /// the end the variant is made.
    pub fn coded(
        &self,
        of: &Found,
        takes: Encodings,
        rules: &CompressRules,
    ) -> Option<(Coding, Hit)> {
        let head = of.hit.head();
        let length = of.hit.len()?;
        if !rules.suits(head) || !rules.fits(length) {
            return None;
        }
        let mut wanted = Coding::ALL
            .into_iter()
            .filter(|coding| coding.is_in(takes) && coding.is_in(rules.codings))
            .peekable();
        let best = *wanted.peek()?;
        let store = self.store();
        for coding in wanted {
            if let Some(hit) = store.lookup(&key(&store, of, coding)).hit() {
                return Some((coding, hit));
            }
        }
        if of.hit.tier() != farmgate_store::Tier::Fill && head.wanted.count(rules.after_hits) {
            self.worker.order(of, best);
        }
        None
    }

    /// Keeps a variant that was made.
    fn keep_coded(&self, of: &Found, coding: Coding, body: Bytes) {
        let plain = of.hit.head();
        let head = StoredHead {
            meta: Meta {
                marks: plain.meta.marks.clone(),
                ..Meta::default()
            },
            status: plain.status,
            fields: HeaderMap::new(),
            key: plain.key.clone(),
            variants: None,
            wanted: Wanted::default(),
        };
        let length = body.len() as u64;
        let store = self.store();
        let mut fill = store.begin(
            key(&store, of, coding),
            head,
            FillOptions {
                // What was purged since the plain one came is purged here as well.
                start: of.hit.start(),
                length: Some(length),
                max_bytes: length,
                disk_uses: 2,
            },
        );
        fill.append(body);
        match fill.finish() {
            Finished::Stored(_) => {}
            other => log::debug!("a compressed variant is not kept: {other:?}"),
        }
    }
}

/// How often a compressed variant was wished for. No part of what the head says: a copy begins anew.
#[derive(Debug, Default)]
pub struct Wanted(AtomicU16);

impl Wanted {
    /// Counts; true each time `after` more wishes were made.
    fn count(&self, after: u16) -> bool {
        let count = self.0.load(Ordering::Relaxed);
        if count == u16::MAX {
            return false;
        }
        // Two at once may count as one: it is about a few, not about exactly as many.
        let count = (count + 1) % after.max(1);
        self.0.store(count, Ordering::Relaxed);
        count == 0
    }

    /// It would not become smaller.
    fn give_up(&self) {
        self.0.store(u16::MAX, Ordering::Relaxed);
    }
}

impl Clone for Wanted {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Wanted {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Wanted {}

#[cfg(test)]
mod tests;
