use super::*;
use crate::tls::acme::storage::names;

const TERM: Duration = Duration::from_secs(60);
const NOW: i64 = 1_000_000;

struct Farm {
    folder: tempfile::TempDir,
    storage: Storage,
    begin: Instant,
}

impl Farm {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(folder.path()).unwrap();
        Self {
            folder,
            storage,
            begin: Instant::now(),
        }
    }

    fn claim(&self, holder: &str) -> Claim {
        Claim::new(&self.storage, "edge-0", holder, TERM)
    }

    /// The steady clock, so many seconds after the begin.
    fn at(&self, seconds: u64) -> Instant {
        self.begin + Duration::from_secs(seconds)
    }

    fn files(&self) -> Vec<String> {
        let mut names = names(&self.storage.leases()).unwrap();
        names.sort();
        names
    }
}

fn held(attempt: Result<Attempt, AcmeError>) -> Lease {
    match attempt.unwrap() {
        Attempt::Held(lease) => lease,
        Attempt::Busy(holder) => panic!("{holder} has it"),
    }
}

fn busy(attempt: Result<Attempt, AcmeError>) -> String {
    match attempt.unwrap() {
        Attempt::Busy(holder) => holder,
        Attempt::Held(_) => panic!("it was free"),
    }
}

#[test]
fn one_holds_it_and_gives_it_back() {
    let farm = Farm::new();
    let (mut a, mut b) = (farm.claim("a"), farm.claim("b"));
    let mut lease = held(a.attempt(NOW, farm.at(0)));
    assert_eq!(busy(b.attempt(NOW, farm.at(1))), "a");
    assert_eq!(busy(a.attempt(NOW, farm.at(1))), "a");
    assert!(lease.is_held(farm.at(1)).unwrap());
    drop(lease);
    let lease = held(b.attempt(NOW, farm.at(2)));
    assert_eq!(busy(a.attempt(NOW, farm.at(2))), "b");
    drop(lease);
    // The number grows, the old files go.
    for _ in 0..5 {
        drop(held(a.attempt(NOW, farm.at(3))));
    }
    assert_eq!(farm.files(), ["edge-0.6", "edge-0.7"]);
}

#[test]
fn leases_of_other_names_do_not_meet() {
    let farm = Farm::new();
    let _one = held(farm.claim("a").attempt(NOW, farm.at(0)));
    for name in ["edge", "edge-0.1", "edge-00", "account-0"] {
        let mut other = Claim::new(&farm.storage, name, "b", TERM);
        drop(held(other.attempt(NOW, farm.at(0))));
    }
    assert_eq!(busy(farm.claim("c").attempt(NOW, farm.at(0))), "a");
}

#[test]
fn a_silent_holder_is_replaced_after_a_term_that_was_watched() {
    let farm = Farm::new();
    let mut dead = held(farm.claim("dead").attempt(NOW, farm.at(0)));
    let mut claim = farm.claim("b");
    assert_eq!(busy(claim.attempt(NOW, farm.at(100))), "dead");
    assert_eq!(busy(claim.attempt(NOW, farm.at(160))), "dead");
    // The holder is alive after all, so the watch begins again.
    dead.renewed = farm.at(150);
    assert!(dead.renew(NOW, farm.at(160)).unwrap());
    assert_eq!(busy(claim.attempt(NOW, farm.at(161))), "dead");
    assert_eq!(busy(claim.attempt(NOW, farm.at(221))), "dead");
    let mut lease = held(claim.attempt(NOW, farm.at(222)));
    assert!(lease.is_held(farm.at(222)).unwrap());
    // What it does now is in vain, and takes nothing from the new holder.
    assert!(!dead.renew(NOW, farm.at(200)).unwrap());
    drop(dead);
    assert!(lease.renew(NOW, farm.at(223)).unwrap());
    assert_eq!(busy(farm.claim("c").attempt(NOW, farm.at(223))), "b");
}

#[test]
fn a_clock_that_is_wrong_takes_nothing_away() {
    let farm = Farm::new();
    let _lease = held(farm.claim("a").attempt(NOW, farm.at(0)));
    // Nine minutes ahead, and far behind.
    for now in [NOW + 60 + 540, NOW - 100_000] {
        assert_eq!(busy(farm.claim("b").attempt(now, farm.at(1))), "a");
    }
}

#[test]
fn a_lease_from_last_week_is_taken_at_once() {
    let farm = Farm::new();
    let mut dead = held(farm.claim("dead").attempt(NOW, farm.at(0)));
    dead.is_over = true;
    drop(dead);
    drop(held(farm.claim("b").attempt(NOW + 7 * 86_400, farm.at(1))));
}

#[test]
fn an_unreadable_lease_is_watched_like_any_other() {
    let farm = Farm::new();
    for text in ["", "{", "no JSON"] {
        let file = farm.storage.leases().join("edge-0.1");
        fs::write(&file, text).unwrap();
        let mut claim = farm.claim("b");
        assert_eq!(busy(claim.attempt(NOW, farm.at(0))), "a node");
        assert_eq!(busy(claim.attempt(NOW, farm.at(60))), "a node");
        drop(held(claim.attempt(NOW, farm.at(61))));
        fs::remove_file(farm.storage.leases().join("edge-0.2")).unwrap();
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn a_holder_that_was_asleep_for_a_term_does_not_go_on() {
    let farm = Farm::new();
    let mut lease = held(farm.claim("a").attempt(NOW, farm.at(0)));
    assert!(lease.is_held(farm.at(60)).unwrap());
    assert!(!lease.is_held(farm.at(61)).unwrap());
    assert!(!lease.renew(NOW, farm.at(61)).unwrap());
}

#[test]
fn an_old_view_does_not_take_a_lease_from_its_holder() {
    let farm = Farm::new();
    // The slow node saw number 1 and is about to create number 2.
    drop(held(farm.claim("a").attempt(NOW, farm.at(0))));
    let slow = farm.claim("slow");
    // Meanwhile others come and go: 2, then 3, which is held.
    drop(held(farm.claim("b").attempt(NOW, farm.at(0))));
    let _held = held(farm.claim("c").attempt(NOW, farm.at(0)));
    assert!(
        slow.create(2, NOW, farm.at(0))
            .is_ok_and(|a| matches!(a, Attempt::Busy(_)))
    );
    // Even if the old file was removed before it came to it.
    fs::remove_file(farm.storage.leases().join("edge-0.2")).unwrap();
    assert!(
        slow.create(2, NOW, farm.at(0))
            .is_ok_and(|a| matches!(a, Attempt::Busy(_)))
    );
    assert_eq!(farm.files(), ["edge-0.3"]);
    assert_eq!(busy(farm.claim("d").attempt(NOW, farm.at(0))), "c");
}

#[test]
fn of_many_threads_one_has_it() {
    let farm = Farm::new();
    for _ in 0..20 {
        let leases: Vec<Lease> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let mut claim = farm.claim(&format!("n{number}"));
                    let steady = farm.at(0);
                    scope.spawn(move || claim.attempt(NOW, steady))
                })
                .collect();
            let attempts = threads
                .into_iter()
                .map(|thread| thread.join().unwrap().unwrap());
            attempts
                .filter_map(|attempt| match attempt {
                    Attempt::Held(lease) => Some(lease),
                    Attempt::Busy(_) => None,
                })
                .collect()
        });
        assert_eq!(leases.len(), 1);
    }
    assert!(farm.files().len() <= 2);
}

#[test]
fn a_folder_that_is_gone_is_an_error() {
    let farm = Farm::new();
    fs::remove_dir_all(farm.folder.path()).unwrap();
    let error = farm.claim("a").attempt(NOW, farm.at(0)).unwrap_err();
    assert!(error.message.contains("leases"), "{error}");
}

#[test]
fn a_farm_may_have_many_certificates() {
    let farm = Farm::new();
    for number in 0..1_500 {
        fs::write(farm.storage.leases().join(format!("edge-x{number}.1")), "").unwrap();
    }
    let _lease = held(farm.claim("a").attempt(NOW, farm.at(0)));
    assert_eq!(busy(farm.claim("b").attempt(NOW, farm.at(0))), "a");
}
