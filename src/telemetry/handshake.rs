//! Why a TLS handshake with a client failed: a closed set, and the one table behind metrics and documents.

use super::closed_set::closed_set;

closed_set! {
    /// Why a handshake with a client failed.
    HandshakeFailure {}
    NoServerName "no_server_name" "The client named no server, and the [[tls]] has no `default`.";
    UnknownServerName "unknown_server_name" "No certificate is for the name the client asked for, and the [[tls]] has no `default`.";
    Version "version" "The client speaks no version that the policy allows.";
    Cipher "cipher" "Client and policy have no cipher, group or kind of signature in common.";
    Alpn "alpn" "The client speaks none of the listener's protocols.";
    NotTls "not_tls" "What came is no TLS, as a request by plain HTTP.";
    CertificateMissing "certificate_missing" "The client showed no certificate where one is required.";
    CertificateUnknownCa "certificate_unknown_ca" "The client's certificate leads to none of the authorities of `client_auth.ca`.";
    CertificateExpired "certificate_expired" "The client's certificate, or one above it, has expired.";
    CertificateNotYetValid "certificate_not_yet_valid" "The client's certificate, or one above it, is not valid yet.";
    CertificateRevoked "certificate_revoked" "The client's certificate, or one above it, is revoked.";
    CertificateCrl "certificate_crl" "Whether the client's certificate is revoked cannot be known: the authority's list is missing or out of date.";
    CertificatePurpose "certificate_purpose" "The client's certificate is not meant for clients.";
    CertificateName "certificate_name" "The client's certificate holds none of the names of `client_auth.san`.";
    CertificateInvalid "certificate_invalid" "The client's certificate is wrong in another way.";
    Rejected "rejected" "The client refused us, most often because it does not trust our certificate.";
    Rate "rate" "The address makes more handshakes than `handshake.per_ip` allows.";
    Timeout "timeout" "The handshake took longer than `handshake.timeout`.";
    Closed "closed" "The client closed the connection during the handshake.";
    Protocol "protocol" "The client broke the rules of TLS.";
    Internal "internal" "A fault of this proxy.";
}

/// The table as Markdown, for the generated reference.
pub fn handshakes_markdown() -> String {
    let mut out = String::from("| reason | meaning |\n|---|---|\n");
    for failure in HandshakeFailure::ALL {
        out.push_str(&format!("| `{failure}` | {} |\n", failure.help()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_token_agree() {
        for (index, failure) in HandshakeFailure::ALL.iter().enumerate() {
            assert_eq!(failure.index(), index);
            assert_eq!(HandshakeFailure::TOKENS[index], failure.as_str());
        }
        let rows = handshakes_markdown().lines().count();
        assert_eq!(rows, HandshakeFailure::ALL.len() + 2);
    }
}
