use std::time::Duration;

use base64::Engine;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::{Answer, Built, Consumer, Credential, Facts, Verdict};

use super::KIND;

/// The cheapest hash there is of this password.
fn line(user: &str, password: &str) -> String {
    format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap())
}

fn host() -> FakeServices {
    let services = FakeServices::new();
    let example = include_str!("example.htpasswd");
    services.write_file("example.htpasswd", example).unwrap();
    services
        .write_file("users", line("ann", "pw") + &line("bob", "wp"))
        .unwrap();
    services
}

fn build(services: &FakeServices, words: &str) -> Built {
    let table = format!("users_file = 'users'\n{words}");
    compliance::build(KIND, &table, services).unwrap_or_else(|error| panic!("{error}"))
}

fn mistake(table: &str) -> String {
    compliance::build(KIND, table, &host())
        .err()
        .unwrap_or_else(|| panic!("taken: {table}"))
}

fn login(login: &str) -> FakeRequest {
    let token = base64::engine::general_purpose::STANDARD.encode(login);
    FakeRequest::get("/").header("authorization", format!("Basic {token}"))
}

fn consumer(request: &FakeRequest) -> Option<&Consumer> {
    Facts::consumer(request)
}

/// The status, 0 for a request that passes, and the detail of the reply.
fn verdict(verdict: Verdict) -> (u16, &'static str) {
    match verdict {
        Verdict::Continue => (0, ""),
        Verdict::Reply(reply) => {
            assert!(reply.problem);
            let has = |name: &str| reply.headers.iter().any(|(have, _)| have == name);
            assert_eq!(has("www-authenticate"), reply.status == 401);
            assert_eq!(has("retry-after"), reply.status == 503);
            (reply.status.as_u16(), reply.detail)
        }
        other => panic!("{other:?}"),
    }
}

fn ask(built: &Built, mut request: FakeRequest) -> (u16, &'static str) {
    verdict(compliance::verdict(built.filter.request_head(&mut request)))
}

#[test]
fn complies() {
    assert_eq!(compliance::failures(KIND, &host), Vec::<String>::new());
}

#[test]
fn the_logins_of_the_example_pass() {
    let built = compliance::build(KIND, "users_file = 'example.htpasswd'", &host()).unwrap();
    assert_eq!(ask(&built, login("ann:correct horse")), (0, ""));
    assert_eq!(ask(&built, login("bob:battery staple")), (0, ""));
    assert_eq!(
        ask(&built, login("bob:correct horse")),
        (401, "login_refused")
    );
}

#[test]
fn who_knows_a_password_is_a_consumer() {
    let services = host();
    let built = build(&services, "");
    assert_eq!(
        built.filter.credentials(),
        [Credential::Header("authorization".parse().unwrap())]
    );
    let mut request = login("ann:pw");
    assert_eq!(
        verdict(compliance::verdict(built.filter.request_head(&mut request))),
        (0, "")
    );
    let found = consumer(&request).unwrap();
    assert_eq!(
        (&*found.name, found.by, found.by_authorization),
        ("ann", "basic_auth", true)
    );
    assert!(!request.headers().contains_key("authorization"));
    let kept = build(&services, "keep_credential = true");
    let mut request = login("ann:pw");
    assert_eq!(
        verdict(compliance::verdict(kept.filter.request_head(&mut request))),
        (0, "")
    );
    assert!(request.headers().contains_key("authorization"));
}

#[test]
fn refusals_say_little_and_counters_say_why() {
    let services = host();
    let built = build(&services, "");
    assert_eq!(ask(&built, FakeRequest::get("/")), (401, "login_missing"));
    let bearer = FakeRequest::get("/").header("authorization", "Bearer x");
    assert_eq!(ask(&built, bearer), (401, "login_missing"));
    for bad in [
        "ann",
        "ann:wp",
        "Ann:pw",
        "nobody:pw",
        ":",
        "ann:pw\0",
        "ann:pw ",
    ] {
        assert_eq!(ask(&built, login(bad)), (401, "login_refused"), "{bad:?}");
    }
    let reasons = [
        ("missing", 2),
        ("malformed", 2),
        ("wrong_password", 2),
        ("unknown_user", 3),
        ("busy", 0),
    ];
    for (reason, times) in reasons {
        assert_eq!(services.metric_by("refused", reason), times, "{reason}");
    }
    assert_eq!(services.metric("allowed"), 0);
    assert_eq!(services.metric("users"), 2);
}

#[test]
fn the_challenge_holds_any_realm() {
    let built = build(&host(), r#"realm = 'a "b" \c'"#);
    let mut request = FakeRequest::get("/");
    let Verdict::Reply(reply) = compliance::verdict(built.filter.request_head(&mut request)) else {
        panic!("it passes");
    };
    let (name, value) = &reply.headers[0];
    assert_eq!(name, "www-authenticate");
    assert_eq!(value, r#"Basic realm="a \"b\" \\c", charset="UTF-8""#);
}

#[test]
fn a_password_is_checked_once_in_its_time() {
    let services = host();
    let built = build(&services, "cache_ttl = '10m'");
    let checks = || services.metric("checks");
    for _ in 0..3 {
        assert_eq!(ask(&built, login("ann:pw")).0, 0);
    }
    assert_eq!(checks(), 1);
    // Wrong ones, and unknown users, cost a check each, and are remembered for a minute.
    for _ in 0..3 {
        assert_eq!(ask(&built, login("ann:no")).0, 401);
        assert_eq!(ask(&built, login("nobody:pw")).0, 401);
    }
    assert_eq!(checks(), 3);
    services.clock.advance(Duration::from_secs(60));
    assert_eq!(ask(&built, login("ann:no")).0, 401);
    assert_eq!(ask(&built, login("ann:pw")).0, 0);
    assert_eq!(checks(), 4);
    services.clock.advance(Duration::from_secs(540));
    assert_eq!(ask(&built, login("ann:pw")).0, 0);
    assert_eq!(checks(), 5);
    // A reload keeps what is known.
    let again = build(&services, "cache_ttl = '10m'\nrealm = 'other'");
    assert_eq!(ask(&again, login("ann:pw")).0, 0);
    assert_eq!(checks(), 5);
    let never = build(&host(), "cache_ttl = '0s'");
    assert_eq!(ask(&never, login("ann:pw")).0, 0);
}

#[test]
fn without_a_cache_each_request_is_checked() {
    let services = host();
    let built = build(&services, "cache_ttl = '0s'");
    for _ in 0..2 {
        assert_eq!(ask(&built, login("ann:pw")).0, 0);
        assert_eq!(ask(&built, login("ann:no")).0, 401);
    }
    assert_eq!(services.metric("checks"), 4);
}

#[test]
fn a_change_of_the_file_counts_at_once_and_a_bad_one_never() {
    let services = host();
    let built = build(&services, "");
    assert_eq!(ask(&built, login("ann:pw")).0, 0);
    assert_eq!(ask(&built, login("ann:new")).0, 401);
    assert_eq!(ask(&built, login("cid:pw")).0, 401);
    let error = services.write_file("users", "ann:$apr1$x$y\n").unwrap_err();
    assert!(
        error.contains("line 1: an MD5 hash") && error.contains("htpasswd -B"),
        "{error}"
    );
    assert_eq!(ask(&built, login("ann:pw")).0, 0);
    services
        .write_file("users", line("ann", "new") + &line("cid", "pw"))
        .unwrap();
    assert_eq!(ask(&built, login("ann:pw")).0, 401);
    assert_eq!(ask(&built, login("ann:new")).0, 0);
    assert_eq!(ask(&built, login("cid:pw")).0, 0);
    assert_eq!(ask(&built, login("bob:wp")).0, 401);
    services.write_file("users", "# nobody\n").unwrap();
    assert_eq!(ask(&built, login("ann:new")).0, 401);
}

/// The answer, if it is one already; else the future.
fn begin<'a>(built: &'a Built, request: &'a mut FakeRequest) -> Answer<'a> {
    built.filter.request_head(request)
}

#[test]
fn the_same_login_is_checked_once_for_all_who_wait() {
    let services = host();
    let built = build(&services, "max_checks = 1");
    let mut requests: Vec<FakeRequest> = (0..5).map(|_| login("ann:pw")).collect();
    let answers: Vec<Answer<'_>> = requests
        .iter_mut()
        .map(|request| begin(&built, request))
        .collect();
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Answer::Wait(_)))
    );
    for answer in answers {
        assert_eq!(verdict(compliance::verdict(answer)).0, 0);
    }
    assert_eq!(services.metric("checks"), 1);
    assert!(requests.iter().all(|request| consumer(request).is_some()));
}

#[test]
fn floods_are_refused_and_known_logins_are_not() {
    let services = host();
    let built = build(&services, "max_checks = 8\nmax_waiting = 5");
    assert_eq!(ask(&built, login("ann:pw")).0, 0);
    let from = |n: u8, text: &str| login(text).client_ip([192, 0, 2, n]);
    let mut flood: Vec<FakeRequest> = (0..4).map(|n| from(1, &format!("ann:{n}"))).collect();
    let mut waiting = Vec::new();
    for (n, request) in flood.iter_mut().enumerate() {
        match begin(&built, request) {
            Answer::Wait(future) if n < 2 => waiting.push(future),
            Answer::Now(busy) if n >= 2 => assert_eq!(verdict(busy), (503, "login_busy")),
            _ => panic!("{n}"),
        }
    }
    // Another client still has room, and so has a login that is known.
    let mut other = from(2, "bob:no");
    assert!(matches!(begin(&built, &mut other), Answer::Wait(_)));
    assert_eq!(ask(&built, from(1, "ann:pw")).0, 0);
    // Those who wait for the same are bounded, too.
    let mut same: Vec<FakeRequest> = (0..4).map(|_| from(3, "ann:0")).collect();
    let answers: Vec<Answer<'_>> = same
        .iter_mut()
        .map(|request| begin(&built, request))
        .collect();
    let busy = answers
        .iter()
        .filter(|answer| matches!(answer, Answer::Now(_)))
        .count();
    assert_eq!(busy, 1);
    drop((answers, waiting));
    assert_eq!(services.metric_by("refused", "busy"), 3);
    // Whoever left has made room.
    assert_eq!(ask(&built, from(1, "ann:9")).0, 401);
}

#[test]
fn what_is_remembered_is_bounded() {
    let services = host();
    let many: String = (0..300).map(|n| line(&format!("u{n}"), "pw")).collect();
    services.write_file("users", many).unwrap();
    let built = build(&services, "max_cached = 100");
    for n in 0..300 {
        assert_eq!(ask(&built, login(&format!("u{n}:pw"))).0, 0);
    }
    // Of 300 there is room for 96 in halves of three, in 16 parts.
    assert!(
        services.metric("evicted") >= 300 - 100,
        "{}",
        services.metric("evicted")
    );
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    assert!(mistake("realm = 'x'").contains("users_file"));
    assert!(
        mistake("users_file = 'none'")
            .contains("test.toml:1:14: E-OPTION-002 none: cannot be read")
    );
    let with = |words: &str| mistake(&format!("users_file = 'users'\n{words}"));
    assert!(with("realm = ''").contains("test.toml:2:9: E-OPTION-003 this cannot be a realm"));
    assert!(with("realm = \"a\\n\"").contains("without control characters"));
    assert!(with("realm = 'é'").contains("of ASCII"));
    assert!(with(&format!("realm = '{}'", "x".repeat(129))).contains("1 to 128"));
    assert!(with("cache_ttl = '25h'").contains("cache_ttl is at most 1d"));
    assert!(with("cache_ttl = 5").contains("unit"));
    assert!(with("max_cached = 99").contains("max_cached is from 100 to 1000000"));
    assert!(with("max_checks = 0").contains("max_checks is from 1 to 1024"));
    assert!(with("max_checks = 1025").contains("help: leave it out"));
    assert!(with("max_waiting = 100001").contains("max_waiting is from 1 to 100000"));
    let services = host();
    services.write_file("empty", "# nobody\n").unwrap();
    let error = compliance::build(KIND, "users_file = 'empty'", &services)
        .err()
        .unwrap();
    assert!(
        error.contains("warning E-OPTION-004 empty: there is no user in it"),
        "{error}"
    );
    services
        .write_file("bad", "ann:{SHA}x\nbob:secret\n")
        .unwrap();
    let error = compliance::build(KIND, "users_file = 'bad'", &services)
        .err()
        .unwrap();
    assert!(
        error.contains("E-OPTION-002 bad: line 1: a SHA-1 hash")
            && error.contains("line 2: a plain"),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
}
