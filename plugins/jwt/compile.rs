//! What the words of the whole plugin mean together.

use std::collections::BTreeMap;

use boring::rand::rand_bytes;
use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::units::{Duration, Size};
use farmgate_plugin_api::words::RequestField;
use farmgate_plugin_api::{Services, Source};
use http::{HeaderName, header};

use super::cache::Cache;
use super::claims::{Path, Requirements, Scalar};
use super::config::{ConsumerConfig, JwtConfig, Values};
use super::filter::JwtFilter;
use super::identity::ConsumerClaims;
use super::metrics::Metrics;
use super::place::Place as TokenPlace;
use super::providers;
use super::refusal::Challenges;
use super::rules::Rules;
use super::sources;

/// Most places of tokens.
const MAX_PLACES: usize = 8;
/// Most entries of each list and table of claims.
const MAX_CLAIMS: usize = 32;
/// Longest name of a claim, in bytes.
const MAX_PATH_BYTES: usize = 256;
/// Tokens: the shortest limit, the usual one, the longest.
const TOKEN_BYTES: (u64, u64, u64) = (256, 8 << 10, 64 << 10);
/// Waits for keys: the usual one, and the longest.
const WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Remembered verdicts: usually, and at most.
const CACHE: (u32, u32) = (10_000, 1_000_000);

impl JwtConfig {
    /// Checks what the words mean, finds the keys of earlier configurations again, and asks the
    /// host to have them fetched.
    pub(super) fn compile(
        self,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<JwtFilter> {
        let before = diagnostics.error_count();
        let places = check_places(self.from, diagnostics);
        let fields = check_fields(&self.claims_to_headers, &places, diagnostics);
        let requirements = Requirements {
            present: check_paths(&self.required_claims, "required_claims", diagnostics),
            values: check_values(self.claims, diagnostics),
            scopes: check_scopes(&self.scopes, diagnostics),
        };
        let consumer = check_consumer(self.consumer, diagnostics);
        let max_token_bytes = check_max_token(self.max_token, diagnostics);
        let wait = check_wait(self.wait, diagnostics);
        let cache = self.cache.unwrap_or(CACHE.0.into());
        if cache.value > CACHE.1 {
            let text = format!("cache is from 0 to {}", CACHE.1);
            diagnostics.error(codes::VALUE, &cache.place, text);
        }
        let realm = self.realm.unwrap_or("api".to_owned().into());
        let challenges = Challenges::new(&realm.value);
        if challenges.is_none() || realm.len() > 128 {
            let text = "realm is at most 128 bytes of printable ASCII";
            diagnostics.error(codes::VALUE, &realm.place, text);
        }
        let checked = providers::check(self.providers, services, diagnostics);
        let mut secret = [0; 16];
        if rand_bytes(&mut secret).is_err() {
            let text = "the system gives no random numbers";
            diagnostics.error(codes::VALUE, &Place::none(), text);
        }
        if diagnostics.error_count() > before {
            return None;
        }
        let metrics = Metrics::new(services);
        let providers = sources::begin(checked, services, &metrics)?;
        Some(JwtFilter {
            credentials: places.iter().map(TokenPlace::credential).collect(),
            identity: fields.iter().map(|(_, name)| name.clone()).collect(),
            places,
            rules: Rules {
                providers,
                requirements,
                consumer,
                fields,
            },
            cache: Cache::new(usize::try_from(cache.value).unwrap_or(usize::MAX), secret),
            challenges: challenges?,
            optional: self.optional,
            keep_credential: self.keep_credential,
            max_token_bytes,
            wait,
            clock: services.clock(),
            metrics,
        })
    }
}

/// Reports a list that is too long.
pub(super) fn check_count(
    count: usize,
    most: usize,
    name: &str,
    place: &Place,
    diagnostics: &mut Diagnostics,
) {
    if count > most {
        let text = format!("{name} holds {count} entries; at most {most} are possible");
        diagnostics.error(codes::VALUE, place, text);
    }
}

fn check_places(
    from: Option<Located<Vec<Located<Source>>>>,
    diagnostics: &mut Diagnostics,
) -> Box<[TokenPlace]> {
    let Some(from) = from else {
        return Box::new([TokenPlace::Bearer]);
    };
    if from.is_empty() {
        let error = Diagnostic::error(codes::VALUE, &from.place, "from is empty");
        diagnostics.push(error.with_help("write from = [\"header:authorization\"]"));
    }
    check_count(from.len(), MAX_PLACES, "from", &from.place, diagnostics);
    let mut places: Vec<TokenPlace> = Vec::new();
    for source in &from.value {
        match TokenPlace::of(&source.value) {
            None => {
                let text = format!("no token stands in `{}`", source.value);
                let error = Diagnostic::error(codes::VALUE, &source.place, text);
                let help = "a token comes in `header:NAME`, `cookie:NAME` or `query:NAME`";
                diagnostics.push(error.with_help(help));
            }
            Some(place) if places.contains(&place) => {
                let text = format!("`{}` comes twice", source.value);
                diagnostics.error(codes::VALUE, &source.place, text);
            }
            Some(place) => places.push(place),
        }
    }
    places.into()
}

fn check_fields(
    table: &Located<BTreeMap<String, Located<RequestField>>>,
    places: &[TokenPlace],
    diagnostics: &mut Diagnostics,
) -> Box<[(Path, HeaderName)]> {
    let name = "claims_to_headers";
    check_count(table.len(), MAX_CLAIMS, name, &table.place, diagnostics);
    let mut fields: Vec<(Path, HeaderName)> = Vec::new();
    for (claim, field) in &table.value {
        let header = &field.value.0;
        let carries = places.iter().any(|place| place.field() == Some(header));
        if carries || [header::AUTHORIZATION, header::COOKIE].contains(header) {
            let text =
                format!("`{header}` carries credentials: it would be removed from all requests");
            let error = Diagnostic::error(codes::OPTIONS, &field.place, text);
            diagnostics.push(error.with_help("name a field of its own, as \"x-auth-user\""));
        }
        if fields.iter().any(|(_, known)| known == header) {
            let text = format!("two claims are to be `{header}`");
            diagnostics.error(codes::OPTIONS, &field.place, text);
        }
        fields.push((path(claim, &field.place, diagnostics), header.clone()));
    }
    fields.into()
}

/// The claim of this name.
fn path(text: &str, place: &Place, diagnostics: &mut Diagnostics) -> Path {
    if text.is_empty() || text.len() > MAX_PATH_BYTES {
        let text = format!("a claim's name has 1 to {MAX_PATH_BYTES} bytes");
        diagnostics.error(codes::VALUE, place, text);
    }
    Path::new(text)
}

fn check_paths(
    list: &Located<Vec<Located<String>>>,
    name: &str,
    diagnostics: &mut Diagnostics,
) -> Box<[Path]> {
    check_count(list.len(), MAX_CLAIMS, name, &list.place, diagnostics);
    let paths = list.iter().map(|one| path(one, &one.place, diagnostics));
    paths.collect()
}

fn check_values(
    table: Located<BTreeMap<String, Located<Values>>>,
    diagnostics: &mut Diagnostics,
) -> Box<[(Path, Vec<Scalar>)]> {
    check_count(table.len(), MAX_CLAIMS, "claims", &table.place, diagnostics);
    let mut all = Vec::new();
    for (claim, values) in table.value {
        let Values(wanted) = values.value;
        if wanted.is_empty() {
            let text = format!("no token has one of no values for {claim:?}");
            let error = Diagnostic::error(codes::VALUE, &values.place, text);
            diagnostics.push(error.with_help("name the values, or use required_claims"));
        }
        check_count(
            wanted.len(),
            MAX_CLAIMS,
            "the claim",
            &values.place,
            diagnostics,
        );
        all.push((path(&claim, &values.place, diagnostics), wanted));
    }
    all.into()
}

fn check_scopes(
    list: &Located<Vec<Located<String>>>,
    diagnostics: &mut Diagnostics,
) -> Box<[Box<str>]> {
    check_count(list.len(), MAX_CLAIMS, "scopes", &list.place, diagnostics);
    for scope in &list.value {
        if scope.is_empty() || scope.contains(' ') {
            let error = Diagnostic::error(codes::VALUE, &scope.place, "this is no scope");
            diagnostics.push(error.with_help("write one word for each scope, without spaces"));
        }
    }
    list.iter()
        .map(|scope| scope.value.as_str().into())
        .collect()
}

fn check_consumer(config: Option<ConsumerConfig>, diagnostics: &mut Diagnostics) -> ConsumerClaims {
    let (name, plan, tags) = match config {
        Some(config) => (config.name, config.plan, config.tags),
        None => (None, None, None),
    };
    let mut read =
        |word: Option<Located<String>>| word.map(|word| path(&word, &word.place, diagnostics));
    let name = read(name);
    ConsumerClaims {
        needed: name.is_some(),
        name: name.unwrap_or_else(|| Path::new("sub")),
        plan: read(plan),
        tags: read(tags),
    }
}

fn check_max_token(size: Option<Located<Size>>, diagnostics: &mut Diagnostics) -> usize {
    let (least, usual, most) = TOKEN_BYTES;
    let Some(size) = size else {
        return usize::try_from(usual).unwrap_or(usize::MAX);
    };
    if !(least..=most).contains(&size.bytes()) {
        let error = Diagnostic::error(
            codes::VALUE,
            &size.place,
            "max_token is from 256 B to 64 KiB",
        );
        diagnostics.push(error.with_help("write max_token = \"8KiB\""));
    }
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

fn check_wait(
    wait: Option<Located<Duration>>,
    diagnostics: &mut Diagnostics,
) -> std::time::Duration {
    let wait = wait.unwrap_or(WAIT.0.into());
    if wait.value > WAIT.1 {
        let error = Diagnostic::error(codes::VALUE, &wait.place, "wait is at most 10 s");
        diagnostics.push(error.with_help("write wait = \"500ms\""));
    }
    wait.value.get()
}
