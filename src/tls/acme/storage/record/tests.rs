use boring::nid::Nid;

use super::*;
use crate::tls::certificate::tests::{Made, ec, make};

const NOW: i64 = 1_700_000_000;

struct Shelf {
    _folder: tempfile::TempDir,
    storage: Storage,
}

impl Shelf {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(folder.path()).unwrap();
        Self {
            _folder: folder,
            storage,
        }
    }

    fn place(&self, domains: &[&str]) -> Place {
        let domains: Vec<String> = domains.iter().map(|name| (*name).to_owned()).collect();
        Place::new(&self.storage, "edge", "https://ca.test/dir", &domains)
    }
}

fn issued(domains: &[&str], days: u32) -> (Vec<u8>, Vec<u8>) {
    let Made { certificate, key } = make(domains, ec(Nid::X9_62_PRIME256V1), days, None);
    (
        certificate.to_pem().unwrap(),
        key.private_key_to_pem_pkcs8().unwrap(),
    )
}

fn replace(place: &Place, domains: &[&str], days: u32, now: i64) -> Result<Stored, AcmeError> {
    let (chain, key) = issued(domains, days);
    place.replace(&chain, &key, now, |stored| Record {
        version: Some(stored.version.clone()),
        not_after: Some(stored.life.not_after),
        ..Record::default()
    })
}

#[test]
fn what_was_replaced_is_found_again() {
    let shelf = Shelf::new();
    let place = shelf.place(&["a.test", "b.test"]);
    assert_eq!(place.record().unwrap().version, None);
    let stored = replace(&place, &["b.test", "a.test"], 10, NOW).unwrap();
    // The order of names does not matter, nor does it to the place.
    let same = shelf.place(&["b.test", "a.test"]);
    assert_eq!(same.id(), place.id());
    let record = same.record().unwrap();
    assert_eq!(record.version.as_deref(), Some(stored.version.as_str()));
    let opened = same.open(&stored.version).unwrap();
    assert_eq!(
        opened.certificate.fingerprint(),
        stored.certificate.fingerprint()
    );
    assert_eq!(opened.life.not_before, 0);
    assert_eq!(opened.life.not_after, opened.certificate.not_after());
}

#[test]
fn what_cannot_be_served_does_not_count() {
    let shelf = Shelf::new();
    let place = shelf.place(&["a.test", "b.test"]);
    let first = replace(&place, &["a.test", "b.test"], 10, NOW).unwrap();
    let error = replace(&place, &["a.test"], 10, NOW).unwrap_err();
    assert_eq!(error.stage, Stage::Certificate);
    assert!(error.message.ends_with("is not for b.test"), "{error}");
    let (chain, _) = issued(&["a.test", "b.test"], 10);
    let (_, key) = issued(&["a.test", "b.test"], 10);
    let never = |_: &Stored| panic!("it was taken");
    let error = place.replace(&chain, &key, NOW, never).unwrap_err();
    assert!(
        error.message.contains("does not fit its certificate"),
        "{error}"
    );
    assert_eq!(place.record().unwrap().version, Some(first.version));
    assert_eq!(names(&place.folder).unwrap().len(), 2);
}

#[test]
fn two_orders_are_kept() {
    let shelf = Shelf::new();
    let place = shelf.place(&["a.test"]);
    let mut versions = Vec::new();
    for turn in 0..4 {
        versions.push(
            replace(&place, &["a.test"], 10, NOW + turn)
                .unwrap()
                .version,
        );
    }
    let mut left = names(&place.folder).unwrap();
    left.sort();
    assert_eq!(left, [&versions[2], &versions[3], "record.json"]);
}

#[test]
fn a_record_that_cannot_be_understood_is_none() {
    let shelf = Shelf::new();
    let place = shelf.place(&["a.test"]);
    replace(&place, &["a.test"], 10, NOW).unwrap();
    for text in [
        "",
        "{",
        r#"{"domains": [], "version": "../../secret"}"#,
        r#"{"domains": [], "version": ""}"#,
    ] {
        fs::write(place.folder.join("record.json"), text).unwrap();
        let record = place.record().unwrap();
        assert_eq!((record.version, record.failures), (None, 0), "{text}");
    }
}

#[test]
fn a_neighbour_with_a_name_in_common_is_found_until_it_runs_out() {
    let shelf = Shelf::new();
    let now = i64::from(u32::MAX / 2);
    replace(&shelf.place(&["a.test"]), &["a.test"], 10, NOW).unwrap();
    let longest = replace(
        &shelf.place(&["a.test", "b.test"]),
        &["a.test", "b.test"],
        20,
        NOW,
    )
    .unwrap();
    replace(&shelf.place(&["z.test"]), &["z.test"], 30, NOW).unwrap();
    let place = shelf.place(&["a.test", "c.test"]);
    let found = place.neighbour(NOW).unwrap();
    assert_eq!(
        found.certificate.fingerprint(),
        longest.certificate.fingerprint()
    );
    assert!(place.neighbour(now.max(longest.life.not_after)).is_none());
    assert!(shelf.place(&["d.test"]).neighbour(NOW).is_none());
    // A [[tls]] with a longer name is another one.
    let edge2 = Place::new(
        &shelf.storage,
        "edge-2",
        "https://ca.test/dir",
        &["a.test".to_owned()],
    );
    assert!(edge2.neighbour(NOW).is_none());
    let edge = Place::new(
        &shelf.storage,
        "ed",
        "https://ca.test/dir",
        &["a.test".to_owned()],
    );
    assert!(edge.neighbour(NOW).is_none());
}

#[test]
fn neighbours_that_ran_out_long_ago_are_removed() {
    let shelf = Shelf::new();
    let old = shelf.place(&["old.test"]);
    let end = replace(&old, &["old.test"], 10, NOW)
        .unwrap()
        .life
        .not_after;
    let place = shelf.place(&["a.test"]);
    replace(&place, &["a.test"], 10, end + FORGET_S).unwrap();
    assert!(old.folder.exists());
    replace(&place, &["a.test"], 10, end + FORGET_S + 1).unwrap();
    assert!(!old.folder.exists());
    assert!(place.folder.exists());
}

#[test]
fn a_name_that_is_no_file_name_has_a_place_all_the_same() {
    let shelf = Shelf::new();
    for name in ["", "../edge", "a/b", "e\u{301}dge", &"x".repeat(65)] {
        let place = Place::new(
            &shelf.storage,
            name,
            "https://ca.test/dir",
            &["a.test".to_owned()],
        );
        assert_eq!(
            place.folder.parent(),
            Some(shelf.storage.certificates().as_path())
        );
        replace(&place, &["a.test"], 10, NOW).unwrap();
    }
}
