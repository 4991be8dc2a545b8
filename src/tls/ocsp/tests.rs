use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::tls::openssl::{AUTHORITY, Authority, Issued, openssl};

const LEAF: &str = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:a.test\n";
const RESPONDER: &str = "keyUsage=digitalSignature\nextendedKeyUsage=OCSPSigning\n";
const WEEK: &[&str] = &["-ndays", "7"];
const DAY_S: i64 = 86_400;

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs() as i64
}

/// What is read of an answer about `leaf`, `days` from now.
fn read(root: &Authority, leaf: &Issued, der: &[u8], days: i64) -> Result<Staple, OcspError> {
    let (leaf, issuer) = (leaf.certificate(), root.own.certificate());
    Staple::parse(der, &leaf, &issuer, now_s() + days * DAY_S)
}

#[test]
fn the_issuer_or_its_responder_signs() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let leaf = root.issue("leaf", LEAF, &[]);
    let responder = root.issue("responder", RESPONDER, &[]);
    let key_id = [WEEK, &["-resp_key_id"]].concat();
    let sha256 = [WEEK, &["-rmd", "sha384"]].concat();
    for (signer, how) in [
        (&root.own, WEEK),
        (&responder, WEEK),
        (&responder, &key_id),
        (&responder, &sha256),
    ] {
        let der = root.answer(&leaf, signer, how);
        let staple = read(&root, &leaf, &der, 0).unwrap();
        assert_eq!(staple.der(), der);
        let lasts_s = staple.next_update_s() - staple.this_update_s();
        assert_eq!(lasts_s, 7 * DAY_S);
        assert!(staple.is_fresh(now_s()) && !staple.is_fresh(staple.next_update_s()));
    }
    // The responder's certificate must come along, be for answering, and be of now.
    let alone = [WEEK, &["-resp_no_certs"]].concat();
    let server = root.issue("server", LEAF, &[]);
    let over = [
        "-startdate",
        "20200101000000Z",
        "-enddate",
        "20210101000000Z",
    ];
    let over = root.issue("over", RESPONDER, &over);
    let old = root.issue("old", RESPONDER, &["-md", "sha1"]);
    let stranger = Authority::root(folder.path(), "stranger");
    let foreign = stranger.issue("foreign", RESPONDER, &[]);
    for (signer, how) in [
        (&responder, &alone[..]),
        (&server, WEEK),
        (&over, WEEK),
        (&old, WEEK),
        (&foreign, WEEK),
        (&stranger.own, WEEK),
    ] {
        let der = root.answer(&leaf, signer, how);
        let name = &signer.name;
        assert_eq!(
            read(&root, &leaf, &der, 0),
            Err(OcspError::Signature),
            "{name}"
        );
    }
    let weak = root.answer(&leaf, &root.own, &[WEEK, &["-rmd", "sha1"]].concat());
    assert_eq!(read(&root, &leaf, &weak, 0), Err(OcspError::Algorithm));
}

#[test]
fn only_good_news_of_now_about_this_certificate_is_stapled() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let [leaf, other, gone] = ["leaf", "other", "gone"].map(|name| root.issue(name, LEAF, &[]));
    root.revoke(&gone);
    let alone = [WEEK, &["-resp_no_certs"]].concat();
    let mut bent = root.answer(&leaf, &root.own, &alone);
    assert!(read(&root, &leaf, &bent, 0).is_ok());
    let good = root.answer(&leaf, &root.own, WEEK);
    assert!(read(&root, &leaf, &good, 6).is_ok());
    assert_eq!(read(&root, &leaf, &good, 7), Err(OcspError::Expired));
    assert_eq!(read(&root, &leaf, &good, -1), Err(OcspError::NotYetValid));
    assert_eq!(
        read(&root, &other, &good, 0),
        Err(OcspError::OtherCertificate)
    );
    let bad = root.answer(&gone, &root.own, WEEK);
    assert_eq!(read(&root, &gone, &bad, 0), Err(OcspError::Revoked));
    let endless = root.answer(&leaf, &root.own, &[]);
    assert_eq!(read(&root, &leaf, &endless, 0), Err(OcspError::Endless));
    // A certificate that the authority does not know: its index is another one's.
    std::fs::write(root.own.file("pem").with_file_name("index.txt"), "").unwrap();
    let unknown = root.answer(&leaf, &root.own, WEEK);
    assert_eq!(read(&root, &leaf, &unknown, 0), Err(OcspError::Unknown));
    // An authority with the same name and another key.
    let elsewhere = tempfile::tempdir().unwrap();
    let twin = Authority::root(elsewhere.path(), "root");
    assert_eq!(
        read(&twin, &leaf, &good, 0),
        Err(OcspError::OtherCertificate)
    );
    // No byte of it may change, but for certificates that the issuer's own answer does not need.
    for place in 0..bent.len() {
        bent[place] ^= 1;
        let found = read(&root, &leaf, &bent, 0);
        assert!(found.is_err(), "{place}: {found:?}");
        bent[place] ^= 1;
    }
    // tryLater, as RFC 6960 section 4.2.1 writes it.
    let later = [0x30, 0x03, 0x0a, 0x01, 0x03];
    assert_eq!(read(&root, &leaf, &later, 0), Err(OcspError::Responder(3)));
    assert_eq!(read(&root, &leaf, b"<html>", 0), Err(OcspError::Malformed));
}

#[test]
fn files_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let leaf = root.issue("leaf", LEAF, &[]);
    let file = folder.path().join("response");
    let open = || Staple::open(&file, &leaf.certificate(), &root.own.certificate(), now_s());
    assert!(matches!(open(), Err(OcspError::Unreadable(_))));
    std::fs::write(&file, root.answer(&leaf, &root.own, WEEK)).unwrap();
    assert!(open().is_ok());
    std::fs::write(&file, vec![0; (64 << 10) + 1]).unwrap();
    assert_eq!(open(), Err(OcspError::TooLarge));
}

#[test]
fn a_request_is_what_responders_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let leaf = root.issue("leaf", LEAF, &[]);
    let ours = request(&leaf.certificate(), &root.own.certificate()).unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [issuer, about] = [&root.own, &leaf].map(|one| one.file("pem"));
    let (issuer, about) = (issuer.to_str().unwrap(), about.to_str().unwrap());
    let theirs = [
        "ocsp",
        "-issuer",
        issuer,
        "-cert",
        about,
        "-no_nonce",
        "-reqout",
    ];
    openssl(folder.path(), &[&theirs[..], &[&file("theirs")]].concat());
    assert_eq!(ours, std::fs::read(file("theirs")).unwrap());
    // And a responder answers it.
    std::fs::write(file("ours"), &ours).unwrap();
    let (key, index) = (
        root.own.file("key"),
        root.own.file("pem").with_file_name("index.txt"),
    );
    let (key, index) = (key.to_str().unwrap(), index.to_str().unwrap());
    let answer = [
        "ocsp",
        "-reqin",
        &file("ours"),
        "-respout",
        &file("response"),
        "-index",
        index,
    ];
    let signer = [
        "-rsigner",
        issuer,
        "-rkey",
        key,
        "-CA",
        issuer,
        "-ndays",
        "7",
        "-noverify",
    ];
    openssl(folder.path(), &[&answer[..], &signer].concat());
    let der = std::fs::read(file("response")).unwrap();
    assert!(read(&root, &leaf, &der, 0).is_ok());
    // One below: the issuer's name and key are those of the intermediate.
    let middle = root.below("middle", AUTHORITY);
    let below = middle.issue("below", LEAF, &[]);
    assert!(
        read(
            &middle,
            &below,
            &middle.answer(&below, &middle.own, WEEK),
            0
        )
        .is_ok()
    );
}

#[test]
fn the_next_one_is_fetched_about_half_way() {
    let staple = Staple {
        der: Vec::new(),
        this_update_s: 1_000,
        next_update_s: 2_000,
    };
    assert_eq!(staple.next_fetch_s(1_100, 0), 1_400);
    assert_eq!(staple.next_fetch_s(1_100, u32::MAX / 2), 1_499);
    assert_eq!(staple.next_fetch_s(1_100, u32::MAX), 1_600);
    assert_eq!(staple.next_fetch_s(1_800, 0), 1_800);
    let strange = Staple {
        this_update_s: i64::MIN,
        next_update_s: i64::MAX,
        ..staple
    };
    assert!(strange.next_fetch_s(5, u32::MAX) >= 5);
    assert!(!strange.is_fresh(i64::MAX) && strange.is_fresh(0));
}

#[test]
fn it_is_shown_to_clients_that_ask_while_it_is_fresh() {
    use crate::tls::certificate::Certificate;
    use crate::tls::context::tests::{Client, serve_one};

    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let leaf = root.issue("leaf", LEAF, &[]);
    let chain = [leaf.pem(), root.own.pem()].concat();
    let key = std::fs::read(leaf.file("key")).unwrap();
    let file = Path::new("a.pem");
    let certificate = Arc::new(Certificate::parse(file, &chain, file, &key).unwrap());
    let issuer = certificate.issuer().unwrap();
    let der = root.answer(&leaf, &root.own, WEEK);
    let staple = Staple::parse(&der, certificate.leaf(), issuer, now_s()).unwrap();
    let shown = |asks: bool| -> Option<Vec<u8>> {
        let met: Client = serve_one(&certificate, asks);
        met.ssl().ocsp_status().map(<[u8]>::to_vec)
    };
    assert_eq!(shown(true), None);
    certificate.set_staple(Some(Arc::new(staple.clone())));
    assert_eq!(shown(true), Some(der));
    assert_eq!(shown(false), None);
    let over = Staple {
        next_update_s: now_s(),
        ..staple
    };
    certificate.set_staple(Some(Arc::new(over)));
    assert_eq!(shown(true), None);
    certificate.set_staple(None);
    assert_eq!(shown(true), None);
}

/// A response without an error, made once: what the mutations begin with.
fn seed() -> &'static (Vec<u8>, Vec<u8>, Vec<u8>) {
    static SEED: std::sync::LazyLock<(Vec<u8>, Vec<u8>, Vec<u8>)> =
        std::sync::LazyLock::new(|| {
            let folder = tempfile::tempdir().unwrap();
            let root = Authority::root(folder.path(), "root");
            let leaf = root.issue("leaf", LEAF, &[]);
            let responder = root.issue("responder", RESPONDER, &[]);
            let der = root.answer(&leaf, &responder, WEEK);
            let own = root.own.certificate().to_der().unwrap();
            (der, leaf.certificate().to_der().unwrap(), own)
        });
    &SEED
}

proptest! {
    #[test]
    fn no_bytes_bring_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(!well_formed(&bytes) || bytes.len() > 100);
    }

    #[test]
    fn no_mutation_is_taken(
        bytes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..5),
        cut in any::<proptest::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let (der, leaf, issuer) = seed();
        let mut bent = der.clone();
        for (place, byte) in bytes {
            let place = place.index(bent.len());
            bent[place] = byte;
        }
        if is_cut {
            bent.truncate(cut.index(bent.len()));
        }
        let leaf = boring::x509::X509::from_der(leaf).unwrap();
        let issuer = boring::x509::X509::from_der(issuer).unwrap();
        let found = Staple::parse(&bent, &leaf, &issuer, now_s());
        prop_assert_eq!(found.is_ok(), bent == *der);
    }
}
