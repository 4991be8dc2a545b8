//! What the words of the `forward_auth` kind mean together.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Located, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::services::HttpClient;
use farmgate_plugin_api::units::Duration;
use farmgate_plugin_api::words::RequestField;
use farmgate_plugin_api::{Credential, Services, Source};
use http::{HeaderName, Method, Uri, header};

use super::answer::Rules;
use super::ask::Asker;
use super::decisions::Decisions;
use super::filter::{Cache, ForwardAuthFilter, MAX_TTL, Metrics};
use super::question::{Form, Keys, Missing};
use super::words::{CacheConfig, ForwardAuthConfig, Forwarded, QuestionMethod};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
const MOST_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_TTL: Duration = Duration::from_secs(30);
const DEFAULT_MAX_WAITING: u32 = 256;
const MOST_MAX_WAITING: u32 = 1_024;
const DEFAULT_MAX_ENTRIES: u32 = 10_000;
const MOST_MAX_ENTRIES: u32 = 1_000_000;
/// Most names of a list of fields.
const MAX_FIELDS: usize = 32;
/// Most sources of a key.
const MAX_SOURCES: usize = 16;

/// Fields of a refusal that clients need, unless the operator says which.
const CLIENT_FIELDS: [HeaderName; 6] = [
    header::WWW_AUTHENTICATE,
    header::LOCATION,
    header::SET_COOKIE,
    header::RETRY_AFTER,
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
];

/// Fields that carry no credential, as far as everybody uses them. All others that are sent are taken for some.
const HARMLESS: [HeaderName; 10] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::ORIGIN,
    header::REFERER,
    header::USER_AGENT,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-requested-with"),
    HeaderName::from_static("traceparent"),
];

impl ForwardAuthConfig {
    /// Checks what the words mean together.
    pub(super) fn compile(
        self,
        place: &Place,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<ForwardAuthFilter> {
        let before = diagnostics.error_count();
        let target = self.target(place, services, diagnostics);
        let send = match &self.send_headers {
            Some(fields) => check_sent(fields, diagnostics),
            None => vec![header::AUTHORIZATION, header::COOKIE],
        };
        let copy = self.copied(&send, diagnostics);
        let forward = self.forwarded(diagnostics);
        if let (Some(plan), None) = (&self.plan, &self.consumer) {
            let error = Diagnostic::error(codes::OPTIONS, &plan.place, "a plan of no consumer");
            diagnostics.push(error.with_help("write consumer, too"));
        }
        let timeout = check_time(
            "timeout",
            self.timeout.as_ref(),
            DEFAULT_TIMEOUT,
            MOST_TIMEOUT,
            diagnostics,
        );
        let most = check_number(
            "max_waiting",
            self.max_waiting.as_ref(),
            DEFAULT_MAX_WAITING,
            MOST_MAX_WAITING,
            diagnostics,
        );
        let client_fields: Vec<HeaderName> = match &self.client_headers {
            Some(fields) => {
                check_list(
                    "client_headers",
                    fields.value.len(),
                    MAX_FIELDS,
                    &fields.place,
                    diagnostics,
                );
                fields.value.iter().cloned().map(HeaderName::from).collect()
            }
            None => CLIENT_FIELDS.to_vec(),
        };
        let (uri, client) = match target {
            Some((uri, client)) => (uri, Some(client)),
            None => (Uri::default(), None),
        };
        let form = Form {
            method: match self.method {
                QuestionMethod::Get => Method::GET,
                QuestionMethod::Head => Method::HEAD,
                QuestionMethod::Post => Method::POST,
            },
            uri,
            send: send.into(),
            forward: forward.into(),
        };
        // All that decisions depend on: what was decided under other settings is not found again.
        let settings = format!(
            "{:?} {} {} {:?} {:?} {copy:?} {client_fields:?} {:?} {:?}",
            self.upstream.as_ref().map(|upstream| &upstream.value),
            form.method,
            form.uri,
            form.send,
            form.forward,
            self.consumer,
            self.plan.as_ref().map(|plan| &plan.value),
        );
        let ttl = self.cache.as_ref().and_then(|cache| cache.ttl.as_ref());
        let most_ttl = Duration::from_millis(u64::try_from(MAX_TTL.as_millis()).unwrap_or(0));
        let ttl = check_time("ttl", ttl, DEFAULT_TTL, most_ttl, diagnostics);
        let cache = self
            .cache
            .as_ref()
            .and_then(|cache| cache.compile(&form, ttl, &settings, services, diagnostics));
        let client = client.filter(|_| diagnostics.error_count() == before)?;
        let credentials = form.send.iter().filter(|name| !HARMLESS.contains(name));
        let credentials: Vec<HeaderName> = credentials.cloned().collect();
        let asker = Asker {
            client,
            clock: services.clock(),
            rules: Rules {
                copy: copy.clone().into(),
                client: client_fields.into(),
                consumer: self.consumer.map(HeaderName::from),
                plan: self.plan.map(|plan| HeaderName::from(plan.value)),
                ttl: ttl.get(),
            },
            timeout: timeout.get(),
            most,
            waiting: AtomicUsize::new(0),
            gauge: services.gauge("waiting", "Questions that wait for their answer."),
            asked: services.counter("asked", "Questions that were asked."),
            seconds: services.histogram("seconds", "How long answers took."),
        };
        Some(ForwardAuthFilter {
            form,
            asker: Arc::new(asker),
            cache,
            upstream: self.upstream.map(|upstream| upstream.value.into()),
            clock: services.clock(),
            identity: copy.into(),
            spent: match self.keep_credential {
                true => Box::default(),
                false => credentials.clone().into(),
            },
            credentials: credentials.into_iter().map(Credential::Header).collect(),
            metrics: Metrics {
                allowed: services.counter("allowed", "Requests that passed."),
                denied: services.counter("denied", "Requests that were refused."),
                failed: services.counter_by(
                    "failed",
                    "Requests without a decision; `fail` of the plugin decides.",
                    "reason",
                    6,
                ),
                cached: services.counter("cached", "Decisions that were kept from before."),
                joined: services.counter(
                    "joined",
                    "Requests that waited for the answer to another one's question.",
                ),
            },
        })
    }

    /// Who is asked.
    fn target(
        &self,
        place: &Place,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Uri, Arc<dyn HttpClient>)> {
        match (&self.url, &self.upstream) {
            (Some(url), None) => {
                if let Some(path) = &self.path {
                    let text = "path goes with upstream; a url has its own";
                    diagnostics.error(codes::OPTIONS, &path.place, text);
                }
                match check_url(&url.value) {
                    Ok(uri) => Some((uri, services.http_client())),
                    Err((text, help)) => {
                        let error = Diagnostic::error(codes::VALUE, &url.place, text);
                        diagnostics.push(error.with_help(help));
                        None
                    }
                }
            }
            (None, Some(upstream)) => {
                let path = self.path.as_ref().map_or("/", |path| &*path.value);
                let uri = path.parse::<Uri>().ok();
                let uri = uri.filter(|uri| path.starts_with('/') && uri.host().is_none());
                if let (None, Some(written)) = (&uri, &self.path) {
                    let error = Diagnostic::error(codes::VALUE, &written.place, "this is no path");
                    diagnostics.push(error.with_help("write it as \"/check\""));
                }
                match services.upstream_client(&upstream.value) {
                    Ok(client) => Some((uri?, client)),
                    Err(error) => {
                        diagnostics.error(codes::VALUE, &upstream.place, error);
                        None
                    }
                }
            }
            (Some(_), Some(upstream)) => {
                let text = "url and upstream exclude each other";
                let error = Diagnostic::error(codes::OPTIONS, &upstream.place, text);
                diagnostics.push(error.with_help("leave one of them out"));
                None
            }
            (None, None) => {
                let error = Diagnostic::error(codes::OPTIONS, place, "nobody is asked");
                diagnostics.push(error.with_help("write url = \"http://HOST/PATH\", or upstream"));
                None
            }
        }
    }

    /// Fields of the answer that go on with the request.
    fn copied(&self, send: &[HeaderName], diagnostics: &mut Diagnostics) -> Vec<HeaderName> {
        let Some(fields) = &self.copy_headers else {
            return Vec::new();
        };
        check_list(
            "copy_headers",
            fields.value.len(),
            MAX_FIELDS,
            &fields.place,
            diagnostics,
        );
        for field in &fields.value {
            let name = &field.value.0;
            if send.contains(name) {
                let text = format!("{name} is sent and copied");
                let error = Diagnostic::error(codes::OPTIONS, &field.place, text);
                diagnostics.push(error.with_help(
                    "copied fields are removed from what clients send, before anything is asked: use another field",
                ));
            }
        }
        fields
            .value
            .iter()
            .map(|field| field.value.0.clone())
            .collect()
    }

    /// What is told of the request: with a cache only what its key can hold.
    fn forwarded(&self, diagnostics: &mut Diagnostics) -> Vec<Forwarded> {
        let Some(written) = &self.forward else {
            return match self.cache {
                Some(_) => vec![
                    Forwarded::Method,
                    Forwarded::Path,
                    Forwarded::Host,
                    Forwarded::Proto,
                ],
                None => vec![
                    Forwarded::Method,
                    Forwarded::Uri,
                    Forwarded::Host,
                    Forwarded::Proto,
                    Forwarded::ClientIp,
                ],
            };
        };
        let mut forward: Vec<Forwarded> = Vec::new();
        for one in &written.value {
            let both = |known: &Forwarded| {
                matches!(
                    (known, one.value),
                    (Forwarded::Uri, Forwarded::Path) | (Forwarded::Path, Forwarded::Uri)
                )
            };
            if forward.contains(&one.value) {
                let text = format!("{} stands twice", one.value);
                diagnostics.error(codes::VALUE, &one.place, text);
            } else if forward.iter().any(both) {
                let error = "uri and path are written to one field, X-Forwarded-Uri";
                diagnostics.error(codes::OPTIONS, &one.place, error);
            } else {
                forward.push(one.value);
            }
        }
        forward
    }
}

impl CacheConfig {
    fn compile(
        &self,
        form: &Form,
        ttl: Duration,
        settings: &str,
        services: &dyn Services,
        diagnostics: &mut Diagnostics,
    ) -> Option<Cache> {
        let before = diagnostics.error_count();
        let sources = &self.key.value;
        if sources.is_empty() {
            let text = "a cache without a key has one decision for everybody";
            diagnostics.error(codes::VALUE, &self.key.place, text);
        }
        check_list(
            "key",
            sources.len(),
            MAX_SOURCES,
            &self.key.place,
            diagnostics,
        );
        if let Some(missing) = form.missing_in(sources) {
            let (what, help) = match missing {
                Missing::Field(name) => (
                    format!("the field {name}"),
                    format!("write \"header:{name}\" into the key, or take it out of send_headers"),
                ),
                Missing::Told(Forwarded::Uri) => (
                    "the query".to_owned(),
                    "no key can hold a whole query: write \"path\" instead of \"uri\" in forward"
                        .to_owned(),
                ),
                Missing::Told(told) => (
                    format!("the request's {told}"),
                    format!("write \"{told}\" into the key, or leave it out of forward"),
                ),
            };
            let text = format!(
                "{what} is sent and not in the key: one client could get another's decision"
            );
            diagnostics
                .push(Diagnostic::error(codes::OPTIONS, &self.key.place, text).with_help(help));
        }
        let most = check_number(
            "max_entries",
            self.max_entries.as_ref(),
            DEFAULT_MAX_ENTRIES,
            MOST_MAX_ENTRIES,
            diagnostics,
        );
        if diagnostics.error_count() > before {
            return None;
        }
        let names: Vec<String> = sources.iter().map(Source::to_string).collect();
        let settings = format!("{settings} {names:?} {ttl} {most}");
        let mut make = || Arc::new(Decisions::new(most)) as _;
        let decisions: Arc<Decisions> = services.shared(&settings, &mut make).downcast().ok()?;
        Some(Cache {
            keys: Keys {
                secret: decisions.secret(),
                sources: sources.clone().into(),
            },
            decisions,
            flights: Arc::default(),
            evicted: services.counter(
                "evicted",
                "Decisions that still held and were given up to make room for new ones.",
            ),
        })
    }
}

/// A URL that the host's client can ask.
fn check_url(url: &str) -> Result<Uri, (String, &'static str)> {
    const HELP: &str = "write it as \"http://127.0.0.1:9009/check\"";
    let uri: Uri = url
        .parse()
        .map_err(|_| ("this is no URL".to_owned(), HELP))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            let text = "an https service cannot be asked by its URL".to_owned();
            return Err((
                text,
                "write an [[upstream]] with tls, and its name as upstream",
            ));
        }
        _ => return Err(("this is no http URL".to_owned(), HELP)),
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        // Not repeated: it is a secret.
        return Err(("the URL holds credentials".to_owned(), HELP));
    }
    if uri.host().unwrap_or_default().is_empty() || uri.port_u16() == Some(0) {
        return Err(("the URL has no host, or a wrong port".to_owned(), HELP));
    }
    Ok(uri)
}

/// Fields that are sent.
fn check_sent(
    fields: &Located<Vec<Located<RequestField>>>,
    diagnostics: &mut Diagnostics,
) -> Vec<HeaderName> {
    check_list(
        "send_headers",
        fields.value.len(),
        MAX_FIELDS,
        &fields.place,
        diagnostics,
    );
    for field in &fields.value {
        if field.value.0.as_str().starts_with("x-forwarded-") {
            let text = format!("{} is written by Farmgate", field.value.0);
            let error = Diagnostic::error(codes::VALUE, &field.place, text);
            diagnostics.push(error.with_help("say in forward what the service is told"));
        }
    }
    let mut names = Vec::new();
    for field in &fields.value {
        if names.contains(&field.value.0) {
            let text = format!("{} stands twice", field.value.0);
            diagnostics.error(codes::VALUE, &field.place, text);
        } else {
            names.push(field.value.0.clone());
        }
    }
    names
}

fn check_list(name: &str, count: usize, most: usize, place: &Place, diagnostics: &mut Diagnostics) {
    if count > most {
        let text = format!("{name} holds {count} entries; at most {most} are possible");
        diagnostics.error(codes::VALUE, place, text);
    }
}

fn check_time(
    name: &str,
    written: Option<&Located<Duration>>,
    default: Duration,
    most: Duration,
    diagnostics: &mut Diagnostics,
) -> Duration {
    let Some(written) = written else {
        return default;
    };
    if written.value.is_zero() || written.value > most {
        let text = format!("{name} is above 0s and at most {most}");
        diagnostics.error(codes::VALUE, &written.place, text);
    }
    written.value
}

fn check_number(
    name: &str,
    written: Option<&Located<u32>>,
    default: u32,
    most: u32,
    diagnostics: &mut Diagnostics,
) -> usize {
    let number = written.map_or(default, |written| written.value);
    if let Some(written) = written
        && !(1..=most).contains(&number)
    {
        let text = format!("{name} is from 1 to {most}");
        diagnostics.error(codes::VALUE, &written.place, text);
    }
    usize::try_from(number).unwrap_or(usize::MAX)
}
