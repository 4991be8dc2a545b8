//! What a client can verify, out of its ClientHello.

use super::certificate::KeyKind;

/// The kinds of keys that a client verifies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    rsa: bool,
    p256: bool,
    p384: bool,
}

impl Offer {
    /// Reads the body of the `signature_algorithms` extension (RFC 8446 section 4.2.3) and the list of cipher suites.
    /// What cannot be read offers nothing; the library refuses such a hello by itself.
    pub fn read(signature_algorithms: Option<&[u8]>, cipher_suites: &[u8]) -> Self {
        // Without the extension a client of TLS 1.2 means SHA-1; such clients know RSA (RFC 5246 section 7.4.1.4.1).
        let Some(extension) = signature_algorithms else {
            return Self {
                rsa: true,
                ..Self::default()
            };
        };
        let listed = match extension.split_first_chunk::<2>() {
            Some((length, list)) if usize::from(u16::from_be_bytes(*length)) == list.len() => list,
            _ => return Self::default(),
        };
        let mut offer = Self::default();
        for scheme in numbers(listed) {
            match scheme {
                0x0401 | 0x0501 | 0x0601 | 0x0804..=0x0806 => offer.rsa = true,
                0x0403 => offer.p256 = true,
                0x0503 => offer.p384 = true,
                _ => {}
            }
        }
        // In TLS 1.2 the suite has to fit the key as well; those of TLS 1.3 fit all.
        if !numbers(cipher_suites).any(|suite| {
            matches!(
                suite,
                0x1301..=0x1303 | 0xc009 | 0xc00a | 0xc023 | 0xc024 | 0xc02b | 0xc02c | 0xcca9
            )
        }) {
            (offer.p256, offer.p384) = (false, false);
        }
        offer
    }

    /// True if the client verifies signatures of such a key.
    pub fn accepts(self, kind: KeyKind) -> bool {
        match kind {
            KeyKind::Rsa => self.rsa,
            KeyKind::P256 => self.p256,
            KeyKind::P384 => self.p384,
        }
    }
}

fn numbers(list: &[u8]) -> impl Iterator<Item = u16> {
    list.as_chunks::<2>()
        .0
        .iter()
        .copied()
        .map(u16::from_be_bytes)
}

#[cfg(test)]
pub(in crate::tls) mod tests {
    use super::*;

    const TLS13: &[u8] = &[0x13, 0x01];

    pub(in crate::tls) fn list(schemes: &[u16]) -> Vec<u8> {
        let mut bytes = (schemes.len() as u16 * 2).to_be_bytes().to_vec();
        bytes.extend(schemes.iter().flat_map(|scheme| scheme.to_be_bytes()));
        bytes
    }

    #[test]
    fn a_modern_client_takes_everything() {
        let offer = Offer::read(Some(&list(&[0x0403, 0x0804, 0x0503, 0x0807])), TLS13);
        for kind in [KeyKind::Rsa, KeyKind::P256, KeyKind::P384] {
            assert!(offer.accepts(kind), "{kind:?}");
        }
    }

    #[test]
    fn a_client_without_ecdsa_suites_gets_no_ecdsa() {
        let schemes = list(&[0x0403, 0x0401]);
        // ECDHE-RSA-AES128-GCM-SHA256 alone, then with its ECDSA sister.
        let rsa_only = Offer::read(Some(&schemes), &[0xc0, 0x2f]);
        assert!(rsa_only.accepts(KeyKind::Rsa) && !rsa_only.accepts(KeyKind::P256));
        let both = Offer::read(Some(&schemes), &[0xc0, 0x2f, 0xc0, 0x2b]);
        assert!(both.accepts(KeyKind::P256) && !both.accepts(KeyKind::P384));
    }

    #[test]
    fn without_the_extension_it_is_rsa() {
        let offer = Offer::read(None, TLS13);
        assert!(offer.accepts(KeyKind::Rsa) && !offer.accepts(KeyKind::P256));
    }

    #[test]
    fn a_broken_list_offers_nothing() {
        for broken in [
            &b""[..],
            b"\x00",
            b"\x00\x04\x04\x03",
            b"\x00\x02\x04\x03\x00",
        ] {
            assert_eq!(Offer::read(Some(broken), TLS13), Offer::default());
        }
        // An odd byte at the end of the suites is not read.
        let offer = Offer::read(Some(&list(&[0x0403])), &[0x13, 0x01, 0x00]);
        assert!(offer.accepts(KeyKind::P256));
    }
}
