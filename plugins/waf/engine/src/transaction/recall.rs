//! What strings have told before, so that those that come again are not asked again.
//!
//! Most strings of a request are not new: names of headers, arguments and cookies, the browser's name, what it
//! accepts, the cookies of a session. What the checks of a phase say about a string depends on nothing but
//! the string and the profile, so it is kept: which checks matched, and what finding that out cost.
//!
//! Strings themselves are not kept, as they may be passwords. A string stands for 128 bits of SipHash-1-3 under a secret of
//! the thread, so that no client can look for two that fall together; by chance two do with 10^-35.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// Longer strings are asked each time: few of them come again, and they would be hashed for nothing.
pub(super) const LONGEST: usize = 512;
/// Places where one string may stand.
const WAYS: usize = 4;
/// Sets of places: 4,096 strings, 128 KiB a thread.
const SETS: usize = 1024;
/// Most matches that are kept of a string.
const MATCHES: usize = 5;
/// Not a check.
const NONE: u16 = u16::MAX;

/// A string under a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest(u64, u64);

/// What was found out about a string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    digest: Digest,
    /// Work that it took; who asks again is charged the same, or the same request would have room for more work the
    /// second time.
    pub(super) cost: u32,
    matches: [u16; MATCHES],
    /// It came again since the search for a place last passed by.
    came_again: bool,
}

const NOTHING: Known = Known {
    digest: Digest(0, 0),
    cost: 0,
    matches: [NONE; MATCHES],
    came_again: false,
};

impl Known {
    /// The checks that matched the string as it is.
    pub(super) fn matches(&self) -> impl Iterator<Item = u16> {
        self.matches.into_iter().take_while(|check| *check != NONE)
    }
}

/// The strings that a thread knows.
pub(super) struct Recall {
    key: SipHasher13,
    sets: Box<[[Known; WAYS]]>,
    /// Where the next search for a place begins.
    hand: usize,
}

impl Default for Recall {
    fn default() -> Self {
        // The outputs of a keyed hash whose key is drawn at random are as good as random themselves.
        let random = RandomState::new();
        Self {
            key: SipHasher13::new_with_keys(random.hash_one(0u8), random.hash_one(1u8)),
            sets: vec![[NOTHING; WAYS]; SETS].into(),
            hand: 0,
        }
    }
}

impl Recall {
    /// Stands for a string under the profile of this number.
    pub(super) fn digest(&self, profile: u64, string: &[u8]) -> Digest {
        let mut hasher = self.key;
        hasher.write_u64(profile);
        hasher.write(string);
        let hash = hasher.finish128();
        Digest(hash.h1, hash.h2)
    }

    /// What is known of a string.
    pub(super) fn get(&mut self, digest: Digest) -> Option<Known> {
        let set = self.sets.get_mut(digest.0 as usize % SETS)?;
        let known = set.iter_mut().find(|known| known.digest == digest)?;
        known.came_again = true;
        Some(*known)
    }

    /// Keeps what was found out about a string; not if more checks matched than there is room for.
    pub(super) fn keep(
        &mut self,
        digest: Digest,
        cost: u64,
        matches: impl ExactSizeIterator<Item = u16>,
    ) {
        let Ok(cost) = u32::try_from(cost) else {
            return;
        };
        if matches.len() > MATCHES {
            return;
        }
        let mut known = Known {
            digest,
            cost,
            ..NOTHING
        };
        known
            .matches
            .iter_mut()
            .zip(matches)
            .for_each(|(place, check)| *place = check);
        let Some(set) = self.sets.get_mut(digest.0 as usize % SETS) else {
            return;
        };
        // A second chance for what came again: strings that come once push out each other, however many they are.
        for _ in 0..=WAYS {
            self.hand = (self.hand + 1) % WAYS;
            if let Some(place) = set.get_mut(self.hand)
                && !std::mem::take(&mut place.came_again)
            {
                *place = known;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MATCHES, Recall, SETS, WAYS};

    #[test]
    fn a_string_is_known_under_its_profile_alone() {
        let mut recall = Recall::default();
        let one = recall.digest(1, b"string");
        assert!(recall.get(one).is_none());
        recall.keep(one, 70, [5, 9].into_iter());
        let known = recall.get(one).expect("known");
        assert_eq!(known.matches().collect::<Vec<_>>(), [5, 9]);
        assert_eq!(known.cost, 70);
        for other in [recall.digest(2, b"string"), recall.digest(1, b"strinG")] {
            assert!(recall.get(other).is_none());
        }
        let other = Recall::default().digest(1, b"string");
        assert_ne!(other, one, "a secret of its own");
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let mut recall = Recall::default();
        let digest = recall.digest(1, b"a");
        recall.keep(digest, 1, [0; MATCHES + 1].into_iter());
        assert!(recall.get(digest).is_none());
        recall.keep(digest, u64::MAX, [0].into_iter());
        assert!(recall.get(digest).is_none());
    }

    #[test]
    fn strings_that_come_once_do_not_push_out_those_that_come_often() {
        let mut recall = Recall::default();
        let often: Vec<_> = (0..100u32)
            .map(|i| recall.digest(1, &i.to_le_bytes()))
            .collect();
        let (mut asked, mut known) = (0, 0);
        for i in 0..(SETS * WAYS * 4) as u64 {
            let once = recall.digest(2, &i.to_le_bytes());
            recall.keep(once, 1, [].into_iter());
            if i.is_multiple_of(100) {
                for digest in &often {
                    asked += 1;
                    match recall.get(*digest) {
                        Some(_) => known += 1,
                        None => recall.keep(*digest, 1, [].into_iter()),
                    }
                }
            }
        }
        assert!(known * 100 >= asked * 98, "{known} of {asked}");
    }
}
