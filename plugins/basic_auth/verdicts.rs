//! What checks of passwords gave, remembered for a while: a hash that is made to be slow is asked once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

use super::users::User;

/// Parts of a table, each under a lock of its own.
const SHARDS: usize = 16;

/// Wrong passwords that are remembered, so that who sends the same one again and again costs little.
const MAX_WRONG: usize = 4096;
/// For how long, at most.
const WRONG_FOR: Duration = Duration::from_secs(60);

/// What stands for a user's hash and a password: 128 bits of HMAC-SHA-256 under a secret of this process. It
/// gives neither away, and nobody outside can look for two that fall together. The user's entry in the file
/// is a part of it: when that changes, what was remembered is never found again.
pub(super) type Ticket = u128;

/// A user, or who stands in for one that does not exist.
pub(super) struct Claimed<'a> {
    /// Whose hash is checked.
    pub(super) user: &'a User,
    /// The name that the client gave, when nobody has it.
    pub(super) unknown: Option<&'a str>,
}

/// The verdicts of a plugin. They outlive reloads.
pub(super) struct Verdicts {
    secret: Hmac<Sha256>,
    right: Table,
    wrong: Table,
}

impl Verdicts {
    /// None yet, under a secret from the system; none if the system has none to give.
    pub(super) fn new() -> Option<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).ok()?;
        Some(Self {
            secret: Hmac::new_from_slice(&secret).ok()?,
            right: Table::default(),
            wrong: Table::default(),
        })
    }

    /// What stands for this login.
    pub(super) fn login(&self, claimed: &Claimed<'_>, password: &[u8]) -> Ticket {
        let mut mac = self.secret.clone();
        mac.update(&claimed.user.version);
        if let Some(name) = claimed.unknown {
            // Names hold no control characters, so no other login reads the same.
            mac.update(name.as_bytes());
        }
        mac.update(&[u8::from(claimed.unknown.is_some())]);
        mac.update(password);
        number(mac)
    }

    /// A number for a name, the same as long as the process lives.
    pub(super) fn spread(&self, name: &str) -> u64 {
        let mut mac = self.secret.clone();
        mac.update(name.as_bytes());
        u64::try_from(number(mac) >> 64).unwrap_or_default()
    }

    /// What is remembered: whether the password is right.
    pub(super) fn find(&self, ticket: Ticket, now: Instant) -> Option<bool> {
        if self.right.has(ticket, now) {
            return Some(true);
        }
        self.wrong.has(ticket, now).then_some(false)
    }

    /// Remembers a verdict for `time`, a wrong one for a minute at most. Of right ones there are `most`.
    /// Returns how many were forgotten before their time.
    pub(super) fn remember(
        &self,
        ticket: Ticket,
        is_right: bool,
        now: Instant,
        time: Duration,
        most: usize,
    ) -> u64 {
        if time.is_zero() {
            return 0;
        }
        if is_right {
            self.right.put(ticket, now, now + time, most)
        } else {
            // What is forgotten here costs its sender, who sends wrong passwords.
            self.wrong
                .put(ticket, now, now + time.min(WRONG_FOR), MAX_WRONG);
            0
        }
    }
}

fn number(mac: Hmac<Sha256>) -> u128 {
    let bytes = mac.finalize().into_bytes();
    bytes
        .first_chunk()
        .map_or(0, |chunk| u128::from_be_bytes(*chunk))
}

/// Logins until their time is over.
#[derive(Default)]
struct Table {
    shards: [Mutex<Generations>; SHARDS],
}

type Until = HashMap<Ticket, Instant, RandomState>;

/// Two halves: when the young one is full it becomes the old one, and the old one is forgotten.
#[derive(Default)]
struct Generations {
    young: Until,
    old: Until,
}

impl Table {
    fn shard(&self, ticket: Ticket) -> Option<&Mutex<Generations>> {
        let at = usize::try_from(ticket % SHARDS as u128).ok()?;
        self.shards.get(at)
    }

    fn has(&self, ticket: Ticket, now: Instant) -> bool {
        let Some(shard) = self.shard(ticket) else {
            return false;
        };
        let shard = shard.lock();
        let until = shard.young.get(&ticket).or_else(|| shard.old.get(&ticket));
        until.is_some_and(|until| now < *until)
    }

    fn put(&self, ticket: Ticket, now: Instant, until: Instant, most: usize) -> u64 {
        let Some(shard) = self.shard(ticket) else {
            return 0;
        };
        let half = (most / SHARDS / 2).max(1);
        let mut shard = shard.lock();
        let mut forgotten = 0;
        if shard.young.len() >= half && !shard.young.contains_key(&ticket) {
            let young = std::mem::take(&mut shard.young);
            let old = std::mem::replace(&mut shard.old, young);
            forgotten = old.values().filter(|until| now < **until).count();
        }
        shard.young.insert(ticket, until);
        u64::try_from(forgotten).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basic_auth::users::Users;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_verdict_lasts_for_its_time() {
        let verdicts = Verdicts::new().unwrap();
        let now = Instant::now();
        assert_eq!(verdicts.find(1, now), None);
        verdicts.remember(1, true, now, 5 * MINUTE, 100);
        verdicts.remember(2, false, now, 5 * MINUTE, 100);
        verdicts.remember(3, true, now, Duration::ZERO, 100);
        let shortly = Duration::from_millis(1);
        assert_eq!(verdicts.find(1, now + 5 * MINUTE - shortly), Some(true));
        assert_eq!(verdicts.find(1, now + 5 * MINUTE), None);
        assert_eq!(verdicts.find(2, now + MINUTE - shortly), Some(false));
        assert_eq!(verdicts.find(2, now + MINUTE), None);
        assert_eq!(verdicts.find(3, now), None);
    }

    #[test]
    fn a_login_is_its_user_its_hash_and_its_password() {
        let verdicts = Verdicts::new().unwrap();
        let file =
            |n: u8| format!("ann:$2y$05${n}lxRO4bI.CbPVE1uqf8okuK12pKXtWPUCFzcUt.kZWsrlJdqZb9Yu\n");
        let users = |file: &str| Users::parse(file.as_bytes()).unwrap();
        let (one, two) = (users(&file(6)), users(&file(8)));
        let login = |users: &Users, unknown, password: &str| {
            let user = users.find("ann").unwrap();
            verdicts.login(&Claimed { user, unknown }, password.as_bytes())
        };
        let known = login(&one, None, "pw");
        assert_eq!(known, login(&users(&file(6)), None, "pw"));
        for other in [
            login(&two, None, "pw"),
            login(&one, None, "pw2"),
            login(&one, Some("ann"), "pw"),
            login(&one, Some(""), "pw"),
            login(&one, Some("annp"), "w"),
        ] {
            assert_ne!(known, other);
        }
        assert_eq!(verdicts.spread("x"), verdicts.spread("x"));
        assert_ne!(verdicts.spread("x"), verdicts.spread("y"));
        let restarted = Verdicts::new().unwrap();
        assert_ne!(verdicts.spread("x"), restarted.spread("x"));
    }

    proptest! {
        /// The table against a list of what was put: it never says more, and forgets only when it is full.
        #[test]
        fn the_table_is_bounded_and_never_invents(
            steps in prop::collection::vec((0_u128..200, 1_u64..50), 1..300),
            most in 32_usize..200,
        ) {
            let table = Table::default();
            let start = Instant::now();
            let mut model: HashMap<u128, Instant> = HashMap::new();
            let mut now = start;
            let mut forgotten = 0;
            for (ticket, seconds) in steps {
                now += Duration::from_secs(1);
                let until = now + Duration::from_secs(seconds);
                forgotten += table.put(ticket, now, until, most);
                model.insert(ticket, until);
                let count = table.shards.iter().map(|shard| {
                    let shard = shard.lock();
                    shard.young.len() + shard.old.len()
                }).sum::<usize>();
                prop_assert!(count <= most, "{count} of {most}");
                prop_assert!(table.has(ticket, now));
            }
            for (ticket, until) in &model {
                if table.has(*ticket, now) {
                    prop_assert!(now < *until);
                } else {
                    prop_assert!(now >= *until || forgotten > 0);
                }
            }
        }
    }
}
