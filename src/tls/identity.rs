//! Who a client with a certificate is: the names in it, the rules about them, and how an origin is told.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::stack::Stack;
use boring::x509::{X509, X509Ref};
use http::HeaderName;

/// Longest chain that is forwarded, in certificates.
const MAX_FORWARDED: usize = 8;
/// Most names that are read of a certificate.
const MAX_NAMES: usize = 256;
/// `XN_FLAG_RFC2253`: the subject in one line, the most specific part first.
const RFC2253: i32 = 0x0111_0317;

/// The fields by which origins are told: what clients send under these names is removed.
pub const IDENTITY_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-forwarded-client-cert"),
    HeaderName::from_static("client-cert"),
    HeaderName::from_static("client-cert-chain"),
];

/// How an origin is told who the client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forward {
    /// Not at all.
    #[default]
    Off,
    /// `X-Forwarded-Client-Cert`, in Envoy's form.
    Xfcc,
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440).
    Rfc9440,
}

/// What a verified client certificate says.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// The subject as RFC 4514 writes it.
    pub subject: String,
    /// DNS names in lower case, then URIs as they stand there (SPIFFE ids among them). A colon tells them apart: no
    /// DNS name holds one, and every URI does.
    pub sans: Vec<String>,
    der: Vec<u8>,
    chain: Vec<Vec<u8>>,
}

impl Identity {
    /// Reads the certificate and those above it. Give it a chain that was verified. Names with anything but visible
    /// ASCII in them, line ends for example, name nobody and are left out.
    ///
    /// # Errors
    /// The library's own, for want of memory.
    pub fn read<'c>(
        leaf: &X509Ref,
        others: impl IntoIterator<Item = &'c X509Ref>,
    ) -> Result<Self, ErrorStack> {
        let digest = leaf.digest(MessageDigest::sha256())?;
        let mut fingerprint = [0; 32];
        fingerprint
            .iter_mut()
            .zip(digest.iter())
            .for_each(|(to, from)| *to = *from);
        let (mut dns, mut uris) = (Vec::new(), Vec::new());
        let names = leaf.subject_alt_names().into_iter().flatten();
        for name in names.take(MAX_NAMES) {
            if let Some(name) = name
                .dnsname()
                .filter(|name| is_visible(name) && !is_uri(name))
            {
                dns.push(name.to_ascii_lowercase());
            } else if let Some(uri) = name.uri().filter(|uri| is_visible(uri) && is_uri(uri)) {
                uris.push(uri.to_owned());
            }
        }
        let chain: Result<_, _> = others
            .into_iter()
            .take(MAX_FORWARDED)
            .map(X509Ref::to_der)
            .collect();
        dns.append(&mut uris);
        Ok(Self {
            fingerprint,
            subject: leaf.subject_name().print_ex(RFC2253).unwrap_or_default(),
            sans: dns,
            der: leaf.to_der()?,
            chain: chain?,
        })
    }

    /// The certificate, and those between it and the authority.
    pub(in crate::tls) fn certificates(&self) -> Result<(X509, Stack<X509>), ErrorStack> {
        let mut chain = Stack::new()?;
        for der in &self.chain {
            chain.push(X509::from_der(der)?)?;
        }
        Ok((X509::from_der(&self.der)?, chain))
    }

    /// The value of `X-Forwarded-Client-Cert` in Envoy's form: `Hash`, `Subject`, then every `URI` and `DNS`.
    pub fn xfcc(&self) -> String {
        let mut value = String::from("Hash=");
        for byte in self.fingerprint {
            // Writing to a String cannot fail.
            let _ = write!(value, "{byte:02x}");
        }
        value.push_str(";Subject=");
        quoted(&self.subject, &mut value);
        let uris = self.sans.iter().filter(|name| is_uri(name));
        let dns = self.sans.iter().filter(|name| !is_uri(name));
        let named = uris.map(|one| ("URI", one));
        for (key, text) in named.chain(dns.map(|one| ("DNS", one))) {
            value.push(';');
            value.push_str(key);
            value.push('=');
            if text.contains([',', ';', '=', '"', '\\', ' ']) {
                quoted(text, &mut value);
            } else {
                value.push_str(text);
            }
        }
        value
    }

    /// The value of `Client-Cert`: the certificate as a byte sequence (RFC 9440 section 2.2).
    pub fn client_cert(&self) -> String {
        sequence(&self.der)
    }

    /// The value of `Client-Cert-Chain`, when the client sent more than its own (RFC 9440 section 2.3).
    pub fn client_cert_chain(&self) -> Option<String> {
        let all: Vec<String> = self.chain.iter().map(|der| sequence(der)).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("subject", &self.subject)
            .field("sans", &self.sans)
            .finish_non_exhaustive()
    }
}

fn is_visible(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A byte sequence of RFC 9651 section 4.1.8.
fn sequence(bytes: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(bytes))
}

/// In quotes, with quotes and backslashes escaped; what cannot stand in a header field becomes `?`.
fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for one in text.chars() {
        match one {
            '"' | '\\' => out.extend(['\\', one]),
            ' '..='~' => out.push(one),
            _ => out.push('?'),
        }
    }
    out.push('"');
}

/// A rule about the names of a client certificate: `client_auth.san`, `client_san`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SanRule {
    /// This DNS name.
    Dns(String),
    /// One label, then this: `*.partner.test` keeps `.partner.test`.
    DnsBelow(String),
    /// This URI.
    Uri(String),
    /// Every URI that begins so: `spiffe://mesh/*` keeps `spiffe://mesh/`.
    UriBelow(String),
}

/// Why a rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanRuleError {
    /// Nothing is written.
    Empty,
    /// A star stands elsewhere than as the first label of a DNS name or behind the last slash of a URI.
    Star,
    /// The star leaves the host of the URI, or all but the last label of the DNS name, open.
    TooWide,
    /// A character that no name holds.
    Character(char),
}

impl fmt::Display for SanRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "no name is written"),
            Self::Star => write!(
                f,
                "a star may be the first label of a DNS name or stand behind a slash at the end of a URI"
            ),
            Self::TooWide => write!(
                f,
                "the star stands for too much: write at least two labels or the host after it"
            ),
            Self::Character(one) => write!(f, "no name holds {one:?}"),
        }
    }
}

impl std::error::Error for SanRuleError {}

impl SanRule {
    /// Reads `*.partner.test`, `api.partner.test`, `spiffe://mesh/api` or `spiffe://mesh/*`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, SanRuleError> {
        if text.is_empty() {
            return Err(SanRuleError::Empty);
        }
        if let Some(odd) = text.chars().find(|one| !one.is_ascii_graphic()) {
            return Err(SanRuleError::Character(odd));
        }
        if let Some((_, after)) = text.split_once("://") {
            return match text.strip_suffix('*') {
                None if text.contains('*') => Err(SanRuleError::Star),
                None => Ok(Self::Uri(text.to_owned())),
                Some(front) if front.contains('*') || !front.ends_with('/') => {
                    Err(SanRuleError::Star)
                }
                Some(_) if after.starts_with("/") || after == "*" => Err(SanRuleError::TooWide),
                Some(front) => Ok(Self::UriBelow(front.to_owned())),
            };
        }
        if text.contains(':') {
            return Err(SanRuleError::Character(':'));
        }
        let text = text.to_ascii_lowercase();
        match text.strip_prefix('*') {
            None if text.contains('*') => Err(SanRuleError::Star),
            None => Ok(Self::Dns(text)),
            Some(rest) if rest.contains('*') || !rest.starts_with('.') => Err(SanRuleError::Star),
            Some(rest) if rest.matches('.').count() < 2 => Err(SanRuleError::TooWide),
            Some(rest) => Ok(Self::DnsBelow(rest.to_owned())),
        }
    }

    /// True if a name of the certificate fits. DNS names are compared without case, URIs as they are. A wildcard in
    /// the certificate fits nothing but itself: it does not name the client.
    /// `sans` are those of an [`Identity`].
    pub fn fits(&self, sans: &[String]) -> bool {
        sans.iter().any(|one| match self {
            Self::Dns(name) | Self::Uri(name) => one == name,
            Self::DnsBelow(rest) => {
                let label = one.strip_suffix(rest.as_str());
                label.is_some_and(|label| !label.is_empty() && !label.contains(['.', '*', ':']))
            }
            Self::UriBelow(front) => one.strip_prefix(front.as_str()).is_some_and(is_plain_path),
        })
    }

    /// True if a name of a server's certificate fits. A wildcard in the certificate stands for one label there
    /// (RFC 9525 section 6.3).
    pub(in crate::tls) fn fits_server(&self, dns: &[String], uris: &[String]) -> bool {
        let is_label = |label: &str| !label.is_empty() && !label.contains(['.', '*']);
        match self {
            Self::Dns(name) => dns.iter().any(|one| match one.strip_prefix('*') {
                None => one == name,
                Some(rest) => {
                    rest.starts_with('.')
                        && rest.matches('.').count() > 1
                        && name.strip_suffix(rest).is_some_and(is_label)
                }
            }),
            Self::DnsBelow(rest) => dns.iter().any(|one| {
                one.strip_suffix(rest.as_str())
                    .is_some_and(|label| label == "*" || is_label(label))
            }),
            Self::Uri(_) | Self::UriBelow(_) => self.fits_uri(uris),
        }
    }

    fn fits_uri(&self, uris: &[String]) -> bool {
        match self {
            Self::Uri(uri) => uris.contains(uri),
            Self::UriBelow(front) => uris
                .iter()
                .any(|one| one.strip_prefix(front.as_str()).is_some_and(is_plain_path)),
            Self::Dns(_) | Self::DnsBelow(_) => false,
        }
    }
}

fn is_uri(name: &str) -> bool {
    name.contains(':')
}

/// Something without dot segments, which would lead out of where the rule points.
fn is_plain_path(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|segment| {
            let segment = segment.to_ascii_lowercase();
            !matches!(segment.replace("%2e", ".").as_str(), "." | "..")
        })
}

#[cfg(test)]
mod tests;
