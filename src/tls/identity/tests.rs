use boring::asn1::Asn1Time;
use boring::bn::BigNum;
use boring::nid::Nid;
use boring::x509::extension::SubjectAlternativeName;
use boring::x509::{X509, X509Builder, X509NameBuilder};

use super::*;
use crate::tls::certificate::tests::{ec, make};

fn client(common_name: &str, dns: &[&str], uris: &[&str]) -> X509 {
    let key = ec(Nid::X9_62_PRIME256V1);
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("O", "Partner, Ltd").unwrap();
    name.append_entry_by_text("CN", common_name).unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::from_unix(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(1).unwrap())
        .unwrap();
    let mut alternative = SubjectAlternativeName::new();
    for one in dns {
        alternative.dns(one);
    }
    for one in uris {
        alternative.uri(one);
    }
    if !dns.is_empty() || !uris.is_empty() {
        let context = builder.x509v3_context(None, None);
        let alternative = alternative.build(&context).unwrap();
        builder.append_extension(&alternative).unwrap();
    }
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    builder.build()
}

fn identity(dns: &[&str], uris: &[&str]) -> Identity {
    Identity::read(&client("anna", dns, uris), []).unwrap()
}

#[test]
fn xfcc_is_written_as_envoy_does() {
    let told = identity(
        &["API.partner.test", "b.test"],
        &["spiffe://mesh/api", "urn:a;b"],
    );
    let xfcc = told.xfcc();
    let (hash, rest) = xfcc.split_once(';').unwrap();
    assert!(
        hash.len() == "Hash=".len() + 64 && hash.starts_with("Hash="),
        "{hash}"
    );
    assert_eq!(
        rest,
        concat!(
            r#"Subject="CN=anna,O=Partner\\, Ltd";URI=spiffe://mesh/api;URI="urn:a;b""#,
            ";DNS=api.partner.test;DNS=b.test"
        )
    );
}

#[test]
fn a_subject_cannot_forge_a_field_or_a_line() {
    let sly = client("a\";URI=\"spiffe://mesh/root", &[], &[]);
    let xfcc = Identity::read(&sly, []).unwrap().xfcc();
    // Every quote inside is escaped: the value ends where it should.
    let inside = xfcc.split_once(";Subject=\"").unwrap().1;
    let mut escaped = false;
    let end = inside
        .char_indices()
        .find(|(_, one)| {
            let ends = *one == '"' && !escaped;
            escaped = *one == '\\' && !escaped;
            ends
        })
        .unwrap()
        .0;
    assert_eq!(end + 1, inside.len(), "{xfcc}");
    let lines = client("a\r\nx-admin: 1", &[], &[]);
    let xfcc = Identity::read(&lines, []).unwrap().xfcc();
    assert!(xfcc.chars().all(|one| (' '..='~').contains(&one)), "{xfcc}");
}

#[test]
fn rfc9440_carries_the_certificate_and_its_chain() {
    let leaf = client("anna", &["a.test"], &[]);
    let ca = make(&[], ec(Nid::X9_62_PRIME256V1), 10, None);
    let told = Identity::read(&leaf, [&*ca.certificate]).unwrap();
    let decode = |text: &str| {
        let inner = text.strip_prefix(':').unwrap().strip_suffix(':').unwrap();
        STANDARD.decode(inner).unwrap()
    };
    assert_eq!(decode(&told.client_cert()), leaf.to_der().unwrap());
    let chain = told.client_cert_chain().unwrap();
    assert_eq!(decode(&chain), ca.certificate.to_der().unwrap());
    assert_eq!(identity(&[], &[]).client_cert_chain(), None);
    assert!(!format!("{told:?}").contains("der"));
}

#[test]
fn rules_fit_what_they_say_and_no_more() {
    for (rule, dns, uris, fits) in [
        ("api.partner.test", &["API.Partner.test"][..], &[][..], true),
        ("API.partner.test", &["api.partner.test"], &[], true),
        ("*.partner.test", &["api.partner.test"], &[], true),
        ("*.partner.test", &["a.b.partner.test"], &[], false),
        ("*.partner.test", &["partner.test"], &[], false),
        ("*.partner.test", &["*.partner.test"], &[], false),
        ("*.partner.test", &["evilpartner.test"], &[], false),
        ("*.partner.test", &[], &["api.partner.test"], false),
        ("spiffe://mesh/api", &[], &["spiffe://mesh/api"], true),
        ("spiffe://mesh/api", &[], &["spiffe://mesh/API"], false),
        ("spiffe://mesh/*", &[], &["spiffe://mesh/ns/api"], true),
        ("spiffe://mesh/*", &[], &["spiffe://mesh/"], false),
        ("spiffe://mesh/*", &[], &["spiffe://meshes/api"], false),
        (
            "spiffe://mesh/a/*",
            &[],
            &["spiffe://mesh/a/../root"],
            false,
        ),
        (
            "spiffe://mesh/a/*",
            &[],
            &["spiffe://mesh/a/%2E%2e/root"],
            false,
        ),
        ("spiffe://mesh/*", &["spiffe://mesh/x"], &[], false),
    ] {
        let parsed = SanRule::parse(rule).unwrap();
        assert_eq!(
            parsed.fits(&identity(dns, uris).sans),
            fits,
            "{rule} {dns:?} {uris:?}"
        );
    }
}

#[test]
fn rules_that_say_too_much_or_nothing_are_refused() {
    for (text, error) in [
        ("", SanRuleError::Empty),
        ("*", SanRuleError::Star),
        ("*.test", SanRuleError::TooWide),
        ("a*.partner.test", SanRuleError::Star),
        ("*.*.partner.test", SanRuleError::Star),
        ("*partner.test", SanRuleError::Star),
        ("spiffe://*", SanRuleError::TooWide),
        ("spiffe://mesh*", SanRuleError::Star),
        ("spiffe:///*", SanRuleError::TooWide),
        ("spiffe://*/api", SanRuleError::Star),
        ("spiffe://f/*/x", SanRuleError::Star),
        ("a b.test", SanRuleError::Character(' ')),
    ] {
        assert_eq!(SanRule::parse(text), Err(error), "{text}");
    }
}
