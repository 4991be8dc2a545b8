//! Filters as a route has them, each with a request that passes: for the bench of their time and the test of their
//! allocations.

use std::sync::Arc;

use farmgate_plugin_api::compliance::{self, FakeRequest, FakeResponse, FakeServices};
use farmgate_plugin_api::{Filter, Kind, Verdict};
use http::StatusCode;

/// Signed with HS256 and the secret below; it ends in 2100.
const TOKEN: &str = "Bearer eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJpc3MiOiAiaHR0cHM6Ly9pZHAuZXhhbXBsZS50ZXN0IiwgImF1ZCI6ICJhcGkiLCAic3ViIjogInUxIiwgImV4cCI6IDQxMDI0NDQ4MDB9.EVec4cIoFn6CNMllSUAq4V6ruhciBij7c-atLHaPVlg";

/// One filter, and what a request may cost in it.
pub(crate) struct Case {
    /// The kind, and what is special.
    pub(crate) name: &'static str,
    /// Nanoseconds, in the release profile.
    #[allow(dead_code, reason = "only the bench reads it")]
    pub(crate) most_ns: f64,
    /// Allocations on the usual path.
    #[allow(dead_code, reason = "only the test reads it")]
    pub(crate) most_allocations: u64,
    filter: Arc<dyn Filter>,
    phase: Phase,
    request: fn() -> FakeRequest,
    /// The clock, the tables and the metrics.
    _services: FakeServices,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Request,
    Response,
}

/// What a case is called with.
pub(crate) enum Made {
    /// In `request_head`.
    Request(Box<FakeRequest>),
    /// In `response_head`.
    Response(Box<FakeResponse>),
}

impl Case {
    /// A request, or a response to one.
    pub(crate) fn make(&self) -> Made {
        let request = (self.request)();
        match self.phase {
            Phase::Request => Made::Request(Box::new(request)),
            Phase::Response => {
                let response = FakeResponse::new(request, StatusCode::OK)
                    .header("content-type", "text/html")
                    .header("server", "origin")
                    .header("x-powered-by", "origin");
                Made::Response(Box::new(response))
            }
        }
    }

    /// Calls the filter. It passes what it is given.
    pub(crate) fn call(&self, made: &mut Made) {
        let verdict = match made {
            Made::Request(request) => compliance::verdict(self.filter.request_head(&mut **request)),
            Made::Response(response) => {
                compliance::verdict(self.filter.response_head(&mut **response))
            }
        };
        assert!(
            matches!(verdict, Verdict::Continue),
            "{}: {verdict:?}",
            self.name
        );
    }
}

fn case(
    name: &'static str,
    (most_ns, most_allocations): (f64, u64),
    kind: &dyn Kind,
    table: &str,
    phase: Phase,
    request: fn() -> FakeRequest,
) -> Case {
    let services = FakeServices::new();
    let built = compliance::build(kind, table, &services);
    let built = built.unwrap_or_else(|error| panic!("{name}: {error}"));
    Case {
        name,
        most_ns,
        most_allocations,
        filter: built.filter,
        phase,
        request,
        _services: services,
    }
}

/// As browsers and machines ask.
fn plain() -> FakeRequest {
    FakeRequest::get("/orders/7?page=2")
        .host("api.example.test")
        .https()
        .header("accept", "*/*")
        .header("user-agent", "bench")
        .header("origin", "https://app.example.test")
        .header("x-tenant", "t7")
}

/// All of them. The times are those of issue and README; the allocations are what they are today, and may only fall.
pub(crate) fn cases() -> Vec<Case> {
    use farmgate_plugins as kinds;
    vec![
        case(
            "rate_limit, three keys",
            (1000.0, RATE_LIMIT),
            kinds::rate_limit::KIND,
            "headers = false\nlimits = [\n             { key = 'client_ip', rate = 1000000000, per = '1s' },\n             { key = 'header:x-tenant', rate = 1000000000, per = '1s' },\n             { key = 'global', rate = 1000000000, per = '1s' }]",
            Phase::Request,
            plain,
        ),
        case(
            "jwt, warm verdict",
            (2000.0, JWT),
            kinds::jwt::KIND,
            "[[providers]]\nissuer = 'https://idp.example.test'\naudiences = ['api']\n             secret = 'thirty-two bytes of an example key'",
            Phase::Request,
            || plain().header("authorization", TOKEN),
        ),
        case(
            "api_key",
            (1000.0, API_KEY),
            kinds::api_key::KIND,
            "from = ['header:x-api-key']\nconsumers = [{ name = 'acme', plan = 'gold',              sha256 = ['2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'] }]",
            Phase::Request,
            || plain().header("x-api-key", "foo"),
        ),
        case(
            "cors, an origin that may",
            (300.0, CORS),
            kinds::cors::KIND,
            "origins = ['https://app.example.test', 'https://*.example.test']\nmethods = ['GET', 'POST']",
            Phase::Response,
            plain,
        ),
        case(
            "headers, two set and one removed",
            (300.0, HEADERS),
            kinds::headers::KIND,
            "response = { set = { 'x-served-by' = 'bench', 'x-frame-options' = 'DENY' }, remove = ['x-powered-by'] }",
            Phase::Response,
            plain,
        ),
        case(
            "security_headers",
            (1000.0, SECURITY_HEADERS),
            kinds::security_headers::KIND,
            "",
            Phase::Response,
            plain,
        ),
        case(
            "experiment, two variants",
            (1000.0, EXPERIMENT),
            kinds::experiment::KIND,
            "key = 'header:x-tenant'\nheader = 'x-variant'\nvariants = { old = 50, new = 50 }",
            Phase::Request,
            plain,
        ),
    ]
}

const RATE_LIMIT: u64 = 0;
const JWT: u64 = 0;
const API_KEY: u64 = 0;
const CORS: u64 = 0;
const HEADERS: u64 = 0;
const SECURITY_HEADERS: u64 = 0;
const EXPERIMENT: u64 = 2;
