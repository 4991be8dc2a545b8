use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::tls::openssl::{Authority, CLIENT};

/// DER as a PEM block.
pub(in crate::tls) fn pem(der: &[u8]) -> Vec<u8> {
    let digits = STANDARD.encode(der);
    format!("-----BEGIN X509 CRL-----\n{digits}\n-----END X509 CRL-----\n").into_bytes()
}

/// A list with three certificates, each for another reason.
static SEED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    for name in ["a", "b", "c"] {
        root.revoke(&root.issue(name, CLIENT, &[]));
    }
    let list = root.list(&["-crlexts", "v2"]);
    blocks(&list).unwrap().remove(0)
});

#[test]
fn a_list_is_read_with_its_times() {
    let read = parse(&SEED, 1).unwrap();
    assert_eq!(read.crl.len(), 3);
    let lasts_s = read.crl.next_update_s() - read.crl.this_update_s();
    assert_eq!(lasts_s, 30 * 86_400);
    assert_eq!(name(read.issuer), "CN=root");
    assert_eq!(name(b"nonsense"), "an authority without a name");
}

#[test]
fn pem_blocks_are_taken_out_of_what_stands_around_them() {
    let block = String::from_utf8(pem(b"abc")).unwrap();
    let other = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";
    let text = format!("# ours\r\n{block}{other}{}", block.replace('\n', "\r\n"));
    assert_eq!(blocks(text.as_bytes()), Ok(vec![b"abc".to_vec(); 2]));
    assert_eq!(blocks(other.as_bytes()), Err(CrlError::Missing));
    assert_eq!(blocks(b"\xff"), Err(CrlError::Missing));
    let open = block.replace("END", "ENE");
    let broken = format!("{block}{open}");
    assert_eq!(blocks(broken.as_bytes()), Err(CrlError::Malformed(2)));
    let odd = block.replace("YWJj", "YW%j");
    assert_eq!(blocks(odd.as_bytes()), Err(CrlError::Malformed(1)));
}

#[test]
fn a_list_without_an_end_is_refused() {
    // openssl always writes nextUpdate: cut it out, and shorten what it stands in.
    let read = parse(&SEED, 1).unwrap();
    let header = if read.signed.body[1] == 0x81 { 3 } else { 4 };
    let mut inside = read.signed.body[header..].to_vec();
    let is_time = |place: &usize| inside[*place..].starts_with(&[0x17, 0x0d]);
    let second = (0..inside.len()).filter(is_time).nth(1).unwrap();
    inside.drain(second..second + 15);
    let wrap = |inside: &[u8]| {
        let length = u16::try_from(inside.len()).unwrap().to_be_bytes();
        match length {
            [0, low] if low > 127 => [&[0x30, 0x81, low], inside].concat(),
            [high, low] if high > 0 => [&[0x30, 0x82, high, low], inside].concat(),
            _ => panic!("too short for a list"),
        }
    };
    let mut all = wrap(&inside);
    all.extend(read.signed.algorithm);
    all.extend([0x03, 0x02, 0x00, 0x00]);
    let error = parse(&wrap(&all), 1).err();
    assert_eq!(error, Some(CrlError::Endless("CN=root".to_owned())));
}

proptest! {
    #[test]
    fn no_bytes_bring_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse(&bytes, 1).is_err() || bytes.len() > 60);
        let _ = blocks(&bytes);
    }

    #[test]
    fn no_mutation_brings_a_panic(
        bytes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..5),
        cut in any::<proptest::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bent = SEED.clone();
        for (place, byte) in bytes {
            let place = place.index(bent.len());
            bent[place] = byte;
        }
        if is_cut {
            bent.truncate(cut.index(bent.len()));
            prop_assert!(parse(&bent, 1).is_err());
        } else if let Ok(read) = parse(&bent, 1) {
            prop_assert!(read.crl.len() <= 3);
        }
    }
}
