//! What handshakes with the endpoints of one upstream are made with.

use std::sync::Arc;

use boring::error::ErrorStack;
use boring::nid::Nid;
use boring::pkey::Id;
use boring::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslRef, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use boring::x509::{X509Ref, X509StoreContextRef, X509VerifyError};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::TlsFailure;
use super::names::{ServerNames, ServerRule};
use super::stream::TlsStream;
use super::{Oldest, Settings};
use crate::tls::authorities::Authorities;
use crate::tls::certificate::{Certificate, CertificateError, Problem};
use crate::tls::context::{Alpn, CIPHERS, GROUPS};

/// Signatures of handshakes, without SHA-1.
const SIGNATURES: &str = "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256:rsa_pkcs1_sha256:ed25519:\
                          ecdsa_secp384r1_sha384:rsa_pss_rsae_sha384:rsa_pkcs1_sha384:\
                          rsa_pss_rsae_sha512:rsa_pkcs1_sha512";

/// Decided once for all handshakes with the endpoints of an upstream.
pub struct Connector {
    context: SslContext,
    sni: String,
    rules: Option<Arc<[ServerRule]>>,
    digest: [u8; 32],
    /// For HTTP/1.1, HTTP/2 and both.
    keys: [u64; 3],
}

/// What was found about the endpoint's certificate during a handshake.
#[derive(Default)]
struct Verdict {
    /// The names were looked at and one of them fits.
    named: bool,
    refused: Option<String>,
}

impl Connector {
    /// Reads the files that the settings name.
    pub(super) fn build(settings: &Settings) -> Result<Self, CertificateError> {
        let own = settings.own.as_ref();
        let own = own.map(|(certificate, key)| Certificate::open_own(certificate, key));
        let own = own.transpose()?;
        let authorities = match (settings.verify, &settings.ca) {
            (false, _) => None,
            (true, Some(file)) => Some(Authorities::open(file)?),
            (true, None) => Some(Authorities::system()?),
        };
        let rules: Option<Arc<[ServerRule]>> = settings.verify.then(|| {
            if settings.san.is_empty() {
                [ServerRule::exactly(&settings.sni)].into()
            } else {
                settings.san.as_slice().into()
            }
        });
        let digest = digest(settings, own.as_ref(), authorities.as_deref());
        let context = context(settings, own.as_ref(), authorities.as_deref()).map_err(|_| {
            CertificateError {
                // Reading them left nothing to go wrong but memory.
                file: settings
                    .own
                    .as_ref()
                    .map_or_else(Default::default, |own| own.0.clone()),
                problem: Problem::Missing("certificate"),
            }
        })?;
        Ok(Self {
            context,
            sni: settings.sni.clone(),
            rules,
            digest,
            keys: [Alpn::Http1, Alpn::H2, Alpn::Both].map(|alpn| key(&digest, alpn)),
        })
    }

    /// Tells connections that were made with the same authorities, names, certificate of ours, version and protocol
    /// from all others.
    pub fn key(&self, alpn: Alpn) -> u64 {
        let [http1, h2, both] = self.keys;
        match alpn {
            Alpn::Http1 => http1,
            Alpn::H2 => h2,
            Alpn::Both => both,
        }
    }

    /// Of everything that decides whom we believe and who we are.
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The name asked for.
    pub fn sni(&self) -> &str {
        &self.sni
    }

    /// Makes TLS of a connection. When it succeeds, the endpoint is who it should be, and speaks one of the offered
    /// protocols. Bound it in time.
    ///
    /// # Errors
    /// Why there is no TLS; nothing but the handshake was sent.
    pub async fn handshake<S>(&self, io: S, alpn: Alpn) -> Result<TlsStream<S>, TlsFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let verdict = Arc::new(Mutex::new(Verdict::default()));
        let other = |error: ErrorStack| TlsFailure::Other(error.to_string());
        let ssl = self.prepare(alpn, &verdict).map_err(other)?;
        let mut stream = TlsStream::new(ssl, io).map_err(other)?;
        let shaken = stream.handshake().await;
        let verdict = std::mem::take(&mut *verdict.lock());
        if let Some(why) = verdict.refused {
            return Err(TlsFailure::Certificate(why));
        }
        shaken?;
        if self.rules.is_some() && !verdict.named {
            let why = "the library did not have its names checked".to_owned();
            return Err(TlsFailure::Certificate(why));
        }
        match alpn {
            Alpn::H2 if !stream.is_h2() => Err(TlsFailure::Protocol),
            _ => Ok(stream),
        }
    }

    fn prepare(&self, alpn: Alpn, verdict: &Arc<Mutex<Verdict>>) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_hostname(&self.sni)?;
        let of_connection: &mut SslRef = &mut ssl;
        of_connection.set_alpn_protos(alpn.wire())?;
        if let Some(rules) = &self.rules {
            let (rules, verdict) = (Arc::clone(rules), Arc::clone(verdict));
            ssl.set_verify_callback(SslVerifyMode::PEER, move |fine, chain| {
                judge(fine, chain, &rules, &mut verdict.lock())
            });
        }
        Ok(ssl)
    }
}

/// Looks at a certificate of the chain after the library did; false ends the handshake.
fn judge(
    fine: bool,
    chain: &mut X509StoreContextRef,
    rules: &[ServerRule],
    verdict: &mut Verdict,
) -> bool {
    let refusal = match chain.verify_result() {
        Err(error) if !fine => Some((error, error.error_string().to_owned())),
        _ if !fine => Some((X509VerifyError::UNSPECIFIED, "it is not right".to_owned())),
        _ => refusal(chain, rules, verdict),
    };
    let Some((error, why)) = refusal else {
        return true;
    };
    chain.set_error(Err(error));
    verdict.refused.get_or_insert(match chain.error_depth() {
        0 => why,
        depth => format!("{why} (certificate {} of the chain)", depth + 1),
    });
    false
}

fn refusal(
    chain: &X509StoreContextRef,
    rules: &[ServerRule],
    verdict: &mut Verdict,
) -> Option<(X509VerifyError, String)> {
    let certificate = chain.current_cert()?;
    let depth = chain.error_depth();
    if is_sha1(certificate) && !(depth > 0 && is_own_issuer(certificate)) {
        let why = "it is signed with SHA-1".to_owned();
        return Some((X509VerifyError::CERT_REJECTED, why));
    }
    if let Some(bits) = weak_rsa(certificate) {
        let why = format!("its RSA key has {bits} bits, 2048 are the least");
        return Some((X509VerifyError::CERT_REJECTED, why));
    }
    if depth == 0 {
        let names = ServerNames::of(certificate);
        if !names.fit(rules) {
            let why = format!("it is for {names}, which is not what sni or san ask for");
            return Some((X509VerifyError::HOSTNAME_MISMATCH, why));
        }
        verdict.named = true;
    }
    None
}

fn is_sha1(certificate: &X509Ref) -> bool {
    let algorithm = certificate.signature_algorithm().object().nid();
    matches!(
        algorithm,
        Nid::SHA1WITHRSAENCRYPTION | Nid::SHA1WITHRSA | Nid::ECDSA_WITH_SHA1
    )
}

/// The bits of an RSA key that can be broken, and so makes every signature with it worth nothing: in the leaf, and in
/// each authority of the chain.
fn weak_rsa(certificate: &X509Ref) -> Option<u32> {
    let key = certificate.public_key().ok()?;
    (key.id() == Id::RSA && key.bits() < 2048).then(|| key.bits())
}

/// What a root says of itself proves nothing, so neither does the hash it says it with.
fn is_own_issuer(certificate: &X509Ref) -> bool {
    certificate.issued(certificate).is_ok()
}

fn context(
    settings: &Settings,
    own: Option<&Certificate>,
    authorities: Option<&Authorities>,
) -> Result<SslContext, ErrorStack> {
    // The builder is bare: no authorities, no policy but what is set here. BoringSSL never renegotiates by itself.
    let mut builder = SslContextBuilder::new(SslMethod::tls())?;
    builder.set_mode(
        SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::RELEASE_BUFFERS,
    );
    builder.set_min_proto_version(Some(match settings.oldest {
        Oldest::V12 => SslVersion::TLS1_2,
        Oldest::V13 => SslVersion::TLS1_3,
    }))?;
    builder.set_max_proto_version(Some(SslVersion::TLS1_3))?;
    builder.set_cipher_list(CIPHERS)?;
    builder.set_curves_list(GROUPS)?;
    builder.set_sigalgs_list(SIGNATURES)?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    match authorities {
        Some(authorities) => {
            builder.set_cert_store_ref(authorities.store());
            builder.set_verify(SslVerifyMode::PEER);
        }
        None => builder.set_verify(SslVerifyMode::NONE),
    }
    if let Some(own) = own {
        builder.set_certificate(own.leaf())?;
        for one in own.chain() {
            builder.add_extra_chain_cert(one.clone())?;
        }
        builder.set_private_key(own.key())?;
    }
    Ok(builder.build())
}

fn key(digest: &[u8; 32], alpn: Alpn) -> u64 {
    let mut hash = Sha256::new();
    hash.update(digest);
    hash.update(alpn.wire());
    let hash: [u8; 32] = hash.finalize().into();
    hash.first_chunk()
        .map_or(0, |front| u64::from_le_bytes(*front))
}

fn digest(
    settings: &Settings,
    own: Option<&Certificate>,
    authorities: Option<&Authorities>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    // Each part with its length, so that none runs into the next.
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(settings.sni.as_bytes());
    add(format!(
        "{:?} {} {:?}",
        settings.oldest, settings.verify, settings.san
    )
    .as_bytes());
    add(authorities.map_or(&[][..], |authorities| authorities.digest()));
    if let Some(own) = own {
        add(own.fingerprint());
        for one in own.chain() {
            add(&one.to_der().unwrap_or_default());
        }
    }
    hash.finalize().into()
}
