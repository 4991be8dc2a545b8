use std::time::Duration;

use base64::Engine;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeResponse, FakeServices};
use farmgate_plugin_api::exchange::BufferedBody;
use farmgate_plugin_api::filter::Outcome;
use farmgate_plugin_api::{BodyMode, Built, Consumer, Credential, Facts, OverLimit, Verdict};
use hmac::{Hmac, Mac};
use http::StatusCode;
use proptest::prelude::*;
use sha2::Sha256;

use super::KIND;
use super::claim::Claim;
use super::scheme::{Form, Part, Scheme};
use super::sign::{Algorithm, Signer};

/// The clock of tests stands here: 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

const STANDARD: &str =
    "scheme = 'standard_webhooks'\nsecrets = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'";
const STRIPE: &str = "scheme = 'stripe'\nsecrets = 'whsec_test_secret_of_a_stripe_endpoint'";
const GITHUB: &str = "scheme = 'github'\nsecrets = \"It's a Secret to Everybody\"";
/// Made by the Python library of Standard Webhooks for the body {"a":1}.
const STANDARD_SIGNATURE: &str = "v1,lCbYAEZ+iWYEmDEQUgTSPF7TQpmsKXiGTVeQy7iOKZE=";
/// Made by stripe 16.1.0 of PyPI for the same body.
const STRIPE_SIGNATURE: &str = "4edb778b7d6c6ffdf5f32bc690e935c7ebb9102dfcc2f357535f9c4e5dce1a26";
const BODY: &str = "{\"a\":1}";

fn build(services: &FakeServices, table: &str) -> Built {
    compliance::build(KIND, table, services).unwrap_or_else(|error| panic!("{error}"))
}

fn mistake(table: &str) -> String {
    let built = compliance::build(KIND, table, &FakeServices::new());
    built.err().unwrap_or_else(|| panic!("taken: {table}"))
}

fn consumer(request: &FakeRequest) -> Option<&Consumer> {
    Facts::consumer(request)
}

fn verdict(verdict: Verdict) -> (u16, &'static str) {
    match verdict {
        Verdict::Continue => (0, ""),
        Verdict::Reply(reply) => (reply.status.as_u16(), reply.detail),
        other => panic!("{other:?}"),
    }
}

/// Head, then body in two pieces, as a host does. 0 for a request that passes.
fn send(built: &Built, request: &mut FakeRequest, text: &str) -> (u16, &'static str) {
    let head = verdict(compliance::verdict(built.filter.request_head(request)));
    if head.0 != 0 {
        return head;
    }
    let mut body = BufferedBody::default();
    let (one, two) = text.as_bytes().split_at(text.len() / 3);
    body.push(one.to_vec().into());
    body.push(two.to_vec().into());
    verdict(compliance::verdict(
        built.filter.request_body(request, &mut body),
    ))
}

fn end(built: &Built, request: &mut FakeRequest, status: u16) {
    let outcome = Outcome {
        status: StatusCode::from_u16(status).ok(),
        reason: "ok",
        bytes_in: 0,
        bytes_out: 0,
        total_us: 0,
    };
    built.filter.log(request, &outcome);
}

fn standard(id: &str, time: u64, signature: &str) -> FakeRequest {
    FakeRequest::get("/")
        .header("webhook-id", id)
        .header("webhook-timestamp", time.to_string())
        .header("webhook-signature", signature)
}

/// A signature of Standard Webhooks, by other means than the room's.
fn signed(id: &str, time: u64, body: &str) -> FakeRequest {
    let secret = base64::engine::general_purpose::STANDARD
        .decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
    mac.update(format!("{id}.{time}.{body}").as_bytes());
    let text = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    standard(id, time, &format!("v1,{text}"))
}

fn stripe(time: u64, rest: &str) -> FakeRequest {
    FakeRequest::get("/").header("stripe-signature", format!("t={time},{rest}"))
}

fn github(signature: &str) -> FakeRequest {
    FakeRequest::get("/").header("x-hub-signature-256", signature)
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn the_documents_own_examples_verify() {
    let verify = |scheme: &Scheme, secret: &[u8], request: &FakeRequest, body: &str| {
        let claim = Claim::read(scheme, request.headers()).expect("a claim");
        let secrets = [Signer::new(Algorithm::Sha256, secret).unwrap()];
        claim
            .verify(scheme, &secrets, std::iter::once(body.as_bytes()))
            .is_some()
    };
    // The reference libraries of Standard Webhooks test with this one.
    let secret = base64::engine::general_purpose::STANDARD
        .decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .unwrap();
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let request = standard("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, signature);
    let scheme = Scheme::standard_webhooks();
    assert!(verify(&scheme, &secret, &request, "{\"test\": 2432232314}"));
    assert!(!verify(
        &scheme,
        &secret,
        &request,
        "{\"test\": 2432232315}"
    ));
    // "Testing the webhook payload validation" in the documents of GitHub.
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let secret = b"It's a Secret to Everybody";
    assert!(verify(
        &Scheme::github(),
        secret,
        &github(signature),
        "Hello, World!"
    ));
    assert!(!verify(
        &Scheme::github(),
        secret,
        &github(signature),
        "Hello, World"
    ));
    let request = stripe(NOW, &format!("v1={STRIPE_SIGNATURE}"));
    let secret = b"whsec_test_secret_of_a_stripe_endpoint";
    assert!(verify(&Scheme::stripe(), secret, &request, BODY));
}

#[test]
fn what_is_verified_has_a_consumer_and_no_signature() {
    let services = FakeServices::new();
    let built = build(&services, &format!("{STANDARD}\nconsumer = 'billing'"));
    let body_mode = BodyMode::Buffered {
        limit: 1 << 20,
        over: OverLimit::Refuse,
    };
    assert_eq!(built.filter.body_mode(), body_mode);
    assert_eq!(
        built.filter.credentials(),
        [Credential::Header("webhook-signature".parse().unwrap())]
    );
    let mut request = standard("msg_1", NOW, STANDARD_SIGNATURE);
    assert_eq!(send(&built, &mut request, BODY), (0, ""));
    let found = consumer(&request).unwrap();
    assert_eq!(
        (&*found.name, found.by, found.by_authorization),
        ("billing", "hmac", false)
    );
    assert!(!request.headers().contains_key("webhook-signature"));
    assert_eq!(request.headers()["webhook-id"], "msg_1");
    let built = build(
        &FakeServices::new(),
        &format!("{STANDARD}\nkeep_credential = true"),
    );
    let mut request = standard("msg_1", NOW, STANDARD_SIGNATURE);
    assert_eq!(send(&built, &mut request, BODY), (0, ""));
    assert!(request.headers().contains_key("webhook-signature"));
    assert_eq!(
        &*consumer(&request).unwrap().name,
        "test",
        "the plugin's own name"
    );
}

#[test]
fn refusals_say_little_and_counters_say_why() {
    let services = FakeServices::new();
    let built = build(&services, STANDARD);
    let good = || standard("msg_1", NOW, STANDARD_SIGNATURE);
    let refused = |mut request: FakeRequest, body: &str| {
        let (status, detail) = send(&built, &mut request, body);
        assert_eq!(status, 403);
        assert!(consumer(&request).is_none());
        detail
    };
    assert_eq!(refused(FakeRequest::get("/"), BODY), "signature_missing");
    assert_eq!(refused(good(), "{\"a\":2}"), "signature_refused");
    assert_eq!(refused(good(), ""), "signature_refused");
    assert_eq!(
        refused(standard("msg_2", NOW, STANDARD_SIGNATURE), BODY),
        "signature_refused"
    );
    assert_eq!(
        refused(standard("msg_1", NOW + 1, STANDARD_SIGNATURE), BODY),
        "signature_refused"
    );
    for malformed in [
        good().header("webhook-signature", STANDARD_SIGNATURE),
        good().header("webhook-id", "msg_1"),
        good().header("webhook-timestamp", NOW.to_string()),
        standard("", NOW, STANDARD_SIGNATURE),
        standard("msg.1", NOW, STANDARD_SIGNATURE),
        standard("msg 1", NOW, STANDARD_SIGNATURE),
        standard(&"x".repeat(257), NOW, STANDARD_SIGNATURE),
        standard("msg_1", NOW, ""),
        standard("msg_1", NOW, "v1a,AAAA v2,AAAA v1,AAAA v1"),
        standard(
            "msg_1",
            NOW,
            &format!("{STANDARD_SIGNATURE}{}", " v1,x".repeat(32)),
        ),
        standard("msg_1", NOW, &"v1,".repeat(2000)),
        FakeRequest::get("/").header("webhook-signature", STANDARD_SIGNATURE),
    ] {
        assert_eq!(refused(malformed, BODY), "signature_refused");
    }
    for time in [
        "",
        "-1767225600",
        "+1767225600",
        "1767225600.0",
        " ",
        "0x69",
        "1767225600000000",
    ] {
        let request = FakeRequest::get("/")
            .header("webhook-id", "msg_1")
            .header("webhook-timestamp", time)
            .header("webhook-signature", STANDARD_SIGNATURE);
        assert_eq!(refused(request, BODY), "signature_refused", "{time:?}");
    }
    let reasons = [
        ("missing", 1),
        ("wrong", 4),
        ("malformed", 19),
        ("stale", 0),
        ("replayed", 0),
    ];
    for (reason, times) in reasons {
        assert_eq!(services.metric_by("refused", reason), times, "{reason}");
    }
    assert_eq!(services.metric("allowed"), 0);
}

#[test]
fn one_right_signature_among_others_is_enough() {
    let built = build(&FakeServices::new(), STANDARD);
    let other = format!("v1a,xyz  v1,{} {STANDARD_SIGNATURE} v2,x", "A".repeat(44));
    assert_eq!(
        send(&built, &mut standard("msg_1", NOW, &other), BODY),
        (0, "")
    );
    let built = build(&FakeServices::new(), STRIPE);
    let zeros = "0".repeat(64);
    let rest = format!("v1={zeros},v0={zeros}, v1={STRIPE_SIGNATURE},x,=");
    assert_eq!(send(&built, &mut stripe(NOW, &rest), BODY), (0, ""));
    for rest in [
        format!("v0={STRIPE_SIGNATURE}"),
        format!("v1={STRIPE_SIGNATURE},t={NOW}"),
        format!("v1={zeros}"),
    ] {
        assert_eq!(send(&built, &mut stripe(NOW, &rest), BODY).0, 403, "{rest}");
    }
    let timeless =
        FakeRequest::get("/").header("stripe-signature", format!("v1={STRIPE_SIGNATURE}"));
    assert_eq!(send(&built, &mut { timeless }, BODY).0, 403);
}

#[test]
fn secrets_are_changed_without_a_gap() {
    let both = "scheme = 'standard_webhooks'\nsecrets = ['whsec_bmV2ZXIgdXNlIHRoaXMgc2VjcmV0LCBpdCBpcyBwdWJsaWM=', 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']";
    let built = build(&FakeServices::new(), both);
    assert_eq!(
        send(
            &built,
            &mut standard("msg_1", NOW, STANDARD_SIGNATURE),
            BODY
        ),
        (0, "")
    );
    let next = "scheme = 'standard_webhooks'\nsecrets = 'whsec_bmV2ZXIgdXNlIHRoaXMgc2VjcmV0LCBpdCBpcyBwdWJsaWM='";
    let built = build(&FakeServices::new(), next);
    assert_eq!(
        send(
            &built,
            &mut standard("msg_1", NOW, STANDARD_SIGNATURE),
            BODY
        )
        .0,
        403
    );
}

#[test]
fn the_window_is_open_to_both_sides_and_no_further() {
    let services = FakeServices::new();
    let built = build(&services, &format!("{STANDARD}\ntolerance = '60s'"));
    for (n, time) in [NOW - 60, NOW, NOW + 60].into_iter().enumerate() {
        assert_eq!(
            send(&built, &mut signed(&format!("in_{n}"), time, BODY), BODY),
            (0, ""),
            "{time}"
        );
    }
    for time in [NOW - 61, NOW + 61, 0, 999_999_999_999] {
        assert_eq!(
            send(&built, &mut signed("out", time, BODY), BODY).0,
            403,
            "{time}"
        );
    }
    assert_eq!(services.metric_by("refused", "stale"), 4);
}

#[test]
fn what_comes_again_is_refused_as_long_as_it_could() {
    let services = FakeServices::new();
    let built = build(&services, STANDARD);
    let mut first = signed("msg_1", NOW, BODY);
    assert_eq!(send(&built, &mut first, BODY), (0, ""));
    // While the first is under way, and after it, and over a reload.
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW, BODY), BODY),
        (403, "signature_replayed")
    );
    end(&built, &mut first, 204);
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW, BODY), BODY),
        (403, "signature_replayed")
    );
    let built = build(&services, &format!("{STANDARD}\nconsumer = 'x'"));
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW, BODY), BODY),
        (403, "signature_replayed")
    );
    // The same id at another time, with another signature, is the same message.
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW + 1, BODY), BODY),
        (403, "signature_replayed")
    );
    // Over an upgrade.
    let next = FakeServices::new();
    let after = build(&next, STANDARD);
    next.restore(&services.save(1 << 20), Duration::from_secs(1))
        .unwrap();
    assert_eq!(
        send(&after, &mut signed("msg_1", NOW, BODY), BODY),
        (403, "signature_replayed")
    );
    services.clock.advance(Duration::from_secs(300));
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW, BODY), BODY),
        (403, "signature_replayed")
    );
    services.clock.advance(Duration::from_secs(1));
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW, BODY), BODY),
        (403, "signature_refused"),
        "too old now"
    );
    assert_eq!(
        send(&built, &mut signed("msg_1", NOW + 301, BODY), BODY),
        (0, ""),
        "long forgotten"
    );
    assert_eq!(services.metric_by("refused", "replayed"), 5);
}

#[test]
fn what_the_origin_did_not_take_may_come_again() {
    let services = FakeServices::new();
    let built = build(&services, STRIPE);
    let request = || stripe(NOW, &format!("v1={STRIPE_SIGNATURE}"));
    for status in [500, 404, 301, 0] {
        let mut request = request();
        assert_eq!(send(&built, &mut request, BODY), (0, ""), "{status}");
        assert_eq!(services.metric("seen"), 1);
        end(&built, &mut request, status);
        assert_eq!(services.metric("seen"), 0);
    }
    // It may from the moment on that the answer is known, and the end of the first does not touch the second.
    let mut failed = request();
    assert_eq!(send(&built, &mut failed, BODY), (0, ""));
    let mut response = FakeResponse::new(failed, StatusCode::BAD_GATEWAY);
    assert_eq!(
        verdict(compliance::verdict(
            built.filter.response_head(&mut response)
        )),
        (0, "")
    );
    let mut taken = request();
    assert_eq!(send(&built, &mut taken, BODY), (0, ""));
    end(&built, &mut response.request, 502);
    let mut response = FakeResponse::new(taken, StatusCode::OK);
    assert_eq!(
        verdict(compliance::verdict(
            built.filter.response_head(&mut response)
        )),
        (0, "")
    );
    end(&built, &mut response.request, 200);
    // A refused repetition ends with 403 and forgets nothing.
    let mut again = request();
    assert_eq!(send(&built, &mut again, BODY), (403, "signature_replayed"));
    end(&built, &mut again, 403);
    assert_eq!(
        send(&built, &mut request(), BODY),
        (403, "signature_replayed")
    );
}

#[test]
fn repetitions_may_be_confirmed() {
    let services = FakeServices::new();
    let built = build(&services, &format!("{STANDARD}\nrepeats = 'confirm'"));
    assert_eq!(send(&built, &mut signed("msg_1", NOW, BODY), BODY), (0, ""));
    let mut again = signed("msg_1", NOW + 5, BODY);
    assert_eq!(send(&built, &mut again, BODY), (204, "signature_replayed"));
    assert_eq!(services.metric("confirmed"), 1);
    assert_eq!(
        send(
            &built,
            &mut standard("msg_1", NOW, STANDARD_SIGNATURE),
            "{}"
        )
        .0,
        403
    );
}

#[test]
fn the_table_of_what_was_seen_is_bounded() {
    let services = FakeServices::new();
    let built = build(&services, &format!("{STANDARD}\nmax_seen = 100"));
    for n in 0..150_u64 {
        assert_eq!(
            send(&built, &mut signed(&format!("m{n}"), NOW + n, BODY), BODY),
            (0, "")
        );
    }
    assert_eq!(
        (services.metric("seen"), services.metric("evicted")),
        (100, 50)
    );
    assert_eq!(send(&built, &mut signed("m149", NOW, BODY), BODY).0, 403);
}

#[test]
fn github_signs_neither_time_nor_id() {
    let built = build(&FakeServices::new(), GITHUB);
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    for _ in 0..2 {
        assert_eq!(
            send(&built, &mut github(signature), "Hello, World!"),
            (0, "")
        );
    }
    for bad in [
        "",
        "sha1=757107ea",
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "sha256=",
    ] {
        assert_eq!(
            send(&built, &mut github(bad), "Hello, World!").0,
            403,
            "{bad}"
        );
    }
}

#[test]
fn any_other_sender_is_described() {
    // "Verifying requests from Slack" in the documents of Slack.
    let slack = "scheme = 'generic'\nsecrets = '8f742231b10e8888abcd99yyyzzz85a5'\ngeneric = { header = 'x-slack-signature', prefix = 'v0=', timestamp = 'x-slack-request-timestamp', signed = 'v0:{timestamp}:{body}' }\ntolerance = '1d'";
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let services = FakeServices::new();
    let built = build(&services, slack);
    let request = || {
        FakeRequest::get("/")
            .header("x-slack-request-timestamp", "1531420618")
            .header(
                "x-slack-signature",
                "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            )
    };
    // Long ago, so all but the time is right.
    assert_eq!(send(&built, &mut request(), body).0, 403);
    assert_eq!(services.metric_by("refused", "stale"), 1);
    let scheme = Scheme {
        signature: "x-slack-signature".parse().unwrap(),
        form: Form::One("v0=".into()),
        timestamp: Some("x-slack-request-timestamp".parse().unwrap()),
        signed: [
            Part::Text("v0:".into()),
            Part::Timestamp,
            Part::Text(":".into()),
            Part::Body,
        ]
        .into(),
        ..Scheme::github()
    };
    let claim = Claim::read(&scheme, request().headers()).expect("a claim");
    let secrets = [Signer::new(Algorithm::Sha256, b"8f742231b10e8888abcd99yyyzzz85a5").unwrap()];
    assert!(
        claim
            .verify(&scheme, &secrets, std::iter::once(body.as_bytes()))
            .is_some()
    );
    assert!(
        claim
            .verify(&scheme, &secrets, std::iter::empty())
            .is_none()
    );
    let base64 = "scheme = 'generic'\nsecrets = '0123456789abcdef'\ngeneric = { header = 'x-sign', encoding = 'base64', algorithm = 'sha512' }";
    let built = build(&FakeServices::new(), base64);
    let signature =
        "7MuwxIeW0oiKsXUWkVb5vXSomrB+G3E6Zpwg5+5P6CtoEZaJTJbsNzJThx06fC1pPmtONQFC4gwwj3M998iaOw==";
    let mut request = FakeRequest::get("/").header("x-sign", signature);
    assert_eq!(send(&built, &mut request, "hello"), (0, ""));
}

#[test]
fn an_id_of_a_described_sender_is_known_again() {
    let table = "scheme = 'generic'\nsecrets = '0123456789abcdef'\ngeneric = { header = 'x-sign', timestamp = 'x-time', id = 'x-id', signed = '{id}/{timestamp}/{body}' }";
    let built = build(&FakeServices::new(), table);
    let request = |id: &str, body: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef").unwrap();
        mac.update(format!("{id}/{NOW}/{body}").as_bytes());
        let hex: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        FakeRequest::get("/")
            .header("x-sign", hex)
            .header("x-id", id)
            .header("x-time", NOW.to_string())
    };
    assert_eq!(send(&built, &mut request("a.1", "x"), "x"), (0, ""));
    assert_eq!(send(&built, &mut request("a.2", "x"), "x"), (0, ""));
    assert_eq!(
        send(&built, &mut request("a.1", "y"), "y"),
        (403, "signature_replayed")
    );
    assert_eq!(
        send(&built, &mut request("a/1", "x"), "x"),
        (403, "signature_refused")
    );
}

#[test]
fn long_bodies_are_verified_elsewhere() {
    let built = build(&FakeServices::new(), STANDARD);
    let body = "x".repeat(200_000);
    assert_eq!(
        send(&built, &mut signed("long", NOW, &body), &body),
        (0, "")
    );
    let other = format!("{}y", &body[1..]);
    assert_eq!(
        send(&built, &mut signed("other", NOW, &body), &other),
        (403, "signature_refused")
    );
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    assert!(mistake("scheme = 'githup'\nsecrets = 'x'").contains("test.toml:1:10: E-CONF"));
    let bad = |words: &str| mistake(&format!("{STANDARD}\n{words}"));
    assert!(
        bad("tolerance = '0s'").contains("test.toml:3:13: E-OPTION-003 tolerance is from 1s to 1d")
    );
    assert!(bad("tolerance = '25h'").contains("help: write tolerance"));
    assert!(bad("max_body = '65MiB'").contains("max_body is from 1B to 64MiB"));
    assert!(bad("max_body = '0B'").contains("max_body is from"));
    assert!(bad("max_seen = 99").contains("max_seen is from 100 to 1000000"));
    assert!(bad("max_seen = 1000001").contains("max_seen is from"));
    assert!(bad("consumer = ''").contains("E-OPTION-003 this cannot be the name of a consumer"));
    assert!(bad("repeats = 'refused'").contains("refuse"));
    assert!(bad("generic = { header = 'x' }").contains("goes with scheme generic only"));
    for word in ["tolerance = '1m'", "max_seen = 100", "repeats = 'confirm'"] {
        let error = mistake(&format!("{GITHUB}\n{word}"));
        assert!(
            error.contains("E-OPTION-001") && error.contains("no time is signed"),
            "{error}"
        );
    }
    let secret =
        |scheme: &str, secrets: &str| mistake(&format!("scheme = '{scheme}'\nsecrets = {secrets}"));
    assert!(secret("github", "''").contains("test.toml:2:11: E-OPTION-003 the secret is empty"));
    assert!(secret("github", "[]").contains("secrets holds 0 secrets"));
    assert!(secret("github", "['a', 'b', 'c', 'd', 'e']").contains("holds 5 secrets"));
    assert!(secret("github", "'file:none'").contains("none"));
    let short = secret("stripe", "'hunter2'");
    assert!(
        short.contains("warning E-OPTION-003")
            && short.contains("openssl rand")
            && !short.contains("hunter2"),
        "{short}"
    );
    let error = secret("standard_webhooks", "['whsec_!', 'whsec_AAAA']");
    assert!(
        error.contains("test.toml:2:12: E-OPTION-003 the secret is not base64"),
        "{error}"
    );
    assert!(
        error.contains("test.toml:2:23: E-OPTION-003 the secret does not have 24"),
        "{error}"
    );
    let none = mistake("scheme = 'generic'\nsecrets = '0123456789abcdef'");
    assert!(
        none.contains("help: write generic = { header = \"x-signature\" }"),
        "{none}"
    );
    let generic = |words: &str| {
        mistake(&format!(
            "scheme = 'generic'\nsecrets = '0123456789abcdef'\ngeneric = {{ header = 'x', {words} }}"
        ))
    };
    for (words, says) in [
        ("header2 = 'x'", "header2"),
        ("algorithm = 'sha1'", "sha256"),
        ("encoding = 'base32'", "base64"),
        ("prefix = 'é'", "cannot stand before a signature"),
        (
            "id = 'x-id', signed = '{id}.{body}'",
            "E-OPTION-001 id needs timestamp",
        ),
        ("signed = '{timestamp}.{body}'", "timestamp names no field"),
        ("timestamp = 'x-t'", "timestamp is not signed"),
        (
            "timestamp = 'x-t', id = 'x-i', signed = '{timestamp}.{body}'",
            "id is not signed",
        ),
        ("signed = ''", "has no {body}"),
        ("timestamp = 'x-t', signed = '{timestamp}'", "has no {body}"),
        (
            "timestamp = 'x-t', signed = '{timestamp}{body}'",
            "two words without a text between them",
        ),
        ("signed = '{body}.{body}'", "a word twice"),
        ("signed = '{method}.{body}'", "a word that is not known"),
        ("signed = '{body'", "a `{` without a `}`"),
        ("signed = 'body}'", "a `}` without a `{`"),
    ] {
        let error = generic(words);
        assert!(
            error.contains(says) && error.contains("test.toml:3:"),
            "{words}: {error}"
        );
    }
    assert!(generic(&format!("signed = '{}'", "x".repeat(257))).contains("longer than 256 bytes"));
}

proptest! {
    /// Whatever is changed of a signed request, it is refused; unchanged, it passes.
    #[test]
    fn nothing_can_be_changed(
        id in "[a-z0-9_-]{1,12}",
        body in "\\PC{0,60}",
        age in 0_u64..600,
        change in 0_usize..4,
        at in any::<prop::sample::Index>(),
    ) {
        let time = NOW + 300 - age;
        let built = build(&FakeServices::new(), STANDARD);
        prop_assert_eq!(send(&built, &mut signed(&id, time, &body), &body), (0, ""));
        let built = build(&FakeServices::new(), STANDARD);
        let request = signed(&id, time, &body);
        let signature = request.headers()["webhook-signature"].to_str().unwrap().to_owned();
        let (mut request, text) = match change {
            0 => (standard(&format!("{id}x"), time, &signature), body.clone()),
            1 => (standard(&id, time ^ 1, &signature), body.clone()),
            2 => (request, format!("{body} ")),
            _ => {
                let mut bytes = signature.into_bytes();
                let at = 3 + at.index(40);
                bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
                (standard(&id, time, &String::from_utf8(bytes).unwrap()), body.clone())
            }
        };
        prop_assert_eq!(send(&built, &mut request, &text), (403, "signature_refused"));
    }

    #[test]
    fn no_field_is_too_strange(field in prop::collection::vec(0x20_u8..0x7f, 0..120), pairs in "(t=[0-9]{0,14},|v1=[0-9a-f]{0,70},|v1,[A-Za-z0-9+/]{0,50} |[ ,=]){0,8}") {
        for scheme in [Scheme::standard_webhooks(), Scheme::stripe(), Scheme::github()] {
            for value in [field.as_slice(), pairs.as_bytes()] {
                let request = FakeRequest::get("/")
                    .header(scheme.signature.as_str(), value)
                    .header("webhook-id", value)
                    .header("webhook-timestamp", value);
                let _ = Claim::read(&scheme, request.headers());
            }
        }
    }
}
