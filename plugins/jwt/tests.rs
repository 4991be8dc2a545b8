use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::{Built, Consumer, Facts, Verdict};
use serde_json::{Value, json};

use super::KIND;
use mint::{Minter, document};

mod claims;
mod fetching;
mod hostile;
mod mint;
mod mistakes;
mod places;
mod properties;
mod seeds;
mod signatures;
mod verdicts;
mod waiting;

fn build(table: &str, services: &FakeServices) -> Built {
    compliance::build(KIND, table, services).unwrap()
}

/// A table with one provider that has these keys and options.
fn table(top: &str, provider: &str, keys: &[Value]) -> String {
    format!(
        "{top}\n[[providers]]\nissuer = '{}'\naudiences = ['api']\n{provider}\njwks = {{ inline = '{}' }}",
        mint::ISSUER,
        document(keys)
    )
}

fn with_token(token: &str) -> FakeRequest {
    FakeRequest::get("/").header("authorization", format!("Bearer {token}"))
}

/// Who sends it; the builder of fake requests has a method of the same name.
fn who(request: &FakeRequest) -> Option<&Consumer> {
    Facts::consumer(request)
}

/// What came of a request: `pass`, or the status and detail of a refusal, or `error`.
fn ask(built: &Built, request: &mut FakeRequest) -> String {
    match compliance::verdict(built.filter.request_head(request)) {
        Verdict::Continue => "pass".to_owned(),
        Verdict::Error(_) => "error".to_owned(),
        Verdict::Reply(reply) => {
            assert!(reply.problem);
            let [(name, value)] = &reply.headers[..] else {
                panic!("{:?}", reply.headers)
            };
            assert_eq!(name, "www-authenticate");
            let challenge = match (reply.status.as_u16(), reply.detail) {
                (401, "token_missing") => "Bearer realm=\"api\"",
                (401, _) => "Bearer realm=\"api\", error=\"invalid_token\"",
                _ => "Bearer realm=\"api\", error=\"insufficient_scope\"",
            };
            assert_eq!(value, challenge);
            format!("{} {}", reply.status.as_u16(), reply.detail)
        }
        Verdict::Reset => panic!("a reset"),
    }
}

/// The one reason that was counted since the last call.
struct Reasons<'s>(&'s FakeServices, Vec<u64>);

const REASONS: [&str; 17] = [
    "missing",
    "ambiguous",
    "too_large",
    "malformed",
    "critical",
    "algorithm",
    "type",
    "issuer",
    "unknown_key",
    "signature",
    "expired",
    "not_yet",
    "audience",
    "scope",
    "claims",
    "header_value",
    "consumer",
];

impl<'s> Reasons<'s> {
    fn of(services: &'s FakeServices) -> Self {
        Self(services, vec![0; REASONS.len()])
    }

    fn last(&mut self) -> &'static str {
        let now: Vec<u64> = REASONS
            .iter()
            .map(|reason| self.0.metric_by("refused", reason))
            .collect();
        let changed: Vec<_> = (0..now.len())
            .filter(|at| now[*at] != self.1[*at])
            .collect();
        self.1 = now;
        match changed[..] {
            [] => "",
            [at] => REASONS[at],
            _ => panic!("several reasons"),
        }
    }
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn a_signed_token_passes_and_says_who_it_is() {
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let top = "claims_to_headers = { sub = 'x-auth-user', tenant = 'x-auth-tenant' }";
    let built = build(&table(top, "", &[minter.jwk()]), &services);
    let mut request = with_token(&minter.token(&json!({ "tenant": "acme" })));
    assert_eq!(ask(&built, &mut request), "pass");
    assert_eq!(request.headers.0["x-auth-user"], "ann");
    assert_eq!(request.headers.0["x-auth-tenant"], "acme");
    assert!(!request.headers.0.contains_key("authorization"));
    let consumer = who(&request).unwrap();
    assert_eq!((&*consumer.name, consumer.by), ("ann", "jwt"));
    assert!(consumer.by_authorization);
    let mut identity: Vec<_> = built.filter.identity_headers().to_vec();
    identity.sort_by_key(ToString::to_string);
    assert_eq!(identity, ["x-auth-tenant", "x-auth-user"]);
    assert_eq!(services.metric("verified"), 1);
    assert_eq!(ask(&built, &mut FakeRequest::get("/")), "401 token_missing");
}

#[test]
fn a_request_without_a_token_may_pass_if_it_says_so() {
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let built = build(&table("optional = true", "", &[minter.jwk()]), &services);
    let mut request = FakeRequest::get("/").header("authorization", "Basic YTpi");
    assert_eq!(ask(&built, &mut request), "pass");
    assert!(who(&request).is_none() && request.headers.0.contains_key("authorization"));
    assert_eq!(ask(&built, &mut with_token("a.b.c")), "401 token_invalid");
}

#[test]
fn explain_says_what_would_come_of_it_and_counts_nothing() {
    use farmgate_plugin_api::Explained;
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let built = build(&table("", "", &[minter.jwk()]), &services);
    let said = |request: &FakeRequest| {
        let lines = built.filter.explain(&Explained {
            facts: request,
            raw_target: b"/",
            route: "test",
            body: b"",
        });
        lines.join("\n")
    };
    let good = with_token(&minter.token(&json!({})));
    assert_eq!(said(&good), "jwt lets pass as ann");
    assert_eq!(said(&FakeRequest::get("/")), "jwt refuses: missing");
    let old = with_token(&minter.token(&json!({ "exp": 1 })));
    assert_eq!(said(&old), "jwt refuses: expired");
    assert_eq!(services.metric("refused") + services.metric("verified"), 0);
}
