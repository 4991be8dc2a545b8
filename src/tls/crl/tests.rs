use proptest::prelude::*;

use super::*;

/// DER as a PEM block.
pub(in crate::tls) fn pem(der: &[u8]) -> Vec<u8> {
    let digits = STANDARD.encode(der);
    format!("-----BEGIN X509 CRL-----\n{digits}\n-----END X509 CRL-----\n").into_bytes()
}
