//! How TLS towards endpoints follows its files.

use std::time::SystemTime;

use super::UpstreamTls;
use crate::tls::files::{Problems, Stamp};

/// What was seen of the files the last time.
#[derive(Debug, Default)]
pub(super) struct Seen {
    stamps: Vec<Option<Stamp>>,
    problems: Problems,
}

/// What a look at the files came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Followed {
    /// Nothing new.
    Same,
    /// They changed and are in force.
    Taken,
    /// They cannot be used, which is to be told; what was read before stays in force.
    Refused(String),
    /// They can be used again.
    Fine,
}

impl UpstreamTls {
    /// Looks at the files and reads them again if they changed. Blocks: not for threads that serve.
    pub fn follow(&self, now: SystemTime) -> Followed {
        let stamps: Vec<_> = self.files().map(Stamp::of).collect();
        let settled = |one: &Option<Stamp>| one.is_some_and(|one| one.is_settled(now));
        let mut seen = self.seen.lock();
        if seen.stamps == stamps && stamps.iter().all(settled) {
            // The same files may have come back after they were away.
            return match self.cleared(&mut seen.problems) {
                0 => Followed::Same,
                _ => Followed::Fine,
            };
        }
        match self.refresh() {
            Ok(changed) => {
                seen.stamps = stamps;
                let told = self.cleared(&mut seen.problems);
                match (changed, told) {
                    (true, _) => Followed::Taken,
                    (false, 0) => Followed::Same,
                    (false, _) => Followed::Fine,
                }
            }
            Err(error) => {
                let text = format!("{error}; {}", error.problem.help());
                match seen.problems.seen(&error.file, text.clone()) {
                    true => Followed::Refused(text),
                    false => Followed::Same,
                }
            }
        }
    }

    fn cleared(&self, problems: &mut Problems) -> usize {
        self.files().filter(|file| problems.cleared(file)).count()
    }

    /// Files whose present content cannot be used, and why.
    pub fn problems(&self) -> Vec<String> {
        let seen = self.seen.lock();
        let told = seen.problems.told();
        told.map(|(_, why)| why.to_owned()).collect()
    }
}
