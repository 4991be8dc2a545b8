//! `[upstream.tls]`: names and files become what handshakes with endpoints are made with.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, RelPath};

use super::codes;
use crate::config::words::{TlsVersion, UpstreamTlsConfig};
use crate::tls::certificate::{Certificate, CertificateError};
use crate::tls::upstream::{Oldest, ServerRule, Settings, UpstreamTls, server_name};

/// TLS of the upstream called `upstream`; none after an error.
pub(super) fn compile(
    upstream: &str,
    words: &Located<UpstreamTlsConfig>,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<UpstreamTls>> {
    let words = &words.value;
    let sni = sni(&words.sni, diagnostics);
    let san = san(&words.san, diagnostics);
    if !words.verify.value {
        let message = format!(
            "upstream {upstream:?} does not verify its endpoints: whoever is in between can read and change everything"
        );
        diagnostics.push(
            Diagnostic::warning(codes::UPSTREAM_TLS_UNVERIFIED, &words.verify.place, message)
                .with_help("write ca = \"FILE\" with the endpoints' authority instead; ca and san are not looked at"),
        );
    }
    let own = words.certificate.as_ref().map(|own| &own.value);
    let settings = Settings {
        sni: sni?,
        san: san?,
        ca: words.ca.as_ref().map(|file| file.value.path().to_owned()),
        own: own.map(|own| {
            (
                own.cert.value.path().to_owned(),
                own.key.value.path().to_owned(),
            )
        }),
        oldest: match words.min_version.value {
            TlsVersion::V12 => Oldest::V12,
            TlsVersion::V13 => Oldest::V13,
        },
        verify: words.verify.value,
    };
    match UpstreamTls::open(settings) {
        Ok(tls) => {
            expired(words, diagnostics);
            Some(Arc::new(tls))
        }
        Err(error) => {
            diagnostics.push(wrong_file(words, &error));
            None
        }
    }
}

fn sni(written: &Located<String>, diagnostics: &mut Diagnostics) -> Option<String> {
    let name = server_name(&written.value);
    if name.is_none() {
        let message = format!("sni: {:?} is no name that can be asked for", written.value);
        diagnostics.push(
            Diagnostic::error(codes::UPSTREAM_TLS_NAME, &written.place, message)
                .with_help("write a DNS name of the endpoints' certificate; an address or a pattern goes into san"),
        );
    }
    name
}

fn san(written: &[Located<String>], diagnostics: &mut Diagnostics) -> Option<Vec<ServerRule>> {
    let mut rules = Vec::new();
    for one in written {
        match ServerRule::parse(&one.value) {
            Ok(rule) => rules.push(rule),
            Err(error) => {
                let message = format!("san: {:?} is no name of a certificate: {error}", one.value);
                diagnostics.push(
                    Diagnostic::error(codes::UPSTREAM_TLS_NAME, &one.place, message).with_help(
                        "write \"app.internal.test\", \"*.internal.test\", \"spiffe://farm/app\" or an address",
                    ),
                );
            }
        }
    }
    (rules.len() == written.len()).then_some(rules)
}

/// What is wrong, at the word that named the file.
fn wrong_file(words: &UpstreamTlsConfig, error: &CertificateError) -> Diagnostic {
    let own = words.certificate.iter().map(|own| &own.value);
    let own = own.flat_map(|own| [&own.cert, &own.key]);
    let of = |file: &&Located<RelPath>| file.value.path() == error.file;
    let (code, found) = match own.into_iter().find(of) {
        Some(file) => (codes::UPSTREAM_TLS_CERTIFICATE, Some(file)),
        None => (codes::UPSTREAM_TLS_CA, words.ca.as_ref()),
    };
    let (place, message) = match found {
        Some(file) => (
            &file.place,
            format!("{}: {}", file.value.written(), error.problem),
        ),
        None => (&words.sni.place, error.to_string()),
    };
    Diagnostic::error(code, place, message).with_help(error.problem.help())
}

fn expired(words: &UpstreamTlsConfig, diagnostics: &mut Diagnostics) {
    let Some(own) = &words.certificate else {
        return;
    };
    let (file, key) = (&own.value.cert, &own.value.key);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    });
    let read = Certificate::open_own(file.value.path(), key.value.path());
    if read.is_ok_and(|certificate| certificate.not_after() <= now) {
        let message = format!("{}: the certificate has expired", file.value.written());
        diagnostics.push(
            Diagnostic::warning(codes::UPSTREAM_TLS_CERTIFICATE, &file.place, message)
                .with_help("endpoints that ask for it will refuse it: renew it"),
        );
    }
}
