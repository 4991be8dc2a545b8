//! `[[tls]]`: how TLS ends here. `[upstream.tls]`: how it begins towards origins.

use farmgate_plugin_api::decode::{Located, RelPath};
use farmgate_plugin_api::units::{Duration, Rate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::schema::forms;

/// Certificates and rules that listeners share by this name.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The name listeners refer to.
    #[schemars(with = "forms::Name")]
    pub name: Located<String>,
    /// Versions and ciphers. Default intermediate.
    #[serde(default)]
    #[schemars(with = "TlsPolicy")]
    pub policy: Located<TlsPolicy>,
    /// Certificates with their keys. Their names come from the certificates.
    #[serde(default)]
    #[schemars(with = "Vec<CertificateConfig>")]
    pub certificates: Vec<Located<CertificateConfig>>,
    /// The name whose certificate is served without SNI and to names that no certificate has. Without it such
    /// clients are refused.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub default: Option<Located<String>>,
    /// Resumption on every node of a farm. Without it sessions resume on this node alone, until it restarts.
    #[serde(default)]
    #[schemars(with = "Option<SessionTicketsConfig>")]
    pub session_tickets: Option<Located<SessionTicketsConfig>>,
    /// Bounds of handshakes.
    #[serde(default)]
    pub handshake: HandshakeConfig,
    /// Certificates of clients. Without it none is asked for.
    #[serde(default)]
    #[schemars(with = "Option<ClientAuthConfig>")]
    pub client_auth: Option<Located<ClientAuthConfig>>,
    /// How origins are told who the client is. Default off.
    #[serde(default)]
    #[schemars(with = "ForwardIdentity")]
    pub forward_identity: Located<ForwardIdentity>,
    /// Certificates ordered from a certificate authority.
    #[serde(default)]
    #[schemars(with = "Option<AcmeConfig>")]
    pub acme: Option<Located<AcmeConfig>>,
}

/// Versions and ciphers (Mozilla's server side TLS recommendations, version 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsPolicy {
    /// TLS 1.3 alone.
    Modern,
    /// TLS 1.2 with forward secrecy, and TLS 1.3.
    #[default]
    Intermediate,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// PEM file: the server's certificate, then its intermediates.
    #[schemars(with = "forms::Path")]
    pub cert: Located<RelPath>,
    /// PEM file of the private key.
    #[schemars(with = "forms::Path")]
    pub key: Located<RelPath>,
    /// DER file with the authority's OCSP response, which is stapled. Re-read when it changes.
    #[serde(default)]
    #[schemars(with = "Option<forms::Path>")]
    pub ocsp_response: Option<Located<RelPath>>,
    /// `http` URL of the authority's OCSP responder, asked before its last answer runs out.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub ocsp_responder: Option<Located<String>>,
}

/// The certificate we show to endpoints.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnCertificateConfig {
    /// PEM file: the certificate, then its intermediates.
    #[schemars(with = "forms::Path")]
    pub cert: Located<RelPath>,
    /// PEM file of the private key.
    #[schemars(with = "forms::Path")]
    pub key: Located<RelPath>,
}

/// Ticket keys that every node derives from the same secrets.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionTicketsConfig {
    /// File with one secret a line, newest first; nobody but its owner may read it.
    #[schemars(with = "forms::Path")]
    pub secrets: Located<RelPath>,
    /// How long a key is used; tickets of the two before it are still taken. Default 12h.
    #[serde(default = "twelve_hours")]
    #[schemars(with = "forms::Duration")]
    pub rotate: Located<Duration>,
}

/// How long a key of tickets is used where nothing is written.
pub const TICKET_ROTATION: Duration = Duration::from_secs(12 * 3600);

fn twelve_hours() -> Located<Duration> {
    TICKET_ROTATION.into()
}

/// Bounds of handshakes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HandshakeConfig {
    /// From the accept (or the PROXY header) to the end of the handshake. Default 10s.
    #[schemars(with = "forms::Duration")]
    pub timeout: Located<Duration>,
    /// Handshakes of one client address per time (IPv6 by /64). Trusted proxies are not counted.
    #[schemars(with = "Option<forms::Rate>")]
    pub per_ip: Option<Located<Rate>>,
}

impl Default for HandshakeConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10).into(),
            per_ip: None,
        }
    }
}

/// Certificates of clients.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAuthConfig {
    /// Whether a client without a certificate is let in.
    #[schemars(with = "ClientAuthMode")]
    pub mode: Located<ClientAuthMode>,
    /// PEM file with the authorities whose certificates are believed.
    #[schemars(with = "forms::Path")]
    pub ca: Located<RelPath>,
    /// Names of which a certificate must hold one: `*.partner.test`, `spiffe://farm/*`. Without it every certificate
    /// of the authorities is let in.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub san: Vec<Located<String>>,
    /// PEM file with the authorities' revocation lists.
    #[serde(default)]
    #[schemars(with = "Option<forms::Path>")]
    pub crl: Option<Located<RelPath>>,
}

/// Whether a client without a certificate is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMode {
    /// No.
    Require,
    /// Yes; a certificate that is shown must be right all the same.
    Optional,
}

/// How origins are told who the client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForwardIdentity {
    /// Not at all.
    #[default]
    Off,
    /// `X-Forwarded-Client-Cert`, in Envoy's form.
    Xfcc,
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440).
    Rfc9440,
}

/// Certificates ordered from a certificate authority (RFC 8555).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeConfig {
    /// URL of the directory.
    #[schemars(with = "String")]
    pub directory: Located<String>,
    /// PEM file with the authority of the directory's own certificate. Without it the system's.
    #[serde(default)]
    #[schemars(with = "Option<forms::Path>")]
    pub ca: Option<Located<RelPath>>,
    /// Where the authority writes to.
    #[serde(default)]
    pub email: Option<String>,
    /// The authority's terms of service were read and are accepted. Must be written.
    #[schemars(with = "bool")]
    pub terms_agreed: Located<bool>,
    /// Names to order a certificate for, together.
    #[schemars(with = "Vec<String>")]
    pub domains: Vec<Located<String>>,
    /// How the authority sees that a name is ours.
    #[schemars(with = "AcmeChallenge")]
    pub challenge: Located<AcmeChallenge>,
    /// Folder of account and certificates; shared by the nodes, of which one orders.
    #[schemars(with = "forms::Path")]
    pub storage: Located<RelPath>,
}

/// How the authority sees that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum AcmeChallenge {
    /// A file under `/.well-known/acme-challenge/`, on every listener without TLS.
    #[serde(rename = "http-01")]
    Http01,
    /// A handshake with the protocol `acme-tls/1` (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// TLS towards the endpoints of an upstream.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTlsConfig {
    /// The name that is asked for, and verified unless `san` says others.
    #[schemars(with = "String")]
    pub sni: Located<String>,
    /// PEM file with the authorities that are believed. Without it the system's.
    #[serde(default)]
    #[schemars(with = "Option<forms::Path>")]
    pub ca: Option<Located<RelPath>>,
    /// Names of which the endpoint's certificate must hold one, instead of `sni`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub san: Vec<Located<String>>,
    /// Our certificate, for endpoints that ask for one.
    #[serde(default)]
    #[schemars(with = "Option<OwnCertificateConfig>")]
    pub certificate: Option<Located<OwnCertificateConfig>>,
    /// Oldest version. Default 1.2.
    #[serde(default)]
    #[schemars(with = "TlsVersion")]
    pub min_version: Located<TlsVersion>,
    /// Whether the endpoint's certificate is verified. Default true.
    #[serde(default = "verified")]
    #[schemars(with = "bool")]
    pub verify: Located<bool>,
}

fn verified() -> Located<bool> {
    true.into()
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V13,
}
