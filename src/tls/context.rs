//! What a `[[tls]]` offers: versions, ciphers, groups, protocols, and a certificate per ClientHello.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use boring::error::ErrorStack;
use boring::hash::{MessageDigest, hash};
use boring::ssl::{
    AlpnError, ClientHello, ExtensionType, NameType, SelectCertError, SniError, SslAcceptor,
    SslAlert, SslContextBuilder, SslMethod, SslOptions, SslRef, SslSessionCacheMode, SslVerifyMode,
    SslVersion, select_next_proto,
};

use super::acme::{Challenges, PROTOCOL, is_validation};
use super::certificate::Certificate;
use super::clients::ClientAuth;
use super::offer::Offer;
use super::store::Store;
use super::tickets::Tickets;

/// Which versions and ciphers are spoken; the two that Mozilla's server side TLS recommendations, version 5, keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// TLS 1.3 alone.
    Modern,
    /// TLS 1.2 with forward secrecy and authenticated ciphers, and TLS 1.3.
    Intermediate,
}

/// Key exchanges in the order of preference; the first stands against a recording that is broken later (RFC 9370,
/// draft-ietf-tls-ecdhe-mlkem).
pub(super) const GROUPS: &str = "X25519MLKEM768:X25519:P-256:P-384";

/// For TLS 1.2. What stands in brackets is equal here, so that a client without AES instructions gets ChaCha20.
pub(super) const CIPHERS: &str = "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]:\
                       [ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]:\
                       ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";

/// The protocol of an authority's validation.
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Protocols for ALPN in the form of RFC 7301 section 3.1, the preferred one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    H2,
    /// HTTP/2, else HTTP/1.1.
    Both,
}

impl Alpn {
    /// The list of RFC 7301.
    pub(super) fn wire(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"\x08http/1.1",
            Self::H2 => b"\x02h2",
            Self::Both => b"\x02h2\x08http/1.1",
        }
    }
}

/// What an acceptor is made of.
pub struct Terms<'t> {
    /// The `[[tls]]`: sessions are resumed by tickets alone, and within it.
    pub name: &'t str,
    /// Versions and ciphers.
    pub policy: Policy,
    /// Protocols. Clients without a common one get the alert `no_application_protocol`.
    pub alpn: Alpn,
    /// Looked into at every handshake, so certificates change by a swap there. Clients without a certificate for their
    /// name get the alert `unrecognized_name`.
    pub store: Arc<ArcSwap<Store>>,
    /// Keys of tickets; without them sessions resume on this acceptor alone, with keys of its own.
    pub tickets: Option<&'t Arc<Tickets>>,
    /// Clients are asked for certificates, and sessions do not outlive a change of who is believed.
    pub clients: Option<&'t Arc<ClientAuth>>,
    /// An authority's validations by `acme-tls/1` are answered from here (RFC 8737).
    pub challenges: Option<Arc<ArcSwapOption<Challenges>>>,
}

/// Builds an acceptor.
///
/// # Errors
/// The library's own; there is no input that brings them about.
pub fn acceptor(terms: Terms<'_>) -> Result<SslAcceptor, ErrorStack> {
    let Terms {
        name,
        policy,
        alpn,
        store,
        tickets,
        clients,
        challenges,
    } = terms;
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
    let oldest = match policy {
        Policy::Modern => SslVersion::TLS1_3,
        Policy::Intermediate => SslVersion::TLS1_2,
    };
    builder.set_min_proto_version(Some(oldest))?;
    builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
    builder.set_cipher_list(CIPHERS)?;
    builder.set_curves_list(GROUPS)?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    let mut scope = name.as_bytes().to_vec();
    if let Some(clients) = clients {
        scope.push(0);
        scope.extend(clients.session_context());
        clients.install(&mut builder)?;
    }
    builder.set_session_id_context(&hash(MessageDigest::sha256(), &scope)?)?;
    let validates = challenges.is_some();
    builder.set_alpn_select_callback(move |_, offered| {
        // A hello that offers this alone has the validation's certificate, or was refused before.
        if validates && offered == PROTOCOL {
            return Ok(ACME_TLS);
        }
        select_next_proto(alpn.wire(), offered).ok_or(AlpnError::ALERT_FATAL)
    });
    if let Some(tickets) = tickets {
        tickets.install(&mut builder);
    }
    choose_certificates(&mut builder, store, clients.map(Arc::clone), challenges);
    Ok(builder.build())
}

fn choose_certificates(
    builder: &mut SslContextBuilder,
    store: Arc<ArcSwap<Store>>,
    clients: Option<Arc<ClientAuth>>,
    challenges: Option<Arc<ArcSwapOption<Challenges>>>,
) {
    builder.set_select_certificate_callback(move |mut hello| {
        let protocols = hello.get_extension(ExtensionType::APPLICATION_LAYER_PROTOCOL_NEGOTIATION);
        if let Some(challenges) = &challenges
            && is_validation(protocols)
        {
            let answer = server_name(&hello)
                .zip(challenges.load_full())
                .and_then(|(name, challenges)| challenges.tls_alpn01(name));
            // The authority has no certificate to show, and nothing is served on its connection.
            hello.ssl_mut().set_verify(SslVerifyMode::NONE);
            if let Some(answer) = answer {
                let _ = install(hello.ssl_mut(), &answer, false);
            }
            return Ok(());
        }
        if let Some(clients) = &clients {
            let ready = clients.prepare(hello.ssl_mut());
            ready.map_err(|_| SelectCertError::ERROR)?;
        }
        let offer = Offer::read(
            hello.get_extension(ExtensionType::SIGNATURE_ALGORITHMS),
            hello.ciphers(),
        );
        let store = store.load();
        if let Some(found) = store.find(server_name(&hello), offer) {
            let asks = hello.get_extension(ExtensionType::STATUS_REQUEST).is_some();
            // Fails only for want of memory; the handshake then ends for want of a certificate.
            let _ = install(hello.ssl_mut(), found, asks);
        }
        Ok(())
    });
    // Comes next, with or without a name, and is the place that may choose the alert.
    builder.set_servername_callback(|ssl, alert| {
        if ssl.certificate().is_none() {
            *alert = SslAlert::UNRECOGNIZED_NAME;
            return Err(SniError::ALERT_FATAL);
        }
        Ok(())
    });
}

fn server_name<'h>(hello: &'h ClientHello<'_>) -> Option<&'h str> {
    hello.servername(NameType::HOST_NAME)
}

/// `asks`: the client wants to hear what the authority says about the certificate (RFC 6066 section 8).
fn install(ssl: &mut SslRef, certificate: &Certificate, asks: bool) -> Result<(), ErrorStack> {
    if asks
        && let Some(staple) = certificate.staple()
        && staple.is_fresh(now_s())
    {
        ssl.set_ocsp_status(staple.der())?;
    }
    ssl.set_certificate(certificate.leaf())?;
    for one in certificate.chain() {
        ssl.add_chain_cert(one)?;
    }
    ssl.set_private_key(certificate.key())
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
pub(in crate::tls) mod tests;
