use super::*;

#[test]
fn the_certificate_holds_the_digest_in_a_critical_extension() {
    let text =
        "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
    let made = certificate("auto.example.test", text).unwrap();
    assert_eq!(made.names(), ["auto.example.test"]);
    let der = made.leaf().to_der().unwrap();
    // SEQUENCE { OID 1.3.6.1.5.5.7.1.31, BOOLEAN TRUE, OCTET STRING { OCTET STRING digest } }
    let mut expected = vec![
        0x30, 0x31, 0x06, 0x08, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f, 0x01, 0x01, 0xff, 0x04, 0x22, 0x04,
        0x20,
    ];
    expected.extend(Sha256::digest(text));
    assert!(
        der.windows(expected.len()).any(|window| window == expected),
        "{der:02x?}"
    );
    assert!(
        made.leaf()
            .verify(&made.leaf().public_key().unwrap())
            .unwrap()
    );
}

#[test]
fn a_name_of_any_length_fits() {
    let name = format!("{0}.{0}.{0}.test", "a".repeat(63));
    assert_eq!(certificate(&name, "x.y").unwrap().names(), [name]);
}

#[test]
fn a_validation_offers_one_protocol_alone() {
    assert!(is_validation(Some(b"\x00\x0b\x0aacme-tls/1")));
    for other in [
        None,
        Some(&b""[..]),
        Some(b"\x00\x0aacme-tls/1"),
        Some(b"\x00\x0c\x0aacme-tls/1\x00"),
        Some(b"\x00\x0e\x0aacme-tls/1\x02h2"),
        Some(b"\x00\x03\x02h2"),
        Some(b"\x01\x0b\x0aacme-tls/1"),
    ] {
        assert!(!is_validation(other), "{other:?}");
    }
}
