use std::time::Duration;

use std::fs;
use std::os::unix::fs::symlink;

use boring::nid::Nid;
use tempfile::TempDir;

use super::*;
use crate::tls::certificate::tests::{Made, ec, make};

fn made(days: u32) -> Made {
    make(&["a.test"], ec(Nid::X9_62_PRIME256V1), days, None)
}

fn pair(folder: &Path) -> Pair {
    Pair {
        certificate: folder.join("a.pem"),
        key: folder.join("a.key"),
    }
}

fn write(pair: &Pair, made: &Made) {
    fs::write(&pair.certificate, made.certificate.to_pem().unwrap()).unwrap();
    fs::write(&pair.key, made.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
}

fn now() -> SystemTime {
    SystemTime::now()
}

#[test]
fn what_does_not_change_is_read_once() {
    let folder = TempDir::new().unwrap();
    let (all, pair) = (Certificates::default(), pair(folder.path()));
    write(&pair, &made(10));
    let later = now() + Duration::from_secs(60);
    let first = all.open(&pair, later).unwrap();
    assert!(Arc::ptr_eq(&first, &all.open(&pair, later).unwrap()));
    // The same bytes under a new stamp are the same certificate.
    let bytes = fs::read(&pair.certificate).unwrap();
    fs::write(&pair.certificate, bytes).unwrap();
    assert!(Arc::ptr_eq(&first, &all.open(&pair, later).unwrap()));
    write(&pair, &made(20));
    let second = all.open(&pair, later).unwrap();
    assert_ne!(first.fingerprint(), second.fingerprint());
    drop((first, second));
    all.purge();
    assert!(all.known(&pair).is_none());
}

#[test]
fn renames_and_swapped_links_are_seen() {
    let folder = TempDir::new().unwrap();
    let all = Certificates::default();
    for (version, days) in [("one", 10), ("two", 20)] {
        let place = folder.path().join(version);
        fs::create_dir(&place).unwrap();
        write(&pair(&place), &made(days));
    }
    let link = folder.path().join("live");
    symlink("one", &link).unwrap();
    let live = pair(&link);
    let first = all.open(&live, now()).unwrap();
    symlink("two", folder.path().join("next")).unwrap();
    fs::rename(folder.path().join("next"), &link).unwrap();
    let second = all.open(&live, now()).unwrap();
    assert_ne!(first.fingerprint(), second.fingerprint());
    fs::rename(
        folder.path().join("one/a.pem"),
        folder.path().join("two/a.pem"),
    )
    .unwrap();
    fs::rename(
        folder.path().join("one/a.key"),
        folder.path().join("two/a.key"),
    )
    .unwrap();
    let third = all.open(&live, now()).unwrap();
    assert_eq!(first.fingerprint(), third.fingerprint());
}

#[test]
fn a_half_written_file_leaves_the_old_one() {
    let folder = TempDir::new().unwrap();
    let (all, pair) = (Certificates::default(), pair(folder.path()));
    write(&pair, &made(10));
    let first = all.open(&pair, now()).unwrap();
    let next = made(20);
    let pem = next.certificate.to_pem().unwrap();
    for length in [0, 1, pem.len() / 2, pem.len() - 40] {
        fs::write(&pair.certificate, &pem[..length]).unwrap();
        let error = all.open(&pair, now()).unwrap_err();
        assert_eq!(error.problem, Problem::Missing("certificate"), "{length}");
    }
    // The certificate is there, its key still the old one's.
    fs::write(&pair.certificate, &pem).unwrap();
    let error = all.open(&pair, now()).unwrap_err();
    assert_eq!(error.problem, Problem::KeyMismatch);
    assert!(Arc::ptr_eq(&first, &all.known(&pair).unwrap()));
    write(&pair, &next);
    let second = all.open(&pair, now()).unwrap();
    assert_ne!(first.fingerprint(), second.fingerprint());
}

#[test]
fn an_expired_one_does_not_replace_a_valid_one() {
    let folder = TempDir::new().unwrap();
    let (all, pair) = (Certificates::default(), pair(folder.path()));
    let in_days = |days: u64| now() + Duration::from_secs(days * 86_400);
    write(&pair, &made(30));
    let valid = all.open(&pair, in_days(20)).unwrap();
    write(&pair, &made(10));
    let error = all.open(&pair, in_days(20)).unwrap_err();
    assert_eq!(error.problem, Problem::Expired);
    assert!(Arc::ptr_eq(&valid, &all.known(&pair).unwrap()));
    // Where nothing better is known, or that has expired as well, it is taken.
    assert!(all.open(&pair, in_days(40)).is_ok());
    assert!(Certificates::default().open(&pair, in_days(20)).is_ok());
}

#[test]
fn a_problem_is_told_once_and_only_when_it_stays() {
    let mut problems = Problems::default();
    let file = Path::new("a.pem");
    assert!(!problems.seen(file, "half".to_owned()));
    assert!(!problems.seen(file, "other half".to_owned()));
    assert_eq!(problems.told().count(), 0);
    assert!(problems.seen(file, "other half".to_owned()));
    assert!(!problems.seen(file, "other half".to_owned()));
    assert_eq!(problems.told().next(), Some((file, "other half")));
    assert!(problems.cleared(file));
    assert!(!problems.cleared(file));
}
