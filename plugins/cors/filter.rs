//! Answering preflights, and naming the origin on every other answer (Fetch Standard, section 3.2).

use std::sync::Arc;

use farmgate_plugin_api::exchange::{Request, Response};
use farmgate_plugin_api::services::Counter;
use farmgate_plugin_api::{Answer, Facts, Filter, Headers, Phases, Reply};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::origins::{Origins, is_same};

const TRUE: HeaderValue = HeaderValue::from_static("true");
const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
static ALLOW_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
static REQUEST_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");

/// What an origin says of it is not heard: two answers would be none to a browser.
static OURS: [HeaderName; 7] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("access-control-allow-private-network"),
];

/// Lets the scripts of other origins read, or not.
pub(super) struct CorsFilter {
    pub(super) origins: Origins,
    pub(super) credentials: bool,
    pub(super) methods: HeaderValue,
    pub(super) headers: Option<HeaderValue>,
    pub(super) expose: Option<HeaderValue>,
    pub(super) max_age: HeaderValue,
    pub(super) private_network: bool,
    pub(super) refuse: bool,
    pub(super) metrics: Metrics,
}

/// What is counted.
pub(super) struct Metrics {
    pub(super) preflights: Arc<dyn Counter>,
    pub(super) unknown: Arc<dyn Counter>,
    pub(super) refused: Arc<dyn Counter>,
}

impl Filter for CorsFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD.and(Phases::RESPONSE_HEAD)
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let Some(origin) = request.headers().get(ORIGIN) else {
            return Answer::CONTINUE;
        };
        let allowed = self.find(origin, request);
        let own = allowed.is_none() && is_own(origin, request);
        if allowed.is_none() && !own {
            self.metrics.unknown.add(1);
            if self.refuse {
                self.metrics.refused.add(1);
                let reply = Reply::problem(StatusCode::FORBIDDEN, "origin_not_allowed");
                return Answer::reply(reply);
            }
        }
        // Fetch Standard, section 3.2.2: what makes an OPTIONS a preflight.
        let preflight = *request.method() == Method::OPTIONS
            && request
                .headers()
                .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !preflight || own {
            return Answer::CONTINUE;
        }
        self.metrics.preflights.add(1);
        // The origin is named in `response_head`, which replies pass as well.
        let mut reply = Reply::new(StatusCode::NO_CONTENT, "preflight");
        if allowed.is_some() {
            reply.headers.reserve(4);
            let mut field = |name, value: &HeaderValue| reply.headers.push((name, value.clone()));
            field(ACCESS_CONTROL_ALLOW_METHODS, &self.methods);
            if let Some(headers) = &self.headers {
                field(ACCESS_CONTROL_ALLOW_HEADERS, headers);
            }
            field(ACCESS_CONTROL_MAX_AGE, &self.max_age);
            let asks = request.headers().get(&REQUEST_NETWORK);
            if self.private_network && asks.is_some_and(|value| value == "true") {
                field(ALLOW_NETWORK.clone(), &TRUE);
            }
        }
        Answer::reply(reply)
    }

    fn response_head<'a>(&'a self, response: &'a mut dyn Response) -> Answer<'a> {
        let request = response.request();
        let origin = request.headers().get(ORIGIN);
        let allowed = origin.and_then(|origin| self.find(origin, request));
        let preflight = is_preflight(request);
        let local = response.is_local();
        let headers = response.edit();
        // A preflight's own answer was made above.
        if !(local && preflight) {
            remove_ours(headers);
        }
        if !self.origins.is_any() {
            vary(headers);
        }
        let Some(allowed) = allowed else {
            return Answer::CONTINUE;
        };
        headers.set(&ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.set(&ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        if let Some(expose) = self.expose.as_ref().filter(|_| !preflight) {
            headers.set(&ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
        Answer::CONTINUE
    }
}

impl CorsFilter {
    fn find(&self, origin: &HeaderValue, request: &dyn Request) -> Option<HeaderValue> {
        // Two of them are from no browser, and nobody can say which one would be believed.
        let mut all = request.headers().get_all(ORIGIN).iter();
        let one = all.next().is_some() && all.next().is_none();
        self.origins.find(origin).filter(|_| one)
    }
}

fn is_own(origin: &HeaderValue, request: &dyn Request) -> bool {
    let host = request.headers().get(HOST);
    is_same(origin.as_bytes(), request.scheme(), host)
}

fn is_preflight(request: &dyn Facts) -> bool {
    let headers = request.headers();
    *request.method() == Method::OPTIONS
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && headers.contains_key(ORIGIN)
}

fn remove_ours(headers: &mut dyn Headers) {
    // One look at the names is cheaper than a search for each of these.
    let has = |map: &HeaderMap| {
        map.keys().any(|name| {
            let name = name.as_str().as_bytes();
            name.starts_with(b"access-control-")
        })
    };
    if has(headers.map()) {
        for name in &OURS {
            headers.remove(name);
        }
    }
}

/// Adds Origin to Vary unless it stands there: whoever keeps the answer must not give it to another origin.
fn vary(headers: &mut dyn Headers) {
    let stands = headers.map().get_all(VARY).iter().any(|line| {
        let mut names = line.as_bytes().split(|byte| *byte == b',');
        names.any(|name| {
            let name = name.trim_ascii();
            name == b"*" || name.eq_ignore_ascii_case(b"origin")
        })
    });
    if !stands {
        headers.append(&VARY, VARY_ORIGIN);
    }
}
