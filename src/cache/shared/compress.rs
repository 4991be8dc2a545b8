//! Compressed variants of what is stored plain.

use super::super::vary::Encodings;

/// What is compressed, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressRules {
    /// The codings that are made, each once a client asks for it.
    pub codings: Encodings,
    /// Smallest body, bytes.
    pub least_bytes: u64,
    /// Largest body, bytes.
    pub most_bytes: u64,
    /// Hits by clients that take a coding before the object is compressed; at least 1.
    pub after_hits: u16,
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
        }
    }
}
