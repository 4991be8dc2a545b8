//! What the words of the providers mean, and how their keys come.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration as Time;

use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place, Secret};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::services::{HttpClient, Kept};
use farmgate_plugin_api::units::Duration;
use http::Uri;

use super::algorithm::Algorithm;
use super::compile::check_count;
use super::config::{JwksConfig, ProviderConfig};
use super::disk::{self, Shelf};
use super::fetch::{Fetcher, Origin, TURN};
use super::jwks::MAX_DOCUMENT_BYTES;
use super::metrics::{Board, Metrics};
use super::rules::{Keys, Provider};
use super::store::Store;
use super::url::{Trust, key_url};

/// Most providers.
const MAX_PROVIDERS: usize = 16;
/// Most audiences and types of a provider.
const MAX_AUDIENCES: usize = 32;
const MAX_TYPES: usize = 8;
/// Longest issuer and prefix, in bytes.
const MAX_ISSUER_BYTES: usize = 1024;
const MAX_PREFIX_BYTES: usize = 64;
/// How often the gauges of files are set.
const LOOK: Time = Time::from_secs(1);
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
    provider: Provider,
    fetch: Option<Fetch>,
}

/// What fetching needs.
struct Fetch {
    identity: String,
    origin: Origin,
    trust: Trust,
    client: Arc<dyn HttpClient>,
    refresh: Time,
    timeout: Time,
}

/// Checks all providers.
pub(super) fn check(
    all: Located<Vec<Located<ProviderConfig>>>,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Vec<Checked> {
    if all.is_empty() {
        let error = Diagnostic::error(codes::VALUE, &all.place, "there is no provider");
        diagnostics.push(error.with_help("write [[plugin.providers]] with issuer, audiences and jwks"));
    }
    check_count(all.len(), MAX_PROVIDERS, "providers", &all.place, diagnostics);
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
            diagnostics.push(warning.with_help("write another consumer_prefix here, as \"partner:\""));
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
        let text = format!("consumer_prefix has at most {MAX_PREFIX_BYTES} bytes, no control characters");
        diagnostics.error(codes::VALUE, &prefix.place, text);
    }
    let audiences = check_audiences(&config.audiences, diagnostics);
    let algorithms = check_algorithms(config.algorithms, config.secret.is_some(), &issuer.place, diagnostics);
    let most = (Time::ZERO, Time::from_secs(600), "0 to 10 min");
    let leeway = check_time(config.leeway, Duration::from_secs(60), "leeway", most, diagnostics);
    let count = config.types.len();
    check_count(count, MAX_TYPES, "types", &config.types.place, diagnostics);
    let short = |kind: &Located<String>| -> Box<str> {
        let kind = kind.to_ascii_lowercase();
        kind.strip_prefix("application/").unwrap_or(&kind).into()
    };
    let keys = match (config.jwks, config.secret) {
        (Some(jwks), None) => check_jwks(jwks, &issuer.value, services, diagnostics),
        (None, Some(secret)) => {
            check_secret(&secret, &algorithms, diagnostics);
            Some((Keys::Secret(secret.value), None))
        }
        (Some(jwks), Some(_)) => {
            let text = "jwks and secret exclude each other";
            let error = Diagnostic::error(codes::OPTIONS, &jwks.place, text);
            diagnostics.push(error.with_help("public keys and shared secrets never mix: leave one out"));
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
    check_count(list.len(), MAX_AUDIENCES, "audiences", &list.place, diagnostics);
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
        let place = if list.is_written() { &list.place } else { place };
        diagnostics.error(codes::VALUE, place, "algorithms is empty: no token could be let in");
    }
    for one in &list.value {
        if one.is_symmetric() != has_secret {
            let (name, takes, has) = match has_secret {
                true => (one.name(), "a public key", "secret"),
                false => (one.name(), "a shared secret", "jwks"),
            };
            let text = format!("{name} takes {takes}, and this provider has `{has}`");
            let error = Diagnostic::error(codes::OPTIONS, &one.place, text);
            diagnostics.push(error.with_help("a provider signs with its own key, or with a secret that both know"));
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
        let text = format!("the secret is shorter than the {least} bytes that {longest} needs (RFC 7518 section 3.2)");
        let error = Diagnostic::error(codes::VALUE, &secret.place, text);
        diagnostics.push(error.with_help("make one with `openssl rand -base64 48`"));
    }
}

/// A time between two others, both included, which `range` says in words.
fn check_time(
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

fn check_jwks(
    config: Located<JwksConfig>,
    issuer: &str,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Option<(Keys, Option<Fetch>)> {
    let place = config.place;
    let config = config.value;
    let discovery = config.discovery.as_ref().is_some_and(|word| word.value);
    let count = [config.url.is_some(), discovery, config.file.is_some(), config.inline.is_some()];
    if count.iter().filter(|is_there| **is_there).count() != 1 {
        let text = "jwks has one of url, discovery, file and inline";
        let error = Diagnostic::error(codes::OPTIONS, &place, text);
        diagnostics.push(error.with_help("write jwks = { url = \"https://HOST/PATH\" }"));
        return None;
    }
    if config.file.is_some() || config.inline.is_some() {
        return check_given(&config, &place, services, diagnostics).map(|keys| (keys, None));
    }
    let range = |least: u64, most: u64, words| (Time::from_secs(least), Time::from_secs(most), words);
    let refresh = check_time(
        config.refresh,
        Duration::from_secs(300),
        "refresh",
        range(1, 86_400, "1 s to 24 h"),
        diagnostics,
    );
    let month = Time::from_secs(30 * 86_400);
    let usual = Duration::from_secs(86_400);
    let between = (refresh.get(), month, "refresh to 30 days");
    let stale = check_time(config.stale, usual, "stale", between, diagnostics);
    let usual = Duration::from_secs(10);
    let hour = range(1, 3600, "1 s to 1 h");
    let refetch = check_time(config.refetch, usual, "refetch", hour, diagnostics);
    let usual = Duration::from_secs(5);
    let between = (Time::from_millis(10), Time::from_secs(60), "10 ms to 60 s");
    let timeout = check_time(config.timeout, usual, "timeout", between, diagnostics);
    let client = match &config.upstream {
        None => services.http_client(),
        Some(name) => match services.upstream_client(&name.value) {
            Ok(client) => client,
            Err(error) => {
                diagnostics.error(codes::VALUE, &name.place, error);
                return None;
            }
        },
    };
    let insecure = config.insecure_http.is_some_and(|word| word.value);
    let trust = match config.upstream.is_some() || insecure {
        true => Trust::Any,
        false => Trust::Verified,
    };
    let (text, place) = match &config.url {
        Some(url) => (url.value.clone(), &url.place),
        None => {
            let issuer = issuer.trim_end_matches('/');
            (format!("{issuer}/.well-known/openid-configuration"), &place)
        }
    };
    let url: Uri = match key_url(&text, trust) {
        Ok(url) => url,
        Err((text, help)) => {
            diagnostics.push(Diagnostic::error(codes::VALUE, place, text).with_help(help));
            return None;
        }
    };
    let identity = format!("{issuer}\n{url}");
    let store = find_store(&identity, services)?;
    let keys = Keys::Fetched {
        store,
        stale: stale.get(),
        refetch: refetch.get(),
    };
    let origin = match discovery {
        false => Origin::Url(url),
        true => Origin::Discovery {
            document: url,
            issuer: issuer.into(),
        },
    };
    let fetch = Fetch {
        identity,
        origin,
        trust,
        client,
        refresh: refresh.get(),
        timeout: timeout.get(),
    };
    Some((keys, Some(fetch)))
}

/// Keys of a file, or of the configuration itself.
fn check_given(
    config: &JwksConfig,
    place: &Place,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Option<Keys> {
    let store = Arc::new(Store::new(services.clock()));
    let fetches = [
        ("upstream", config.upstream.is_some()),
        ("insecure_http", config.insecure_http.is_some()),
        ("refresh", config.refresh.is_some()),
        ("stale", config.stale.is_some()),
        ("refetch", config.refetch.is_some()),
        ("timeout", config.timeout.is_some()),
    ];
    for (name, _) in fetches.iter().filter(|(_, is_there)| *is_there) {
        let text = format!("{name} is for keys that are fetched");
        diagnostics.error(codes::OPTIONS, place, text);
    }
    let help = "write {\"keys\": [...]} as RFC 7517 has it";
    if let Some(inline) = &config.inline
        && let Err(error) = store.take(inline.as_bytes(), Time::ZERO)
    {
        diagnostics.push(Diagnostic::error(codes::VALUE, &inline.place, error).with_help(help));
    }
    if let Some(file) = &config.file {
        let reader = Arc::clone(&store);
        let parse = move |bytes: &[u8]| reader.take(bytes, Time::ZERO);
        let most = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX);
        if let Err(error) = services.watch_file(file.path(), most, Box::new(parse)) {
            let text = format!("{}: {error}", file.path().display());
            diagnostics.push(Diagnostic::error(codes::FILE, &file.place, text).with_help(help));
        }
    }
    Some(Keys::Given(store))
}

/// The keys of this provider: those that an earlier configuration or process had, or none yet.
fn find_store(identity: &str, services: &dyn Services) -> Option<Arc<Store>> {
    let mut make = || Arc::new(Store::new(services.clock())) as Arc<dyn Kept>;
    services.kept(&disk::name(identity), &mut make).downcast().ok()
}

/// Has the keys fetched from now on.
pub(super) fn begin(
    checked: Vec<Checked>,
    services: &dyn Services,
    metrics: &Metrics,
) -> Option<Box<[Provider]>> {
    let stores = checked.iter().filter_map(|one| match &one.provider.keys {
        Keys::Secret(_) => None,
        Keys::Given(store) => Some((Arc::clone(store), false)),
        Keys::Fetched { store, .. } => Some((Arc::clone(store), true)),
    });
    let board = Board::new(services, stores.collect());
    let clock = services.clock();
    board.publish(clock.now());
    let mut providers = Vec::new();
    let mut is_shown = board.is_empty();
    for Checked { provider, fetch } in checked {
        if let (Keys::Fetched { store, stale, .. }, Some(fetch)) = (&provider.keys, fetch) {
            is_shown = true;
            let folder = services.state_folder();
            let fetcher = Arc::new(Fetcher {
                store: Arc::clone(store),
                origin: fetch.origin,
                trust: fetch.trust,
                client: fetch.client,
                clock: services.clock(),
                offload: services.offloader(),
                shelf: folder.map(|folder| Shelf::new(&folder, &fetch.identity)),
                looked: AtomicBool::new(false),
                refresh: fetch.refresh,
                stale: *stale,
                timeout: fetch.timeout,
                metrics: metrics.clone(),
                board: Arc::clone(&board),
            });
            services.periodic(
                TURN,
                Box::new(move || {
                    let fetcher = Arc::clone(&fetcher);
                    Box::pin(async move { fetcher.turn().await })
                }),
            );
        }
        providers.push(provider);
    }
    if !is_shown {
        let show = move || {
            board.publish(clock.now());
            Box::pin(std::future::ready(())) as _
        };
        services.periodic(LOOK, Box::new(show));
    }
    Some(providers.into())
}
