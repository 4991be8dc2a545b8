use proptest::prelude::*;

use super::*;
use crate::tls::openssl::{Authority, CLIENT};

#[test]
fn a_certificate_comes_apart() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root(folder.path(), "root");
    let below = "basicConstraints=CA:TRUE,pathlen:3\nkeyUsage=keyCertSign\n";
    let below = root.below("below", below).own.certificate();
    let leaf = root.issue("leaf", CLIENT, &[]).certificate();
    let [root, below, leaf] =
        [root.own.certificate(), below, leaf].map(|one| one.to_der().unwrap());
    let [root, below, leaf] = [&root, &below, &leaf].map(|der| Parts::read(der).unwrap());
    assert!(root.is_self_issued() && !leaf.is_self_issued());
    assert_eq!(leaf.issuer, root.subject);
    assert_ne!(leaf.serial, below.serial);
    let authorities = [&root, &below, &leaf].map(|one| one.is_authority().unwrap());
    assert_eq!(authorities, [true, true, false]);
    let lengths = [&root, &below, &leaf].map(|one| one.path_length().unwrap());
    assert_eq!(lengths, [None, Some(3), None]);
    let signs = |one: &Parts<'_>| {
        [Usage::DigitalSignature, Usage::CrlSign].map(|usage| one.allows(usage).unwrap())
    };
    assert_eq!(
        [&root, &below, &leaf].map(signs),
        [[false, true], [false, false], [true, false]]
    );
    let uses = [CLIENT_AUTH, OCSP_SIGNING].map(|purpose| leaf.is_for(purpose).unwrap());
    assert_eq!(uses, [Some(true), Some(false)]);
    assert_eq!(root.is_for(CLIENT_AUTH), Ok(None));
    assert_eq!(
        root.key_info[root.key_info.len() - root.key.len()..],
        *root.key
    );
}

#[test]
fn serials_are_told_apart_by_their_length() {
    let read = |bytes: &[u8]| Serial::read(AnyRef::new(Tag::Integer, bytes).unwrap());
    assert_eq!(read(&[1, 2]).unwrap().bytes(), [1, 2]);
    assert_ne!(read(&[1]).unwrap(), read(&[1, 0]).unwrap());
    assert_eq!(read(&[7; 23]).unwrap().bytes(), [7; 23]);
    assert!(read(&[7; 24]).is_err() && read(&[]).is_err());
}

proptest! {
    #[test]
    fn no_bytes_bring_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(parts) = Parts::read(&bytes) {
            let _ = (parts.is_authority(), parts.path_length(), parts.is_for(CLIENT_AUTH));
        }
    }
}
