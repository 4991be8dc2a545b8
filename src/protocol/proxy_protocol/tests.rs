use std::collections::HashSet;
use std::net::SocketAddr;

use proptest::prelude::*;

use super::encode::{seal, tlv, v2, v2_inet};
use super::write::v1;
use super::{
    Header, MAX_BYTES, MAX_TLV_BYTES, MAX_V1_BYTES, Parsed, ProxyError, Tlvs, parse, tlv as kinds,
};

fn addresses(v6: bool) -> (SocketAddr, SocketAddr) {
    let (source, destination) = if v6 {
        ("[2001:db8::1]:1234", "[2001:db8::2]:443")
    } else {
        ("192.0.2.1:1234", "192.0.2.2:443")
    };
    (source.parse().unwrap(), destination.parse().unwrap())
}

fn complete(bytes: &[u8]) -> Header {
    match parse(bytes) {
        Parsed::Complete { len, header } => {
            assert_eq!(len, bytes.len(), "{}", bytes.escape_ascii());
            header
        }
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

fn with_tlvs(tlvs: &[u8]) -> Parsed {
    let (source, destination) = addresses(false);
    parse(&v2_inet(source, destination, tlvs))
}

fn read_tlvs(tlvs: &[u8]) -> Tlvs {
    match with_tlvs(tlvs) {
        Parsed::Complete { header, .. } => *header.tlvs.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_bytes_are_not_ours() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"POST",
        b"PU",
        b"PROXY/",
        b"PRI * HTTP/2.0\r\n",
        b"\x16\x03\x01",
        b"\r\nGET",
        b"\r\n\r\nX",
        b"\n",
        b"proxy ",
        b"\0",
    ] {
        assert_eq!(parse(bytes), Parsed::NotProxy, "{}", bytes.escape_ascii());
    }
    for bytes in [
        &b""[..],
        b"P",
        b"PR",
        b"PROXY",
        b"PROXY ",
        b"\r",
        b"\r\n\r\n\0\r\nQUIT",
    ] {
        assert_eq!(parse(bytes), Parsed::Partial, "{}", bytes.escape_ascii());
    }
}

#[test]
fn v1_is_read() {
    for v6 in [false, true] {
        let (source, destination) = addresses(v6);
        let header = complete(&v1(source, destination));
        assert_eq!(
            (header.source, header.destination),
            (Some(source), Some(destination))
        );
        assert!(!header.local && header.tlvs.is_none());
    }
    assert_eq!(complete(b"PROXY UNKNOWN\r\n"), Header::default());
    assert_eq!(
        complete(b"PROXY UNKNOWN ff:: \xff what ever 1\r\n"),
        Header::default()
    );
    let longest = b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert!(longest.len() <= MAX_V1_BYTES);
    assert_eq!(complete(longest).source.unwrap().port(), 65535);
}

#[test]
fn v1_leaves_what_follows() {
    let bytes = b"PROXY TCP4 1.2.3.4 5.6.7.8 0 1\r\nGET / HTTP/1.1\r\n";
    let Parsed::Complete { len, .. } = parse(bytes) else {
        panic!("not complete");
    };
    assert_eq!(&bytes[len..], b"GET / HTTP/1.1\r\n");
}

#[test]
fn v1_is_strict() {
    for (line, expected) in [
        ("", ProxyError::BadProtocol),
        ("UDP4 1.2.3.4 1.2.3.4 1 2", ProxyError::BadProtocol),
        ("tcp4 1.2.3.4 1.2.3.4 1 2", ProxyError::BadProtocol),
        ("UNKNOWNS", ProxyError::BadProtocol),
        ("TCP4", ProxyError::BadProtocol),
        ("TCP4 1.2.3.4 1.2.3.4 1", ProxyError::BadProtocol),
        ("TCP4 1.2.3.4 1.2.3.4 1 2 3", ProxyError::BadProtocol),
        ("TCP4 1.2.3.4 1.2.3.4 1 2 ", ProxyError::BadProtocol),
        ("TCP4  1.2.3.4 1.2.3.4 1 2", ProxyError::BadAddress),
        ("TCP4 1.2.3.04 1.2.3.4 1 2", ProxyError::BadAddress),
        ("TCP4 1.2.3 1.2.3.4 1 2", ProxyError::BadAddress),
        ("TCP4 ::1 ::1 1 2", ProxyError::BadAddress),
        ("TCP6 1.2.3.4 1.2.3.4 1 2", ProxyError::BadAddress),
        ("TCP6 [::1] [::1] 1 2", ProxyError::BadAddress),
        ("TCP4 1.2.3.4 1.2.3.4 01 2", ProxyError::BadPort),
        ("TCP4 1.2.3.4 1.2.3.4 1 00", ProxyError::BadPort),
        ("TCP4 1.2.3.4 1.2.3.4 65536 2", ProxyError::BadPort),
        ("TCP4 1.2.3.4 1.2.3.4 +1 2", ProxyError::BadPort),
        ("TCP4 1.2.3.4 1.2.3.4  2", ProxyError::BadPort),
        ("TCP4 1.2.3.4\r 1.2.3.4 1 2", ProxyError::BadLine),
    ] {
        let bytes = format!("PROXY {line}\r\n");
        assert_eq!(
            parse(bytes.as_bytes()),
            Parsed::Invalid(expected),
            "{line:?}"
        );
    }
    assert_eq!(
        parse(b"PROXY UNKNOWN\n"),
        Parsed::Invalid(ProxyError::BadLine)
    );
    assert_eq!(
        parse(b"PROXY TCP4 \xff\r\n"),
        Parsed::Invalid(ProxyError::BadProtocol)
    );
    let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
    assert_eq!(parse(&endless[..MAX_V1_BYTES - 1]), Parsed::Partial);
    assert_eq!(
        parse(&endless[..MAX_V1_BYTES]),
        Parsed::Invalid(ProxyError::BadLine)
    );
}

#[test]
fn v2_is_read() {
    for v6 in [false, true] {
        let (source, destination) = addresses(v6);
        let header = complete(&v2_inet(source, destination, b""));
        assert_eq!(
            (header.source, header.destination),
            (Some(source), Some(destination))
        );
        assert!(!header.local && header.tlvs.is_none());
    }
    let datagram = complete(&v2(0x21, 0x12, &[1; 12], b""));
    assert_eq!(datagram.source.unwrap().to_string(), "1.1.1.1:257");
}

#[test]
fn v2_without_addresses() {
    let local = Header {
        local: true,
        ..Header::default()
    };
    assert_eq!(complete(&v2(0x20, 0x00, b"", b"")), local);
    // LOCAL says to ignore everything, even what would be malformed.
    assert_eq!(complete(&v2(0x20, 0xff, b"anything", b"")), local);
    assert_eq!(
        complete(&v2(0x21, 0x31, &[b'/'; 216], b"")),
        Header::default()
    );
    let named = complete(&v2(0x21, 0x00, b"", &tlv(kinds::AUTHORITY, b"a.test")));
    assert_eq!((named.source, named.local), (None, false));
    assert_eq!(named.tlvs.unwrap().authority.as_deref(), Some("a.test"));
}

#[test]
fn v2_is_strict() {
    for (bytes, expected) in [
        (v2(0x11, 0x11, &[0; 12], b""), ProxyError::BadCommand),
        (v2(0x22, 0x11, &[0; 12], b""), ProxyError::BadCommand),
        (v2(0x21, 0x10, &[0; 12], b""), ProxyError::BadFamily),
        (v2(0x21, 0x41, &[0; 12], b""), ProxyError::BadFamily),
        (v2(0x21, 0x11, &[0; 11], b""), ProxyError::TooShort),
        (v2(0x21, 0x21, &[0; 35], b""), ProxyError::TooShort),
        (v2(0x21, 0x31, &[0; 215], b""), ProxyError::TooShort),
        (v2(0x21, 0x11, &[0; 12], &[0; 1]), ProxyError::BadTlv),
        (v2(0x21, 0x11, &[0; 12], &[4, 0, 2, 0]), ProxyError::BadTlv),
    ] {
        assert_eq!(parse(&bytes), Parsed::Invalid(expected), "{bytes:?}");
    }
    let filled = tlv(0x04, &[0; MAX_TLV_BYTES - 3]);
    assert!(complete(&v2(0x21, 0x31, &[0; 216], &filled)).tlvs.is_some());
    assert_eq!(v2(0x21, 0x31, &[0; 216], &filled).len(), MAX_BYTES);
    let over = v2(0x21, 0x11, &[0; 12], &tlv(0x04, &[0; MAX_TLV_BYTES - 2]));
    // Refused by its length alone, before anybody waits for the rest.
    assert_eq!(parse(&over[..16]), Parsed::Invalid(ProxyError::TooLong));
}

#[test]
fn tlvs_are_read() {
    let ssl = [
        &[0x07, 0, 0, 0, 0][..],
        &tlv(kinds::SSL_VERSION, b"TLSv1.3"),
        &tlv(kinds::SSL_CN, "Z\u{fc}rich".as_bytes()),
        &tlv(kinds::SSL_CIPHER, b"AES"),
        &tlv(kinds::SSL_SIG_ALG, b"SHA256"),
        &tlv(kinds::SSL_KEY_ALG, b"RSA2048"),
        &tlv(0x2f, b"unknown"),
    ]
    .concat();
    let tlvs = read_tlvs(
        &[
            tlv(kinds::ALPN, b"h2"),
            tlv(kinds::AUTHORITY, b"a.test"),
            tlv(kinds::UNIQUE_ID, &[0xff; 128]),
            tlv(kinds::SSL, &ssl),
            tlv(0x04, b"padding"),
            tlv(0x30, b"namespace"),
            tlv(kinds::AWS, b"\x01vpce-08d2bf15fac5001c9"),
            tlv(kinds::AZURE, &[0x01, 0x78, 0x56, 0x34, 0x12]),
            tlv(kinds::GCP, &0x1122_3344_5566_7788u64.to_be_bytes()),
            tlv(kinds::AUTHORITY, b"second.test"),
        ]
        .concat(),
    );
    assert_eq!(tlvs.alpn.as_deref(), Some(&b"h2"[..]));
    assert_eq!(tlvs.authority.as_deref(), Some("a.test"));
    assert_eq!(tlvs.unique_id.as_deref(), Some(&[0xff; 128][..]));
    assert_eq!(
        tlvs.aws_vpc_endpoint.as_deref(),
        Some("vpce-08d2bf15fac5001c9")
    );
    assert_eq!(tlvs.azure_link_id, Some(0x1234_5678));
    assert_eq!(tlvs.gcp_connection_id, Some(0x1122_3344_5566_7788));
    assert!(!tlvs.checksum);
    let ssl = tlvs.ssl.unwrap();
    assert!(ssl.tls && ssl.certificate_on_connection && ssl.certificate_in_session && ssl.verified);
    assert_eq!(ssl.version.as_deref(), Some("TLSv1.3"));
    assert_eq!(ssl.common_name.as_deref(), Some("Z\u{fc}rich"));
    assert_eq!(ssl.cipher.as_deref(), Some("AES"));
    assert_eq!(ssl.signature_algorithm.as_deref(), Some("SHA256"));
    assert_eq!(ssl.key_algorithm.as_deref(), Some("RSA2048"));
}

#[test]
fn a_certificate_is_verified_only_when_there_is_one() {
    let verified = |client: u8, verify: u8| {
        let ssl = read_tlvs(&tlv(kinds::SSL, &[client, 0, 0, 0, verify]))
            .ssl
            .unwrap();
        assert!(ssl.tls);
        ssl.verified
    };
    assert!(verified(0x03, 0));
    assert!(verified(0x05, 0));
    assert!(!verified(0x03, 1));
    assert!(!verified(0x01, 0));
}

#[test]
fn malformed_tlvs_are_refused_and_foreign_ones_skipped() {
    for bad in [
        tlv(kinds::UNIQUE_ID, &[0; 129]),
        tlv(kinds::ALPN, &[0; 256]),
        tlv(kinds::AUTHORITY, &[b'a'; 256]),
        tlv(kinds::AUTHORITY, b"a\r\nX: y"),
        tlv(kinds::AUTHORITY, b"\xff"),
        tlv(kinds::SSL, b"\x01\0\0\0"),
        tlv(kinds::SSL, b"\x01\0\0\0\0\x21\0\x09x"),
        tlv(
            kinds::SSL,
            &[&[1, 0, 0, 0, 0][..], &tlv(kinds::SSL_CN, b"a\0b")].concat(),
        ),
        tlv(kinds::CRC32C, b"123"),
    ] {
        assert_eq!(
            with_tlvs(&bad),
            Parsed::Invalid(ProxyError::BadTlv),
            "{bad:?}"
        );
    }
    let foreign = [
        tlv(kinds::AWS, b"\x02other"),
        tlv(kinds::AWS, b""),
        tlv(kinds::AWS, b"\x01a\nb"),
        tlv(kinds::AZURE, b"\x01\0\0\0"),
        tlv(kinds::GCP, b"1234567"),
    ]
    .concat();
    assert_eq!(read_tlvs(&foreign), Tlvs::default());
}

#[test]
fn the_checksum_is_verified() {
    let (source, destination) = addresses(true);
    let empty = tlv(kinds::CRC32C, &[0; 4]);
    let tlvs = [tlv(kinds::AUTHORITY, b"a.test"), empty.clone()].concat();
    let good = seal(v2_inet(source, destination, &tlvs));
    assert!(complete(&good).tlvs.unwrap().checksum);
    // From the family on, every byte counts; the signature and lengths break in other ways.
    for at in 16..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        assert!(matches!(
            parse(&bad),
            Parsed::Invalid(_) | Parsed::Complete { .. }
        ));
        if let Parsed::Complete { header, .. } = parse(&bad) {
            assert!(!header.tlvs.unwrap().checksum, "byte {at} is not covered");
        }
    }
    let twice = seal(v2_inet(
        source,
        destination,
        &[empty.clone(), empty].concat(),
    ));
    assert_eq!(parse(&twice), Parsed::Invalid(ProxyError::BadChecksum));
}

#[test]
fn reasons_are_distinct() {
    let tokens: HashSet<_> = ProxyError::ALL
        .iter()
        .map(|reason| reason.as_str())
        .collect();
    assert_eq!(tokens.len(), ProxyError::ALL.len());
}

fn pair() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = any::<([u8; 4], [u8; 4], u16, u16)>()
        .prop_map(|(a, b, p, q)| (SocketAddr::from((a, p)), SocketAddr::from((b, q))));
    let v6 = any::<([u8; 16], [u8; 16], u16, u16)>()
        .prop_map(|(a, b, p, q)| (SocketAddr::from((a, p)), SocketAddr::from((b, q))));
    prop_oneof![v4, v6]
}

/// Arbitrary TLVs of kinds that are opaque or unknown, with a checksum at the end.
fn opaque_tlvs() -> impl Strategy<Value = Vec<u8>> {
    let kind = proptest::sample::select(vec![
        kinds::ALPN,
        0x04,
        kinds::UNIQUE_ID,
        0x30,
        0x99,
        kinds::AWS,
        0xf0,
    ]);
    proptest::collection::vec((kind, proptest::collection::vec(any::<u8>(), 0..40)), 0..5).prop_map(
        |tlvs| {
            let mut bytes: Vec<u8> = tlvs
                .iter()
                .flat_map(|(kind, value)| tlv(*kind, value))
                .collect();
            bytes.extend(tlv(kinds::CRC32C, &[0; 4]));
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_written_is_read((source, destination) in pair(), tlvs in opaque_tlvs(), tail in any::<[u8; 4]>()) {
        let sealed = seal(v2_inet(source, destination, &tlvs));
        for (header, has_tlvs) in [(v1(source, destination), false), (sealed, true)] {
            for end in 0..header.len() {
                prop_assert_eq!(parse(&header[..end]), Parsed::Partial, "{} bytes", end);
            }
            let bytes = [header.as_slice(), &tail].concat();
            let Parsed::Complete { len, header: read } = parse(&bytes) else {
                return Err(TestCaseError::fail("not complete"));
            };
            prop_assert_eq!(len, header.len());
            prop_assert_eq!(read.source, Some(source));
            prop_assert_eq!(read.destination, Some(destination));
            prop_assert_eq!(read.tlvs.is_some_and(|tlvs| tlvs.checksum), has_tlvs);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        family in any::<u8>(),
        start in 0usize..4,
    ) {
        let bytes = match start {
            0 => bytes,
            1 => [b"PROXY TCP4 ".as_slice(), &bytes].concat(),
            2 => v2(0x21, family, &bytes, b""),
            _ => v2(0x21, 0x00, b"", &bytes),
        };
        if let Parsed::Complete { len, .. } = parse(&bytes) {
            prop_assert!(len <= bytes.len() && len <= MAX_BYTES);
        }
    }
}
