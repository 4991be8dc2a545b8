//! Names of endpoints, as written and as they stand in certificates (RFC 9525).

use std::fmt;
use std::net::IpAddr;

use boring::x509::X509Ref;

use crate::tls::certificate::is_name;
use crate::tls::identity::{SanRule, SanRuleError};

/// Names of a certificate that are kept; more are not looked at.
const MAX_NAMES: usize = 1_000;
/// Names of a certificate in a message.
const SHOWN: usize = 5;

/// A name of which an endpoint's certificate must hold one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerRule {
    /// An address (iPAddress).
    Address(IpAddr),
    /// A DNS name, a DNS name below another one, or a URI.
    Name(SanRule),
}

impl ServerRule {
    /// Reads `app.internal.test`, `*.internal.test`, `spiffe://farm/app`, `spiffe://farm/*` or an IP address.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, SanRuleError> {
        match text.parse() {
            Ok(address) => Ok(Self::Address(address)),
            Err(_) => SanRule::parse(text).map(Self::Name),
        }
    }

    /// The rule that a certificate is for this name, which [`server_name`] gave.
    pub fn exactly(name: &str) -> Self {
        Self::Name(SanRule::Dns(name.to_owned()))
    }

    /// True if one of the names fits.
    fn fits(&self, names: &ServerNames) -> bool {
        match self {
            Self::Address(address) => names.addresses.contains(address),
            Self::Name(rule) => rule.fits_server(&names.dns, &names.uris),
        }
    }
}

/// A name that can be asked for, in lower case; none if `text` is no DNS name without a star.
pub fn server_name(text: &str) -> Option<String> {
    let name = text.to_ascii_lowercase();
    let plain = is_name(&name) && !name.starts_with('*') && name.parse::<IpAddr>().is_err();
    plain.then_some(name)
}

/// The names in an endpoint's certificate. The common name is none (RFC 9525 section 2).
#[derive(Debug, Default)]
pub(super) struct ServerNames {
    dns: Vec<String>,
    uris: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl ServerNames {
    pub(super) fn of(leaf: &X509Ref) -> Self {
        let mut names = Self::default();
        let all = leaf.subject_alt_names();
        for name in all.iter().flatten().take(MAX_NAMES) {
            if let Some(dns) = name.dnsname() {
                names.dns.push(dns.to_ascii_lowercase());
            } else if let Some(uri) = name.uri() {
                names.uris.push(uri.to_owned());
            } else if let Some(bytes) = name.ipaddress() {
                let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
                let sixteen = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
                names.addresses.extend(four.or(sixteen));
            }
        }
        names
    }

    /// True if one of the rules fits.
    pub(super) fn fit(&self, rules: &[ServerRule]) -> bool {
        rules.iter().any(|rule| rule.fits(self))
    }
}

impl fmt::Display for ServerNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses.iter().map(IpAddr::to_string);
        let all = self.dns.iter().chain(&self.uris).cloned();
        let mut all = all.chain(addresses);
        let shown: Vec<String> = all.by_ref().take(SHOWN).collect();
        match (shown.is_empty(), all.count()) {
            (true, _) => write!(f, "no name"),
            (false, 0) => write!(f, "{}", shown.join(", ")),
            (false, more) => write!(f, "{} and {more} more", shown.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dns: &[&str], uris: &[&str], addresses: &[&str]) -> ServerNames {
        ServerNames {
            dns: dns.iter().map(|name| (*name).to_owned()).collect(),
            uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn rules_fit_as_certificates_are_read() {
        for (rule, held, fits) in [
            ("app.internal.test", "app.internal.test", true),
            ("APP.internal.test", "app.internal.test", true),
            ("app.internal.test", "*.internal.test", true),
            ("app.internal.test", "*.test", false),
            ("a.app.internal.test", "*.internal.test", false),
            ("internal.test", "*.internal.test", false),
            ("app.internal.test", "a*.internal.test", false),
            ("app.internal.test", "*", false),
            ("app", "*", false),
            ("app.internal.test", "other.internal.test", false),
            ("app.internal.test", "app.internal.test\0.evil.test", false),
            ("*.internal.test", "app.internal.test", true),
            ("*.internal.test", "*.internal.test", true),
            ("*.internal.test", "a.b.internal.test", false),
            ("*.internal.test", "internal.test", false),
            ("*.internal.test", "*.other.test", false),
        ] {
            let rule = [ServerRule::parse(rule).unwrap()];
            assert_eq!(names(&[held], &[], &[]).fit(&rule), fits, "{rule:?} {held}");
            assert!(!names(&[], &[held], &[]).fit(&rule), "a DNS name is no URI");
        }
        let uri = [ServerRule::parse("spiffe://farm/app").unwrap()];
        assert!(names(&[], &["spiffe://farm/app"], &[]).fit(&uri));
        assert!(!names(&["farm"], &["spiffe://farm/app2"], &[]).fit(&uri));
        let below = [ServerRule::parse("spiffe://farm/*").unwrap()];
        assert!(names(&[], &["spiffe://farm/a/b"], &[]).fit(&below));
        assert!(!names(&[], &["spiffe://farm/../x"], &[]).fit(&below));
        let address = [ServerRule::parse("10.0.0.1").unwrap()];
        assert!(names(&[], &[], &["10.0.0.1"]).fit(&address));
        assert!(!names(&["10.0.0.1"], &[], &["10.0.0.2"]).fit(&address));
        assert!(!names(&["a.test"], &[], &[]).fit(&[]));
    }

    #[test]
    fn names_that_can_be_asked_for() {
        assert_eq!(
            server_name("App.Internal.test"),
            Some("app.internal.test".to_owned())
        );
        assert_eq!(server_name("localhost"), Some("localhost".to_owned()));
        for bad in [
            "", "*.a.test", "10.0.0.1", "::1", "a..b", "a.test.", "a b", "ä.test",
        ] {
            assert_eq!(server_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn messages_stay_short() {
        assert_eq!(names(&[], &[], &[]).to_string(), "no name");
        let many = ["a.test", "b.test", "c.test", "d.test"];
        let text = names(&many, &["spiffe://x/y"], &["::1"]).to_string();
        assert_eq!(
            text,
            "a.test, b.test, c.test, d.test, spiffe://x/y and 1 more"
        );
    }
}
