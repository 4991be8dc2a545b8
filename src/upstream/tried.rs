//! The endpoints one request has already tried.

/// How many attempts are remembered; an older one is forgotten first.
const REMEMBERED: usize = 8;

/// A small set of endpoint identities, inline and without allocation.
///
/// It holds [`EndpointState::id`](super::EndpointState::id) and not indexes, because a DNS answer
/// may replace the endpoint table between two attempts of one request.
#[derive(Clone, Debug, Default)]
pub struct TriedSet {
    ids: [u64; REMEMBERED],
    len: u8,
    next: u8,
}

impl TriedSet {
    /// An empty set.
    pub const fn new() -> Self {
        Self {
            ids: [0; REMEMBERED],
            len: 0,
            next: 0,
        }
    }

    /// Remembers an endpoint. When 8 are remembered the oldest is replaced.
    pub fn insert(&mut self, id: u64) {
        if self.contains(id) {
            return;
        }
        if let Some(slot) = self.ids.get_mut(usize::from(self.next)) {
            *slot = id;
            self.next = (self.next + 1) % REMEMBERED as u8;
            self.len = (self.len + 1).min(REMEMBERED as u8);
        }
    }

    /// True if this endpoint was tried.
    pub fn contains(&self, id: u64) -> bool {
        self.ids
            .iter()
            .take(usize::from(self.len))
            .any(|&tried| tried == id)
    }

    /// True before the first attempt.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_last_eight() {
        let mut tried = TriedSet::new();
        assert!(tried.is_empty() && !tried.contains(0));
        for id in 1..=9 {
            tried.insert(id);
            tried.insert(id);
        }
        assert!(!tried.contains(1));
        assert!((2..=9).all(|id| tried.contains(id)));
    }
}
