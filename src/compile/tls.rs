//! `[[tls]]`: files are read and checked, and every mistake in them is named.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};

use http::HeaderName;

use super::{World, codes, unknown};
use crate::config::words::{
    AcmeChallenge, ClientAuthMode, Config, ForwardIdentity, ListenerConfig, TlsConfig, TlsPolicy,
};
use crate::snapshot::listener::ListenerTls;
use crate::tls::acme;
use crate::tls::edge::{ClientsSpec, StapleSpec};
use crate::tls::files::Pair;
use crate::tls::identity::{Forward, IDENTITY_HEADERS};
use crate::tls::{Alpn, ClientMode, Edge, EdgeError, EdgeSpec, EdgeWarning, Policy, SanRule};

/// Those that can be put in force, by name.
pub(super) type Edges = BTreeMap<Arc<str>, Arc<Edge>>;

pub(super) fn compile(config: &Config, world: &dyn World, diagnostics: &mut Diagnostics) -> Edges {
    config
        .tls
        .iter()
        .filter_map(|words| one(words, world, diagnostics))
        .map(|edge| (Arc::clone(edge.name()), Arc::new(edge)))
        .collect()
}

fn one(words: &TlsConfig, world: &dyn World, diagnostics: &mut Diagnostics) -> Option<Edge> {
    let name = &words.name.value;
    if words.certificates.is_empty() && words.acme.is_none() {
        let message = format!("tls {name:?} has no certificates");
        diagnostics.error(codes::TLS_EMPTY, &words.name.place, message);
        return None;
    }
    if *words.forward_identity != ForwardIdentity::Off && words.client_auth.is_none() {
        let message = format!("tls {name:?} forwards identities but asks for no certificates");
        let place = &words.forward_identity.place;
        diagnostics.push(
            Diagnostic::warning(codes::TLS_FORWARD, place, message)
                .with_help("add client_auth, or leave forward_identity out"),
        );
    }
    let spec = spec(words, diagnostics);
    // What is wrong with `acme` was told; that its names have no certificate follows from it.
    let acme_refused = words.acme.is_some() && spec.acme.is_none();
    let opened = Edge::open(spec, world.tls(), world.metrics(), SystemTime::now());
    match opened {
        Ok((edge, warnings)) => {
            for warning in &warnings {
                warn(words, warning, diagnostics);
            }
            Some(edge)
        }
        Err(errors) => {
            let follows = |error: &&EdgeError| acme_refused && matches!(error, EdgeError::Default);
            for error in errors.iter().filter(|error| !follows(error)) {
                report(words, error, diagnostics);
            }
            None
        }
    }
}

fn staples(words: &TlsConfig, diagnostics: &mut Diagnostics) -> Vec<(usize, StapleSpec)> {
    let mut out = Vec::new();
    for (place, pair) in words.certificates.iter().enumerate() {
        match (&pair.ocsp_response, &pair.ocsp_responder) {
            (None, None) => {}
            (Some(file), None) => out.push((place, StapleSpec::File(file.path().to_owned()))),
            (None, Some(url)) if is_responder(&url.value) => {
                out.push((place, StapleSpec::Responder(url.value.clone())));
            }
            (None, Some(url)) => {
                let message = format!("{:?} is no responder", url.value);
                diagnostics.push(
                    Diagnostic::error(codes::TLS_OCSP, &url.place, message)
                        .with_help("responders are asked by http://; their answers are signed"),
                );
            }
            (Some(_), Some(url)) => {
                let message = "a response and a responder are written";
                diagnostics.push(
                    Diagnostic::error(codes::TLS_OCSP, &url.place, message)
                        .with_help("leave one of them out"),
                );
            }
        }
    }
    out
}

fn is_responder(url: &str) -> bool {
    let url = url.parse::<http::Uri>();
    url.is_ok_and(|url| {
        url.scheme_str() == Some("http") && url.host().is_some_and(|h| !h.is_empty())
    })
}

fn acme(words: &TlsConfig, diagnostics: &mut Diagnostics) -> Option<acme::Settings> {
    let written = &words.acme.as_ref()?.value;
    let asked = acme::Asked {
        directory: &written.directory.value,
        ca: written.ca.as_ref().map(|ca| ca.path()),
        email: written.email.as_deref(),
        terms_agreed: written.terms_agreed.value,
        domains: written
            .domains
            .iter()
            .map(|name| name.value.as_str())
            .collect(),
        challenge: match written.challenge.value {
            AcmeChallenge::Http01 => acme::Challenge::Http01,
            AcmeChallenge::TlsAlpn01 => acme::Challenge::TlsAlpn01,
        },
        storage: written.storage.path(),
    };
    if let Some(fault) = acme::settings::unwritable(written.storage.path()) {
        let message = format!("`storage`: {}: nothing can be ordered", fault.problem);
        let place = &written.storage.place;
        diagnostics
            .push(Diagnostic::warning(codes::TLS_ACME, place, message).with_help(fault.help));
    }
    let faults = match acme::settings::check(&asked) {
        Ok(settings) => return Some(settings),
        Err(faults) => faults,
    };
    for fault in faults {
        let domain = fault.index.and_then(|index| written.domains.get(index));
        let place = match (fault.word, domain) {
            (_, Some(domain)) => &domain.place,
            ("directory", _) => &written.directory.place,
            ("terms_agreed", _) => &written.terms_agreed.place,
            ("storage", _) => &written.storage.place,
            ("ca", _) => written
                .ca
                .as_ref()
                .map_or(&words.name.place, |ca| &ca.place),
            _ => words
                .acme
                .as_ref()
                .map_or(&words.name.place, |acme| &acme.place),
        };
        let mut problem = fault.problem;
        if let Some(ca) = &written.ca {
            // As it is written, wherever the configuration stands.
            problem = problem.replace(&ca.path().display().to_string(), ca.written());
        }
        let message = format!("`{}`: {problem}", fault.word);
        diagnostics.push(Diagnostic::error(codes::TLS_ACME, place, message).with_help(fault.help));
    }
    None
}

fn clients(words: &TlsConfig, diagnostics: &mut Diagnostics) -> Option<ClientsSpec> {
    let written = &words.client_auth.as_ref()?.value;
    let mut rules = Vec::with_capacity(written.san.len());
    for text in &written.san {
        match SanRule::parse(&text.value) {
            Ok(rule) => rules.push(rule),
            // An error refuses the configuration: a rule that is left out lets nobody in.
            Err(error) => {
                let message = format!("{:?}: {error}", text.value);
                diagnostics.push(
                    Diagnostic::error(codes::TLS_CLIENT_SAN, &text.place, message).with_help(
                        "write \"*.partner.test\", \"api.partner.test\" or \"spiffe://farm/*\"",
                    ),
                );
            }
        }
    }
    Some(ClientsSpec {
        mode: match written.mode.value {
            ClientAuthMode::Require => ClientMode::Require,
            ClientAuthMode::Optional => ClientMode::Optional,
        },
        ca: written.ca.path().to_owned(),
        crl: written.crl.as_ref().map(|crl| crl.path().to_owned()),
        rules,
    })
}

fn spec(words: &TlsConfig, diagnostics: &mut Diagnostics) -> EdgeSpec {
    let tickets = words.session_tickets.as_ref().map(|tickets| &tickets.value);
    let pairs = words.certificates.iter().map(|pair| Pair {
        certificate: pair.cert.path().to_owned(),
        key: pair.key.path().to_owned(),
    });
    EdgeSpec {
        name: words.name.value.as_str().into(),
        policy: match words.policy.value {
            TlsPolicy::Modern => Policy::Modern,
            TlsPolicy::Intermediate => Policy::Intermediate,
        },
        pairs: pairs.collect(),
        staples: staples(words, diagnostics),
        default: words.default.as_ref().map(|name| name.value.clone()),
        secrets: tickets.map(|tickets| tickets.secrets.path().to_owned()),
        rotate: match tickets {
            Some(tickets) => tickets.rotate.value.get(),
            None => crate::config::words::tls::TICKET_ROTATION.get(),
        },
        timeout: words.handshake.timeout.value.get(),
        per_ip: words
            .handshake
            .per_ip
            .as_ref()
            .map(|rate| (rate.value.rate.get(), rate.value.per.get())),
        acme: acme(words, diagnostics),
        clients: clients(words, diagnostics),
        forward: match words.forward_identity.value {
            ForwardIdentity::Off => Forward::Off,
            ForwardIdentity::Xfcc => Forward::Xfcc,
            ForwardIdentity::Rfc9440 => Forward::Rfc9440,
        },
    }
}

fn report(words: &TlsConfig, error: &EdgeError, diagnostics: &mut Diagnostics) {
    let diagnostic = match error {
        EdgeError::Certificate(place, error) => Diagnostic::error(
            codes::TLS_CERTIFICATE,
            pair_place(words, *place, &error.file),
            format!("{}: {}", written(words, &error.file), error.problem),
        )
        .with_help(error.problem.help()),
        EdgeError::Default => {
            let (name, place) = match &words.default {
                Some(name) => (name.value.as_str(), &name.place),
                None => ("", &words.name.place),
            };
            let message = format!("no certificate is for the default name {name:?}");
            Diagnostic::error(codes::TLS_DEFAULT, place, message)
                .with_help("name one that stands in a certificate, or leave `default` out to refuse such clients")
        }
        EdgeError::Secrets(error) => {
            let Some(tickets) = &words.session_tickets else {
                return;
            };
            let file = &tickets.secrets;
            let message = format!("{} {error}", file.written());
            Diagnostic::error(codes::TLS_SECRETS, &file.place, message).with_help(error.help())
        }
        EdgeError::Clients(error) => {
            let Some(written) = words.client_auth.as_ref().map(|written| &written.value) else {
                return;
            };
            let file = match &written.crl {
                Some(crl) if crl.path() == error.file => crl,
                _ => &written.ca,
            };
            let message = format!("{}: {}", file.written(), error.problem);
            Diagnostic::error(codes::TLS_CLIENTS, &file.place, message)
                .with_help(error.problem.help())
        }
        EdgeError::Library(error) => {
            let message = format!("tls {:?}: {error}", words.name.value);
            Diagnostic::error(codes::TLS_LIBRARY, &words.name.place, message)
        }
    };
    diagnostics.push(diagnostic);
}

fn warn(words: &TlsConfig, warning: &EdgeWarning, diagnostics: &mut Diagnostics) {
    let file = |place: usize| {
        let pair = words.certificates.get(place);
        pair.map_or("", |pair| pair.cert.written())
    };
    let diagnostic = match warning {
        EdgeWarning::Expired(place) => Diagnostic::warning(
            codes::TLS_EXPIRED,
            pair_place(words, *place, Path::new("")),
            format!("{}: the certificate has expired", file(*place)),
        )
        .with_help("clients refuse it; put a valid one in its place"),
        EdgeWarning::KeptOlder(place) => Diagnostic::warning(
            codes::TLS_EXPIRED,
            pair_place(words, *place, Path::new("")),
            format!(
                "{}: the certificate has expired; the one that was read before is served on",
                file(*place)
            ),
        )
        .with_help("put a valid one in its place"),
        EdgeWarning::StaleLists(count) => {
            let auth = words.client_auth.as_ref();
            let crl = auth.and_then(|auth| auth.value.crl.as_ref());
            let place = crl.map_or(&words.name.place, |crl| &crl.place);
            let message = format!("{count} revocation lists are over");
            Diagnostic::warning(codes::TLS_STALE_LIST, place, message)
                .with_help("clients of their authorities are refused until newer lists are there")
        }
        EdgeWarning::Staple(place, error) => {
            let pair = words.certificates.get(*place);
            let file = pair.and_then(|pair| pair.ocsp_response.as_ref());
            let url = pair.and_then(|pair| pair.ocsp_responder.as_ref());
            let (source, place) = match (file, url) {
                (Some(file), _) => (file.written(), &file.place),
                (None, Some(url)) => (url.value.as_str(), &url.place),
                (None, None) => ("", pair_place(words, *place, Path::new(""))),
            };
            let message = format!("{source} {error}: it is not stapled");
            Diagnostic::warning(codes::TLS_OCSP, place, message).with_help(error.help())
        }
        EdgeWarning::Shadowed(found) => Diagnostic::warning(
            codes::TLS_SHADOWED,
            &words.name.place,
            format!(
                "{} is never served for {:?}: {} is for it too and lasts longer",
                written(words, found.shadowed.file()),
                found.name,
                written(words, found.by.file())
            ),
        )
        .with_help("one certificate of each kind of key serves a name; leave one out"),
    };
    diagnostics.push(diagnostic);
}

/// The path as it is written.
fn written<'w>(words: &'w TlsConfig, file: &Path) -> &'w str {
    let all = words
        .certificates
        .iter()
        .flat_map(|pair| [&pair.cert, &pair.key]);
    all.into_iter()
        .find(|path| path.path() == file)
        .map_or("", |path| path.written())
}

/// Where the file at fault is written.
fn pair_place<'w>(words: &'w TlsConfig, place: usize, file: &Path) -> &'w Place {
    match words.certificates.get(place) {
        Some(pair) if pair.key.path() == file => &pair.key.place,
        Some(pair) => &pair.cert.place,
        None => &words.name.place,
    }
}

/// Those for which an authority asks listeners without TLS.
pub(super) fn validated(edges: &Edges) -> Vec<Arc<Edge>> {
    let asks = |edge: &&Arc<Edge>| {
        let challenge = edge.acme().map(acme::Settings::challenge);
        challenge == Some(acme::Challenge::Http01)
    };
    edges.values().filter(asks).cloned().collect()
}

/// The fields that no client may send, on any listener, once some `[[tls]]` says who clients are.
pub(super) fn identity_headers(config: &Config) -> Vec<HeaderName> {
    let says = |tls: &TlsConfig| {
        tls.client_auth.is_some() || *tls.forward_identity != ForwardIdentity::Off
    };
    match config.tls.iter().any(says) {
        true => IDENTITY_HEADERS.to_vec(),
        false => Vec::new(),
    }
}

/// What a listener that names a `[[tls]]` gets.
pub(super) fn listener(
    config: &Config,
    edges: &Edges,
    words: &ListenerConfig,
    (http1, h2): (bool, bool),
    diagnostics: &mut Diagnostics,
) -> Option<ListenerTls> {
    let name = words.tls.as_ref()?;
    let Some(edge) = edges.get(name.value.as_str()) else {
        not_there(config, edges, name, diagnostics);
        return None;
    };
    let alpn = match (http1, h2) {
        (true, true) => Alpn::Both,
        (false, true) => Alpn::H2,
        (_, false) => Alpn::Http1,
    };
    match edge.acceptor(alpn) {
        Ok(acceptor) => Some(ListenerTls {
            edge: Arc::clone(edge),
            acceptor,
            http1,
        }),
        Err(error) => {
            let message = format!("tls {:?}: {error}", name.value);
            diagnostics.error(codes::TLS_LIBRARY, &name.place, message);
            None
        }
    }
}

fn not_there(
    config: &Config,
    edges: &Edges,
    name: &Located<String>,
    diagnostics: &mut Diagnostics,
) {
    // One that is written but wrong was reported where it stands.
    if !config.declares("tls", &name.value) {
        let (message, help) = unknown("tls", &name.value, edges);
        diagnostics
            .push(Diagnostic::error(codes::LISTENER_TLS, &name.place, message).with_help(help));
    }
}
