use std::fs::{self, Permissions};

use super::*;

fn faults<'a>(change: impl FnOnce(&mut Asked<'a>)) -> Vec<(&'static str, Option<usize>, String)> {
    let mut asked = Asked {
        directory: "https://127.0.0.1:14000/dir",
        ca: None,
        email: Some("ops@example.test"),
        terms_agreed: true,
        domains: vec!["auto.example.test"],
        challenge: Challenge::Http01,
        // Below the folder where tests run; never made.
        storage: Path::new("nowhere/acme"),
    };
    change(&mut asked);
    match check(&asked) {
        Ok(_) => Vec::new(),
        Err(faults) => faults
            .into_iter()
            .map(|fault| (fault.word, fault.index, fault.problem))
            .collect(),
    }
}

#[test]
fn what_is_right_is_taken_and_nothing_is_created() {
    assert!(faults(|_| ()).is_empty());
    assert!(faults(|asked| asked.email = None).is_empty());
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("a/b");
    let settings = check(&Asked {
        directory: "https://ca.test/dir",
        ca: None,
        email: None,
        terms_agreed: true,
        domains: vec!["B.test", "xn--bcher-kva.test"],
        challenge: Challenge::TlsAlpn01,
        storage: &storage,
    })
    .unwrap();
    assert_eq!(settings.domains(), ["b.test", "xn--bcher-kva.test"]);
    assert_eq!(settings.challenge(), Challenge::TlsAlpn01);
    assert_eq!(settings.storage(), storage);
    assert!(!folder.path().join("a").exists());
}

#[test]
fn every_fault_is_named_at_once() {
    let found = faults(|asked| {
        asked.terms_agreed = false;
        asked.directory = "http://ca.test/dir";
        asked.ca = Some(Path::new("/nowhere/ca.pem"));
        asked.email = Some("ops");
        asked.domains = vec![
            "a.test",
            "A.test",
            "*.a.test",
            "192.0.2.1",
            "bücher.test",
            "a_b.test",
            "a.test.",
        ];
        asked.storage = Path::new("/dev/null/acme");
    });
    let words: Vec<_> = found
        .iter()
        .map(|(word, index, _)| (*word, *index))
        .collect();
    assert_eq!(
        words,
        [
            ("terms_agreed", None),
            ("directory", None),
            ("ca", None),
            ("email", None),
            ("domains", Some(1)),
            ("domains", Some(2)),
            ("domains", Some(3)),
            ("domains", Some(4)),
            ("domains", Some(5)),
            ("domains", Some(6)),
            ("storage", None),
        ]
    );
}

#[test]
fn names_that_no_connection_proves() {
    let long = "a".repeat(64);
    for name in [
        "", ".", "a..test", "-a.test", "a-.test", "a b.test", "1.2.3.4", "[::1]", "a.1", &long,
        "a/b", "*",
    ] {
        let found = faults(|asked| asked.domains = vec![name]);
        assert_eq!(found.len(), 1, "{name:?}: {found:?}");
        assert_eq!((found[0].0, found[0].1), ("domains", Some(0)));
    }
    assert_eq!(faults(|asked| asked.domains.clear()).len(), 1);
    let many: Vec<String> = (0..101).map(|n| format!("n{n}.test")).collect();
    let found = faults(|asked| asked.domains = many.iter().map(String::as_str).collect());
    assert_eq!(found.len(), 1);
    assert!(found[0].2.starts_with("101 names"), "{found:?}");
    assert!(
        faults(|asked| asked.domains = many.iter().take(100).map(String::as_str).collect())
            .is_empty()
    );
}

#[test]
fn a_directory_is_an_https_url_with_a_host() {
    for text in [
        "",
        "dir",
        "/dir",
        "https://",
        "ftp://a/",
        "https://me@a.test/dir",
        "https://a b/",
    ] {
        let found = faults(|asked| asked.directory = text);
        assert_eq!(found.len(), 1, "{text:?}");
        assert_eq!(found[0].0, "directory");
    }
}

#[test]
fn an_email_is_one_address() {
    for text in [
        "a",
        "@a.test",
        "a@",
        "a@b@c.test",
        "a b@c.test",
        "a,b@c.test",
        "a@c.test?cc=x",
        "a@192.0.2.1",
    ] {
        assert_eq!(
            faults(|asked| asked.email = Some(text)).len(),
            1,
            "{text:?}"
        );
    }
}

#[test]
fn a_ca_file_holds_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, "no PEM").unwrap();
    let found = faults(|asked| asked.ca = Some(&file));
    assert!(
        found[0]
            .2
            .ends_with("holds no readable certificate in PEM form"),
        "{found:?}"
    );
}

#[test]
fn storage_is_a_folder_that_others_cannot_write_to() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let found = faults(|asked| asked.storage = folder.path());
    assert!(
        found[0].2.starts_with("everybody may write to"),
        "{found:?}"
    );
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    assert!(faults(|asked| asked.storage = folder.path()).is_empty());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let found = faults(|asked| asked.storage = &file);
    assert!(found[0].2.ends_with("is no folder"), "{found:?}");
}
