//! How the keys of providers come: read now, or fetched from now on.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration as Time;

use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::services::{HttpClient, Kept};
use farmgate_plugin_api::units::Duration;
use http::Uri;

use super::config::JwksConfig;
use super::disk::{self, Shelf};
use super::fetch::{Fetcher, Origin, TURN};
use super::jwks::MAX_DOCUMENT_BYTES;
use super::metrics::{Board, Metrics};
use super::providers::{Checked, check_time};
use super::rules::{Keys, Provider};
use super::store::Store;
use super::url::{Trust, key_url};

/// How often the gauges of files are set.
const LOOK: Time = Time::from_secs(1);
/// What fetching needs.
pub(super) struct Fetch {
    identity: String,
    origin: Origin,
    trust: Trust,
    client: Arc<dyn HttpClient>,
    refresh: Time,
    timeout: Time,
}

/// Checks the words about a provider's keys.
pub(super) fn check(
    config: Located<JwksConfig>,
    issuer: &str,
    services: &dyn Services,
    diagnostics: &mut Diagnostics,
) -> Option<(Keys, Option<Fetch>)> {
    let place = config.place;
    let config = config.value;
    let discovery = config.discovery.as_ref().is_some_and(|word| word.value);
    let count = [
        config.url.is_some(),
        discovery,
        config.file.is_some(),
        config.inline.is_some(),
    ];
    if count.iter().filter(|is_there| **is_there).count() != 1 {
        let text = "jwks has one of url, discovery, file and inline";
        let error = Diagnostic::error(codes::OPTIONS, &place, text);
        diagnostics.push(error.with_help("write jwks = { url = \"https://HOST/PATH\" }"));
        return None;
    }
    if config.file.is_some() || config.inline.is_some() {
        return check_given(&config, &place, services, diagnostics).map(|keys| (keys, None));
    }
    let range =
        |least: u64, most: u64, words| (Time::from_secs(least), Time::from_secs(most), words);
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
    services
        .kept(&disk::name(identity), &mut make)
        .downcast()
        .ok()
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
