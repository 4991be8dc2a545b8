//! The chain, the lists and the names; handshakes stand in `handshake`.

use std::path::Path;

use boring::stack::Stack;
use boring::x509::X509;

use super::*;
use crate::tls::crl::CrlError;
use crate::tls::identity::SanRule;
use crate::tls::openssl::{AUTHORITY, Authority, CLIENT, Issued};

mod handshake;

const YEAR_S: i64 = 365 * 86_400;

fn believe(
    ca: &[&Issued],
    lists: Option<&[Vec<u8>]>,
    rules: &[&str],
) -> Result<ClientAuthority, ClientsError> {
    let ca: Vec<u8> = ca.iter().flat_map(|one| one.pem()).collect();
    let lists = lists.map(<[Vec<u8>]>::concat);
    let rules = rules.iter().map(|rule| SanRule::parse(rule).unwrap());
    let lists = lists.as_deref().map(|text| (Path::new("a.crl"), text));
    ClientAuthority::parse((Path::new("ca.pem"), &ca), lists, rules.collect())
}

fn verify_at(
    authority: &ClientAuthority,
    leaf: &Issued,
    sent: &[&Issued],
    now_s: i64,
) -> Result<Identity, ClientRefusal> {
    let mut others: Stack<X509> = Stack::new().unwrap();
    for one in sent {
        others.push(one.certificate()).unwrap();
    }
    authority.verify(&leaf.certificate(), &others, now_s)
}

fn verify(
    authority: &ClientAuthority,
    leaf: &Issued,
    sent: &[&Issued],
) -> Result<Identity, ClientRefusal> {
    verify_at(authority, leaf, sent, now_s())
}

fn problem(error: Result<ClientAuthority, ClientsError>) -> (String, ClientsProblem) {
    let error = error.unwrap_err();
    (error.file.display().to_string(), error.problem)
}

#[test]
fn a_chain_ends_at_an_authority_of_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let middle = root.below("middle", AUTHORITY);
    let leaf = middle.client("a.partner.test");
    let stranger = Authority::root(folder.path(), "stranger").client("b.partner.test");
    let only_root = believe(&[&root.own], None, &[]).unwrap();
    let found = verify(&only_root, &leaf, &[&middle.own]).unwrap();
    assert_eq!(found.sans, ["a.partner.test"]);
    // The chain that was verified is forwarded, without the root and whatever else the client sent.
    let junk = [&stranger, &middle.own, &root.own];
    assert_eq!(verify(&only_root, &leaf, &junk).unwrap(), found);
    assert_eq!(found.client_cert_chain().unwrap().matches(':').count(), 2);
    assert_eq!(
        verify(&only_root, &leaf, &[]),
        Err(ClientRefusal::UnknownCa)
    );
    assert_eq!(
        verify(&only_root, &stranger, &[]),
        Err(ClientRefusal::UnknownCa)
    );
    // With its intermediate in the bundle a client need not send it, and the root need not be there.
    for bundle in [&[&root.own, &middle.own][..], &[&middle.own]] {
        let authority = believe(bundle, None, &[]).unwrap();
        assert!(verify(&authority, &leaf, &[]).is_ok());
        assert_eq!(authority.counts(), (bundle.len(), 0));
    }
    // The same name with another key is somebody else.
    let other = tempfile::tempdir().unwrap();
    let twin = Authority::root(other.path(), "root");
    let twin = believe(&[&twin.own], None, &[]).unwrap();
    assert!(verify(&twin, &leaf, &[&middle.own]).is_err());
}

#[test]
fn times_purposes_and_names_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let authority = believe(&[&root.own], None, &["*.partner.test", "spiffe://farm/*"]).unwrap();
    let leaf = root.client("a.partner.test");
    assert!(verify(&authority, &leaf, &[]).is_ok());
    let at = |years: i64| verify_at(&authority, &leaf, &[], now_s() + years * YEAR_S);
    assert_eq!(at(1), Err(ClientRefusal::Expired));
    assert_eq!(at(-1), Err(ClientRefusal::NotYetValid));
    // An authority that is over is believed no more than others.
    let long = format!("{CLIENT}subjectAltName=DNS:a.partner.test\n");
    let long = root.issue("long", &long, &["-enddate", "20990101000000Z"]);
    let later = now_s() + 11 * YEAR_S;
    assert_eq!(
        verify_at(&authority, &long, &[], later),
        Err(ClientRefusal::Expired)
    );
    let issue = |name: &str, extensions: &str| {
        let leaf = root.issue(name, extensions, &[]);
        verify(&authority, &leaf, &[]).map(|found| found.sans)
    };
    let spiffe = "subjectAltName=URI:spiffe://farm/api\n";
    assert_eq!(
        issue("spiffe", spiffe),
        Ok(vec!["spiffe://farm/api".to_owned()])
    );
    let other = "subjectAltName=DNS:a.other.test\n";
    assert_eq!(issue("other", other), Err(ClientRefusal::Name));
    assert_eq!(issue("nameless", CLIENT), Err(ClientRefusal::Name));
    let named = "subjectAltName=DNS:a.partner.test\n";
    for (name, usage, fits) in [
        ("server", "extendedKeyUsage=serverAuth\n", false),
        ("any", "extendedKeyUsage=anyExtendedKeyUsage\n", true),
        ("both", "extendedKeyUsage=serverAuth,clientAuth\n", true),
        ("encipher", "keyUsage=keyEncipherment\n", false),
        ("agree", "keyUsage=keyAgreement\n", true),
    ] {
        let found = issue(name, &format!("{usage}{named}"));
        assert_eq!(
            found.err(),
            (!fits).then_some(ClientRefusal::Purpose),
            "{name}"
        );
    }
    // A line end, a zero and a space in a name: it would stand in header fields. (DER of a GeneralNames with one URI.)
    for (odd, fits) in [
        ("0d0a", false),
        ("0020", false),
        ("2061", false),
        ("6161", true),
    ] {
        let uri = format!(
            "subjectAltName=DER:30128610737069666665{}2f{odd}",
            "3a2f2f6661726d"
        );
        let name = format!("odd{odd}");
        let found = issue(&name, &format!("{CLIENT}{uri}\n"));
        assert_eq!(found.err(), (!fits).then_some(ClientRefusal::Name), "{odd}");
    }
    let odd = format!("{CLIENT}{named}1.2.3.4=critical,DER:0500\n");
    assert_eq!(issue("odd", &odd), Err(ClientRefusal::Bad));
    let old = root.issue("old", &format!("{CLIENT}{named}"), &["-md", "sha1"]);
    assert_eq!(verify(&authority, &old, &[]), Err(ClientRefusal::Bad));
}

#[test]
fn authorities_are_held_to_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let narrow = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=keyCertSign\n";
    let narrow = root.below("narrow", narrow);
    let below = narrow.below("below", AUTHORITY);
    let too_deep = below.client("deep.partner.test");
    let servers = format!("{AUTHORITY}extendedKeyUsage=serverAuth\n");
    let servers = root.below("servers", &servers);
    let not_for_clients = servers.client("wrong.partner.test");
    let fake = root.client("fake.partner.test");
    // Both where the limit stands in a certificate that was sent, and in one that is believed for itself.
    for bundle in [&[&root.own][..], &[&narrow.own], &[&root.own, &narrow.own]] {
        let authority = believe(bundle, None, &[]).unwrap();
        let sent = [&below.own, &narrow.own];
        assert_eq!(
            verify(&authority, &too_deep, &sent),
            Err(ClientRefusal::Bad)
        );
        assert!(verify(&authority, &narrow.client("near"), &[&narrow.own]).is_ok());
    }
    let authority = believe(&[&root.own], None, &[]).unwrap();
    let sent = [&servers.own];
    assert_eq!(
        verify(&authority, &not_for_clients, &sent),
        Err(ClientRefusal::Purpose)
    );
    let error = problem(believe(&[&root.own, &fake], None, &[]));
    let subject = "CN=fake.partner.test".to_owned();
    let expected = ClientsProblem::NotAnAuthority(2, subject);
    assert_eq!(error, ("ca.pem".to_owned(), expected));
}

#[test]
fn lists_revoke_and_every_issuer_needs_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let (middle, lost) = (
        root.below("middle", AUTHORITY),
        root.below("lost", AUTHORITY),
    );
    let (good, bad) = (middle.client("good.test"), middle.client("bad.test"));
    let of_lost = lost.client("lost.test");
    let bundle = [&root.own, &middle.own, &lost.own];
    middle.revoke(&bad);
    root.revoke(&lost.own);
    let lists = [
        root.list(&[]),
        middle.list(&["-crlexts", "v2"]),
        lost.list(&[]),
    ];
    let authority = believe(&bundle, Some(&lists), &[]).unwrap();
    assert_eq!(authority.counts(), (3, 2));
    assert!(verify(&authority, &good, &[]).is_ok());
    assert_eq!(verify(&authority, &bad, &[]), Err(ClientRefusal::Revoked));
    assert_eq!(
        verify(&authority, &of_lost, &[]),
        Err(ClientRefusal::Revoked)
    );
    assert!(verify(&authority, &root.client("direct.test"), &[]).is_ok());
    for (missing, at) in [("middle", 1), ("root", 0)] {
        let mut some = lists.to_vec();
        some.remove(at);
        let authority = believe(&bundle, Some(&some), &[]).unwrap();
        assert_eq!(
            verify(&authority, &good, &[]),
            Err(ClientRefusal::NoCrl),
            "{missing}"
        );
    }
    // A believed intermediate without its root: nobody above it can revoke it.
    let authority = believe(&[&middle.own], Some(&lists[1..2]), &[]).unwrap();
    assert!(verify(&authority, &good, &[]).is_ok());
    // Over: what is revoked stays so, the rest is refused for another reason.
    let authority = believe(&bundle, Some(&lists), &[]).unwrap();
    let end_s = authority.lists_end_s().unwrap();
    assert!((29 * 86_400..=30 * 86_400).contains(&(end_s - now_s())));
    assert_eq!((authority.stale(end_s - 1), authority.stale(end_s)), (0, 3));
    let root_only = root.issue("long.root", CLIENT, &["-days", "60"]);
    assert!(verify_at(&authority, &root_only, &[], end_s - 1).is_ok());
    assert_eq!(
        verify_at(&authority, &root_only, &[], end_s),
        Err(ClientRefusal::StaleCrl)
    );
    root.revoke(&root_only);
    let lists = [root.list(&[])];
    let authority = believe(&[&root.own], Some(&lists), &[]).unwrap();
    assert_eq!(
        verify_at(&authority, &root_only, &[], end_s + 9),
        Err(ClientRefusal::Revoked)
    );
}

#[test]
fn of_two_lists_the_newer_counts_and_tomorrows_does_not_yet() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let leaf = root.client("a.test");
    let old = root.list(&["-crl_lastupdate", "20240101000000Z", "-crldays", "9999"]);
    root.revoke(&leaf);
    let new = root.list(&[]);
    for lists in [[old.clone(), new.clone()], [new.clone(), old.clone()]] {
        let authority = believe(&[&root.own], Some(&lists), &[]).unwrap();
        assert_eq!(verify(&authority, &leaf, &[]), Err(ClientRefusal::Revoked));
    }
    let authority = believe(&[&root.own], Some(&[old]), &[]).unwrap();
    assert!(verify(&authority, &leaf, &[]).is_ok());
    let future = root.list(&["-crl_lastupdate", "20700101000000Z", "-crldays", "9999"]);
    let other = root.client("b.test");
    let authority = believe(&[&root.own], Some(&[future]), &[]).unwrap();
    assert_eq!(
        verify(&authority, &other, &[]),
        Err(ClientRefusal::StaleCrl)
    );
}

#[test]
fn lists_that_do_not_say_everything_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let stranger = Authority::root(folder.path(), "stranger");
    let name = || "CN=root".to_owned();
    let open = |list: Vec<u8>| {
        let (file, problem) = problem(believe(&[&root.own], Some(&[list]), &[]));
        assert_eq!(file, "a.crl");
        match problem {
            ClientsProblem::Crl(error) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        open(root.list(&["-crlexts", "delta"])),
        CrlError::Delta(name())
    );
    assert_eq!(
        open(root.list(&["-crlexts", "part"])),
        CrlError::Partial(name())
    );
    let odd = CrlError::Critical(name(), "1.2.3.4".to_owned());
    assert_eq!(open(root.list(&["-crlexts", "odd"])), odd);
    assert_eq!(
        open(root.list(&["-md", "sha1"])),
        CrlError::Algorithm(name())
    );
    let unknown = CrlError::UnknownIssuer("CN=stranger".to_owned());
    assert_eq!(open(stranger.list(&[])), unknown);
    // Its name, not its key.
    let other = tempfile::tempdir().unwrap();
    let twin = Authority::root(other.path(), "root");
    assert_eq!(open(twin.list(&[])), CrlError::Signature(name()));
    assert_eq!(open(b"nothing".to_vec()), CrlError::Missing);
    let broken = b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
    assert_eq!(open(broken.to_vec()), CrlError::Malformed(1));
    // May it sign lists?
    let silent = root.below("silent", "basicConstraints=CA:TRUE\nkeyUsage=keyCertSign\n");
    let list = silent.list(&[]);
    let (_, problem) = problem(believe(&[&root.own, &silent.own], Some(&[list]), &[]));
    let unknown = CrlError::UnknownIssuer("CN=silent".to_owned());
    assert_eq!(problem, ClientsProblem::Crl(unknown));
}

#[test]
fn every_kind_of_key_signs_lists() {
    let folder = tempfile::tempdir().unwrap();
    let pss = [
        "-sigopt",
        "rsa_padding_mode:pss",
        "-sigopt",
        "rsa_pss_saltlen:digest",
    ];
    let kinds: [(&str, &[&str], &[&str]); 7] = [
        ("rsa", &["-newkey", "rsa:2048"], &[]),
        ("rsa384", &["-newkey", "rsa:2048"], &["-md", "sha384"]),
        ("pss256", &["-newkey", "rsa:2048"], &pss),
        (
            "pss512",
            &["-newkey", "rsa:2048"],
            &[&pss[..], &["-md", "sha512"]].concat(),
        ),
        (
            "p384",
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
            &["-md", "sha384"],
        ),
        (
            "p521",
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
            &["-md", "sha512"],
        ),
        ("ed25519", &["-newkey", "ed25519"], &["-md", "null"]),
    ];
    for (name, key, how) in kinds {
        let root = Authority::root_with(folder.path(), name, key);
        let list = root.list(how);
        let read = believe(&[&root.own], Some(std::slice::from_ref(&list)), &[]);
        assert!(read.is_ok(), "{name}: {read:?}");
        // One bit further back, and the signature is wrong.
        let mut der = crate::tls::crl::blocks(&list).unwrap().remove(0);
        let end = der.len() - 2;
        der[end] ^= 1;
        let bent = crate::tls::crl::tests::pem(&der);
        let (_, problem) = problem(believe(&[&root.own], Some(&[bent]), &[]));
        let wrong = CrlError::Signature(format!("CN={name}"));
        assert_eq!(problem, ClientsProblem::Crl(wrong), "{name}");
    }
}

#[test]
fn files_are_bounded_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let file = folder.path().join("file");
    let open = |ca: &Path, crl: Option<&Path>| {
        let error = ClientAuthority::open(ca, crl, Vec::new()).unwrap_err();
        (error.file, error.problem)
    };
    let good = root.own.file("pem");
    let nowhere = folder.path().join("nowhere");
    assert!(matches!(
        open(&nowhere, None).1,
        ClientsProblem::Unreadable(_)
    ));
    let lists = open(&good, Some(&nowhere));
    assert!(matches!(
        lists.1,
        ClientsProblem::Crl(CrlError::Unreadable(_))
    ));
    assert_eq!(lists.0, nowhere);
    std::fs::write(&file, vec![b'x'; (1 << 20) + 1]).unwrap();
    assert_eq!(open(&file, None).1, ClientsProblem::TooLarge);
    std::fs::write(&file, root.own.pem().repeat(257)).unwrap();
    assert_eq!(open(&file, None).1, ClientsProblem::TooLarge);
    std::fs::write(&file, "").unwrap();
    assert_eq!(open(&file, None).1, ClientsProblem::Missing);
    std::fs::write(&file, vec![b'x'; (16 << 20) + 1]).unwrap();
    let large = ClientsProblem::Crl(CrlError::TooLarge);
    assert_eq!(open(&good, Some(&file)).1, large);
    std::fs::write(&file, root.list(&[]).repeat(257)).unwrap();
    assert_eq!(open(&good, Some(&file)).1, large);
    assert!(ClientAuthority::open(&good, None, Vec::new()).is_ok());
}

#[test]
fn sessions_are_parted_by_mode_authorities_and_rules() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (
        Authority::root(folder.path(), "one"),
        Authority::root(folder.path(), "two"),
    );
    let context = |mode, ca: &[&Issued], rules: &[&str]| {
        ClientAuth::new(mode, believe(ca, None, rules).unwrap()).session_context()
    };
    let all = [
        context(ClientMode::Require, &[&one.own], &[]),
        context(ClientMode::Optional, &[&one.own], &[]),
        context(ClientMode::Require, &[&two.own], &[]),
        context(ClientMode::Require, &[&one.own, &two.own], &[]),
        context(ClientMode::Require, &[&one.own], &["*.a.test"]),
        context(ClientMode::Require, &[&one.own], &["x.a.test"]),
    ];
    let mut seen = all.to_vec();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), all.len());
    // The order says nothing, and lists change by the day.
    let both = context(ClientMode::Require, &[&two.own, &one.own], &[]);
    assert_eq!(both, all[3]);
    let listed = believe(&[&one.own], Some(&[one.list(&[])]), &[]).unwrap();
    assert_eq!(
        ClientAuth::new(ClientMode::Require, listed).session_context(),
        all[0]
    );
}

#[test]
fn every_refusal_has_a_word_and_an_alert() {
    let mut words: Vec<_> = ClientRefusal::ALL.iter().map(|one| one.label()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), ClientRefusal::ALL.len());
    for one in ClientRefusal::ALL {
        let (alert, number) = one.alert();
        assert_eq!(format!("{alert:?}"), format!("SslAlert({number})"));
        assert!(!one.to_string().is_empty());
    }
}
