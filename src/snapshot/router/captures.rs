//! What the winning pattern captured: names and places in the path, without owning any text.

use std::sync::Arc;

use super::path::{MAX_CAPTURES, PathPattern};

/// The captures of one request, kept beside its path. Reused from lookup to lookup; filling it
/// counts one reference and copies no text.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    names: Option<Arc<[Arc<str>]>>,
    /// Start and end in bytes of the path, in the order of `names`.
    places: [(u32, u32); MAX_CAPTURES],
}

impl Captures {
    /// What was captured as `name`, a part of `path`, which must be the path the lookup saw.
    pub fn get<'p>(&self, name: &str, path: &'p str) -> Option<&'p str> {
        let names = self.names.as_deref()?;
        let place = names.iter().position(|known| &**known == name)?;
        let (start, end) = *self.places.get(place)?;
        path.get(start as usize..end as usize)
    }

    /// The captured names, in the order of the pattern.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .flat_map(|names| names.iter())
            .map(|name| &**name)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.names = None;
    }

    /// Notes where the captures of `pattern`, which matches `path`, stand in it.
    pub(super) fn fill(&mut self, pattern: &PathPattern, path: &str) {
        let Some(names) = pattern.names() else {
            return;
        };
        pattern.places(path, |place, start, end| {
            if let Some(slot) = self.places.get_mut(place) {
                *slot = (offset(start), offset(end));
            }
        });
        self.names = Some(Arc::clone(names));
    }
}

/// A place beyond 4 GiB cannot occur (the target is limited); it would read as "not captured".
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
