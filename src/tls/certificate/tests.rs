use boring::asn1::Asn1Time;
use boring::bn::BigNum;
use boring::ec::{EcGroup, EcKey};
use boring::rsa::Rsa;
use boring::x509::extension::{BasicConstraints, SubjectAlternativeName};
use boring::x509::{X509Builder, X509NameBuilder};

use super::*;

/// A certificate with its key, signed by itself or by another one.
pub(in crate::tls) struct Made {
    pub(in crate::tls) certificate: X509,
    pub(in crate::tls) key: PKey<Private>,
}

pub(in crate::tls) fn ec(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

pub(in crate::tls) fn make(
    names: &[&str],
    key: PKey<Private>,
    days: u32,
    issuer: Option<&Made>,
) -> Made {
    let name = |text: &str| {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", text).unwrap();
        name.build()
    };
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    let own = name(names.first().unwrap_or(&"a CA"));
    builder.set_subject_name(&own).unwrap();
    match issuer {
        Some(issuer) => builder.set_issuer_name(issuer.certificate.subject_name()),
        None => builder.set_issuer_name(&own),
    }
    .unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::from_unix(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(days).unwrap())
        .unwrap();
    if names.is_empty() {
        let ca = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(&ca).unwrap();
    } else {
        let mut alternative = SubjectAlternativeName::new();
        for name in names {
            alternative.dns(name);
        }
        let context = builder.x509v3_context(None, None);
        let alternative = alternative.build(&context).unwrap();
        builder.append_extension(&alternative).unwrap();
    }
    let signer = issuer.map_or(&key, |issuer| &issuer.key);
    builder.sign(signer, MessageDigest::sha256()).unwrap();
    Made {
        certificate: builder.build(),
        key,
    }
}

fn pem(made: &[&Made]) -> Vec<u8> {
    made.iter()
        .flat_map(|one| one.certificate.to_pem().unwrap())
        .collect()
}

fn parse(chain: &[u8], key: &[u8]) -> Result<Certificate, CertificateError> {
    Certificate::parse(Path::new("a.pem"), chain, Path::new("a.key"), key)
}

fn key_pem(made: &Made) -> Vec<u8> {
    made.key.private_key_to_pem_pkcs8().unwrap()
}

fn problem(chain: &[u8], key: &[u8]) -> (String, Problem) {
    let error = parse(chain, key).unwrap_err();
    (error.file.display().to_string(), error.problem)
}

#[test]
fn a_chain_is_read_with_its_names_and_end() {
    let root = make(&[], ec(Nid::X9_62_PRIME256V1), 100, None);
    let middle = make(&[], ec(Nid::SECP384R1), 50, Some(&root));
    let names = ["WWW.Example.test", "*.example.test", "www.example.test"];
    let leaf = make(&names, ec(Nid::X9_62_PRIME256V1), 10, Some(&middle));
    let read = parse(&pem(&[&leaf, &middle]), &key_pem(&leaf)).unwrap();
    assert_eq!(read.names(), ["www.example.test", "*.example.test"]);
    assert_eq!((read.kind(), read.chain().len()), (KeyKind::P256, 1));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64;
    let left = read.not_after() - now;
    assert!(
        (10 * 86_400 - 60..=10 * 86_400 + 60).contains(&left),
        "{left}"
    );
    assert!(!format!("{read:?}").contains("PRIVATE"));
    // The root at the end is harmless.
    assert!(parse(&pem(&[&leaf, &middle, &root]), &key_pem(&leaf)).is_ok());
}

#[test]
fn every_fault_names_its_file() {
    let root = make(&[], ec(Nid::X9_62_PRIME256V1), 100, None);
    let leaf = make(&["a.test"], ec(Nid::X9_62_PRIME256V1), 10, Some(&root));
    let other = make(&["b.test"], ec(Nid::X9_62_PRIME256V1), 10, None);
    let in_certificate = |problem| ("a.pem".to_owned(), problem);
    let in_key = |problem| ("a.key".to_owned(), problem);
    let key = key_pem(&leaf);
    assert_eq!(
        problem(b"", &key),
        in_certificate(Problem::Missing("certificate"))
    );
    let whole = pem(&[&leaf]);
    let half = &whole[..whole.len() / 2];
    assert_eq!(
        problem(half, &key),
        in_certificate(Problem::Missing("certificate"))
    );
    assert_eq!(
        problem(&whole, b"x"),
        in_key(Problem::Missing("private key"))
    );
    assert_eq!(
        problem(&whole, &key_pem(&other)),
        in_key(Problem::KeyMismatch)
    );
    assert_eq!(
        problem(&pem(&[&root, &leaf]), &key),
        in_certificate(Problem::LeafNotFirst)
    );
    assert_eq!(
        problem(&pem(&[&leaf, &other]), &key),
        in_certificate(Problem::BrokenChain(2))
    );
    assert_eq!(
        problem(&pem(&[&root]), &key_pem(&root)),
        in_certificate(Problem::NoName)
    );
    let odd = make(&["a b.test"], ec(Nid::X9_62_PRIME256V1), 10, None);
    assert_eq!(
        problem(&pem(&[&odd]), &key_pem(&odd)),
        in_certificate(Problem::BadName("a b.test".to_owned()))
    );
    let many: Vec<&Made> = std::iter::repeat_n(&leaf, MAX_CHAIN + 1).collect();
    assert_eq!(
        problem(&pem(&many), &key),
        in_certificate(Problem::TooLarge)
    );
}

#[test]
fn keys_nobody_should_use_are_refused() {
    let weak = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
    let weak = make(&["a.test"], weak, 10, None);
    assert_eq!(
        problem(&pem(&[&weak]), &key_pem(&weak)).1,
        Problem::WeakKey(1024)
    );
    let odd = make(&["a.test"], ec(Nid::SECP521R1), 10, None);
    assert!(matches!(
        problem(&pem(&[&odd]), &key_pem(&odd)).1,
        Problem::KeyKind(_)
    ));
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let rsa = make(&["a.test"], rsa, 10, None);
    assert_eq!(
        parse(&pem(&[&rsa]), &key_pem(&rsa)).unwrap().kind(),
        KeyKind::Rsa
    );
}

#[test]
fn files_are_read_within_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("a.pem"), folder.path().join("a.key"));
    let made = make(&["a.test"], ec(Nid::X9_62_PRIME256V1), 10, None);
    std::fs::write(&certificate, pem(&[&made])).unwrap();
    let error = Certificate::open(&certificate, &key).unwrap_err();
    assert_eq!(error.file, key);
    assert_eq!(error.problem, Problem::Absent, "{error}");
    std::fs::write(&key, key_pem(&made)).unwrap();
    assert_eq!(
        Certificate::open(&certificate, &key).unwrap().file(),
        certificate
    );
    std::fs::File::options()
        .append(true)
        .open(&key)
        .unwrap()
        .set_len(MAX_BYTES + 1)
        .unwrap();
    let error = Certificate::open(&certificate, &key).unwrap_err();
    assert_eq!(error.problem, Problem::TooLarge);
}

#[test]
fn names_are_dns_names() {
    for good in [
        "a",
        "a.test",
        "*.a.test",
        "xn--bcher-kva.test",
        "a_b.test",
        "1.test",
    ] {
        assert!(is_name(good), "{good}");
    }
    let long = "a".repeat(64);
    for bad in [
        "",
        "*",
        "*.test",
        "*.",
        "a*.b.test",
        "*.*.b.test",
        "a..b",
        ".a",
        "a.",
        "a b",
        &long,
    ] {
        assert!(!is_name(bad), "{bad}");
    }
}
