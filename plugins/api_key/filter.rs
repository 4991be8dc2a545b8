//! Deciding about a request by its key.

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::ArcSwap;
use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::services::{Counter, CounterBy};
use farmgate_plugin_api::source::query_value;
use farmgate_plugin_api::{
    Answer, Consumer, Credential, Facts, Filter, Phases, Reply, Services, Source,
};
use http::{HeaderValue, StatusCode, header};

use super::keys::Keys;

/// Longest key, in bytes. A longer value is no key, and is not worth hashing.
pub(super) const MAX_KEY_BYTES: usize = 512;

/// Lets in who has a key.
pub(super) struct ApiKeyFilter {
    /// Where a key may stand; the first place that has one counts.
    pub(super) sources: Box<[Source]>,
    /// The same places.
    pub(super) credentials: Box<[Credential]>,
    pub(super) keys: Arc<ArcSwap<Keys>>,
    pub(super) challenge: HeaderValue,
    pub(super) required: bool,
    pub(super) keep_credential: bool,
    pub(super) metrics: Metrics,
}

/// What is counted.
pub(super) struct Metrics {
    allowed: Arc<dyn Counter>,
    anonymous: Arc<dyn Counter>,
    refused: Arc<dyn CounterBy>,
}

/// The words that `refused` counts by.
const REASONS: [&str; 4] = ["missing", "unknown", "several", "too_long"];

impl Metrics {
    pub(super) fn new(services: &dyn Services) -> Self {
        let help = "Requests that were refused.";
        let refused = services.counter_by("refused", help, "reason", REASONS.len());
        // Named now, so that they show from the start and go on over a reload.
        REASONS.iter().for_each(|reason| refused.add(reason, 0));
        Self {
            allowed: services.counter("allowed", "Requests with a key that is known."),
            anonymous: services.counter("anonymous", "Requests without a key that passed."),
            refused,
        }
    }
}

/// What stands in one place.
enum Found {
    Nothing,
    Key(Option<Consumer>),
    TooLong,
    /// Who comes after us might take another one than we do.
    Several,
}

impl Filter for ApiKeyFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let consumer = match self.look(&*request) {
            Found::Nothing if self.required => return self.refuse("missing", "key_missing"),
            Found::Nothing => {
                self.metrics.anonymous.add(1);
                return Answer::CONTINUE;
            }
            Found::Several => return self.refuse("several", "key_refused"),
            Found::TooLong => return self.refuse("too_long", "key_refused"),
            Found::Key(None) => return self.refuse("unknown", "key_refused"),
            Found::Key(Some(consumer)) => consumer,
        };
        if !self.keep_credential && !self.take_out(request) {
            return Answer::error("the key cannot be taken out of the target");
        }
        self.metrics.allowed.add(1);
        request.set_consumer(consumer);
        Answer::CONTINUE
    }
}

impl ApiKeyFilter {
    fn refuse(&self, reason: &'static str, detail: &'static str) -> Answer<'static> {
        self.metrics.refused.add(reason, 1);
        let reply = Reply::problem(StatusCode::UNAUTHORIZED, detail);
        Answer::reply(reply.header(header::WWW_AUTHENTICATE, self.challenge.clone()))
    }

    /// What the first place holds that holds anything.
    fn look(&self, facts: &dyn Facts) -> Found {
        let keys = self.keys.load();
        for source in &self.sources {
            let mut found = Found::Nothing;
            each_value(source, facts, &mut |value| {
                found = match found {
                    Found::Nothing if value.len() > MAX_KEY_BYTES => Found::TooLong,
                    Found::Nothing => Found::Key(keys.find(value).cloned()),
                    _ => Found::Several,
                };
            });
            match found {
                Found::Nothing => {}
                Found::Key(Some(mut consumer)) => {
                    consumer.by_authorization = is_authorization(source);
                    return Found::Key(Some(consumer));
                }
                other => return other,
            }
        }
        Found::Nothing
    }

    /// Takes every place out of the request that goes on; an Authorization field only if it is a key's.
    fn take_out(&self, request: &mut (dyn Request + '_)) -> bool {
        self.credentials.iter().all(|credential| {
            let is_other = *credential == Credential::Header(header::AUTHORIZATION) && {
                let fields = request.headers().get_all(header::AUTHORIZATION);
                fields.iter().all(|field| bearer(field).is_none())
            };
            is_other || credential.remove(request)
        })
    }
}

fn is_authorization(source: &Source) -> bool {
    matches!(source, Source::Header(name) if *name == header::AUTHORIZATION)
}

/// Shows each value of a place that is not empty. Allocates for a query value with escapes only.
fn each_value(source: &Source, facts: &dyn Facts, see: &mut dyn FnMut(&[u8])) {
    let mut see = |value: &[u8]| {
        if !value.is_empty() {
            see(value);
        }
    };
    match source {
        Source::Header(name) => {
            let authorization = is_authorization(source);
            for field in facts.headers().get_all(name) {
                match (authorization, bearer(field)) {
                    (true, Some(key)) => see(key),
                    (true, None) => {}
                    (false, _) => see(field.as_bytes()),
                }
            }
        }
        Source::Query(name) => {
            for pair in facts.query().unwrap_or_default().split('&') {
                match query_value(Some(pair), name) {
                    Some(Cow::Borrowed(value)) => see(value),
                    Some(Cow::Owned(value)) => see(&value),
                    None => {}
                }
            }
        }
        Source::Cookie(name) => {
            for field in facts.headers().get_all(header::COOKIE) {
                for pair in field.as_bytes().split(|b| *b == b';') {
                    let mut parts = pair.splitn(2, |b| *b == b'=');
                    if let (Some(key), Some(value)) = (parts.next(), parts.next())
                        && key.trim_ascii() == name.as_bytes()
                    {
                        see(value.trim_ascii());
                    }
                }
            }
        }
        // `config` refuses them.
        Source::ClientIp
        | Source::Host
        | Source::Path
        | Source::Method
        | Source::Global
        | Source::Consumer
        | Source::ConsumerPlan
        | Source::ClientSan => {}
    }
}

/// The token of an Authorization field of scheme Bearer (RFC 6750, section 2.1).
fn bearer(field: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = field.as_bytes().split_at_checked(7)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer ");
    is_bearer.then(|| token.trim_ascii())
}
