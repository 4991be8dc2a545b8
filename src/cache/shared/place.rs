//! Where an object of a key stands in the store: at the key itself, or beside it as one of its variants.

use crate::cache::key::KeyHash;

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The key.
    pub primary: KeyHash,
    /// Which of its variants ([`crate::cache::meta::head::Variants::place`]); none where they are not told apart.
    pub variant: Option<[u8; 24]>,
}

impl Place {
    /// The key itself.
    pub fn root(primary: KeyHash) -> Self {
        Self {
            primary,
            variant: None,
        }
    }

    /// What stands behind the key in the store.
    pub fn variance(&self) -> &[u8] {
        self.variant.as_ref().map_or(&[], |variant| variant)
    }
}
