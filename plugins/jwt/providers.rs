//! What the words of the providers mean.

use std::time::Duration as Time;

use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place, Secret};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::units::Duration;

use super::algorithm::Algorithm;
use super::compile::check_count;
use super::config::ProviderConfig;
use super::rules::{Keys, Provider};
use super::sources::{self, Fetch};

/// Most providers.
const MAX_PROVIDERS: usize = 16;
/// Most audiences and types of a provider.
const MAX_AUDIENCES: usize = 32;
const MAX_TYPES: usize = 8;
/// Longest issuer and prefix, in bytes.
const MAX_ISSUER_BYTES: usize = 1024;
const MAX_PREFIX_BYTES: usize = 64;
/// What may sign when nothing is said.
const USUAL: [Algorithm; 5] = [
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Es256,
    Algorithm::EdDsa,
    Algorithm::Ed25519,
];

/// A provider whose words are right.
pub(super) struct Checked {
    pub(super) provider: Provider,
    pub(super) fetch: Option<Fetch>,
}

/// Checks all providers.
pub(super) fn check(
    all: Located<Vec<Located<ProviderConfig>>>,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Vec<Checked> {
    if all.is_empty() {
        let error = Diagnostic::error(codes::VALUE, &all.place, "there is no provider");
        diagnostics
            .push(error.with_help("write [[plugin.providers]] with issuer, audiences and jwks"));
    }
    check_count(
        all.len(),
        MAX_PROVIDERS,
        "providers",
        &all.place,
        diagnostics,
    );
    let mut checked: Vec<Checked> = Vec::new();
    for config in all.value {
        let issuer = config.value.issuer.clone();
        let prefix = config.value.consumer_prefix.clone();
        let mut known = checked.iter().map(|one| &one.provider);
        if known.clone().any(|one| *one.issuer == *issuer.value) {
            let text = "two providers have this issuer; the claim iss could not choose";
            diagnostics.error(codes::OPTIONS, &issuer.place, text);
        } else if known.any(|one| *one.consumer_prefix == *prefix.value) {
            let text = "two providers may give two people the same name";
            let warning = Diagnostic::warning(codes::OPTIONS, &issuer.place, text);
            diagnostics
                .push(warning.with_help("write another consumer_prefix here, as \"partner:\""));
        }
        checked.extend(check_provider(config.value, services, diagnostics));
    }
    checked
}

fn check_provider(
    config: ProviderConfig,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Option<Checked> {
    let issuer = config.issuer;
    if issuer.is_empty() || issuer.len() > MAX_ISSUER_BYTES {
        let text = format!("issuer has 1 to {MAX_ISSUER_BYTES} bytes");
        diagnostics.error(codes::VALUE, &issuer.place, text);
    }
    let prefix = config.consumer_prefix;
    if prefix.len() > MAX_PREFIX_BYTES || prefix.chars().any(char::is_control) {
        let text =
            format!("consumer_prefix has at most {MAX_PREFIX_BYTES} bytes, no control characters");
        diagnostics.error(codes::VALUE, &prefix.place, text);
    }
    let audiences = check_audiences(&config.audiences, diagnostics);
    let algorithms = check_algorithms(
        config.algorithms,
        config.secret.is_some(),
        &issuer.place,
        diagnostics,
    );
    let most = (Time::ZERO, Time::from_secs(600), "0 to 10 min");
    let leeway = check_time(
        config.leeway,
        Duration::from_secs(60),
        "leeway",
        most,
        diagnostics,
    );
    let count = config.types.len();
    check_count(count, MAX_TYPES, "types", &config.types.place, diagnostics);
    let short = |kind: &Located<String>| -> Box<str> {
        let kind = kind.to_ascii_lowercase();
        kind.strip_prefix("application/").unwrap_or(&kind).into()
    };
    let keys = match (config.jwks, config.secret) {
        (Some(jwks), None) => sources::check(jwks, &issuer.value, services, diagnostics),
        (None, Some(secret)) => {
            check_secret(&secret, &algorithms, diagnostics);
            Some((Keys::Secret(secret.value), None))
        }
        (Some(jwks), Some(_)) => {
            let text = "jwks and secret exclude each other";
            let error = Diagnostic::error(codes::OPTIONS, &jwks.place, text);
            diagnostics
                .push(error.with_help("public keys and shared secrets never mix: leave one out"));
            None
        }
        (None, None) => {
            let text = "a provider needs jwks or secret";
            let error = Diagnostic::error(codes::OPTIONS, &issuer.place, text);
            diagnostics.push(error.with_help("write jwks = { url = \"https://HOST/PATH\" }"));
            None
        }
    };
    let (keys, fetch) = keys?;
    Some(Checked {
        provider: Provider {
            issuer: issuer.value.into(),
            audiences,
            algorithms,
            leeway,
            types: config.types.iter().map(short).collect(),
            require_exp: config.require_exp.unwrap_or(true),
            consumer_prefix: prefix.value.into(),
            keys,
        },
        fetch,
    })
}

/// The audiences; none for any.
fn check_audiences(
    list: &Located<Vec<Located<String>>>,
    diagnostics: &mut Diagnostics,
) -> Option<Box<[Box<str>]>> {
    if list.is_empty() {
        let error = Diagnostic::error(codes::VALUE, &list.place, "audiences is empty");
        let help = "name what `aud` must hold; [\"*\"] takes tokens that are meant for anybody";
        diagnostics.push(error.with_help(help));
    }
    check_count(
        list.len(),
        MAX_AUDIENCES,
        "audiences",
        &list.place,
        diagnostics,
    );
    let any = list.iter().find(|one| one.value == "*");
    if let (Some(any), 2..) = (any, list.len()) {
        let text = "`*` takes any token, so the other audiences mean nothing";
        diagnostics.error(codes::OPTIONS, &any.place, text);
    }
    let names = list.iter().map(|one| one.value.as_str().into());
    any.is_none().then(|| names.collect())
}

fn check_algorithms(
    list: Option<Located<Vec<Located<Algorithm>>>>,
    has_secret: bool,
    place: &Place,
    diagnostics: &mut Diagnostics,
) -> Box<[Algorithm]> {
    let Some(list) = list else {
        return match has_secret {
            true => Box::new([Algorithm::Hs256]),
            false => Box::new(USUAL),
        };
    };
    if list.is_empty() {
        let place = if list.is_written() {
            &list.place
        } else {
            place
        };
        diagnostics.error(
            codes::VALUE,
            place,
            "algorithms is empty: no token could be let in",
        );
    }
    for one in &list.value {
        if one.is_symmetric() != has_secret {
            let (name, takes, has) = match has_secret {
                true => (one.name(), "a public key", "secret"),
                false => (one.name(), "a shared secret", "jwks"),
            };
            let text = format!("{name} takes {takes}, and this provider has `{has}`");
            let error = Diagnostic::error(codes::OPTIONS, &one.place, text);
            diagnostics.push(
                error.with_help(
                    "a provider signs with its own key, or with a secret that both know",
                ),
            );
        }
    }
    list.iter().map(|one| one.value).collect()
}

fn check_secret(secret: &Located<Secret>, algorithms: &[Algorithm], diagnostics: &mut Diagnostics) {
    let needed = algorithms.iter().filter(|one| one.is_symmetric());
    let Some(longest) = needed.max_by_key(|one| one.least_secret_bytes()) else {
        return;
    };
    if secret.reveal().len() < longest.least_secret_bytes() {
        let least = longest.least_secret_bytes();
        let text = format!(
            "the secret is shorter than the {least} bytes that {longest} needs (RFC 7518 section 3.2)"
        );
        let error = Diagnostic::error(codes::VALUE, &secret.place, text);
        diagnostics.push(error.with_help("make one with `openssl rand -base64 48`"));
    }
}

/// A time between two others, both included, which `range` says in words.
pub(super) fn check_time(
    time: Option<Located<Duration>>,
    usual: Duration,
    name: &str,
    (least, most, range): (Time, Time, &str),
    diagnostics: &mut Diagnostics,
) -> Duration {
    let time = time.unwrap_or(usual.into());
    if !(least..=most).contains(&time.get()) {
        diagnostics.error(codes::VALUE, &time.place, format!("{name} is from {range}"));
    }
    time.value
}
