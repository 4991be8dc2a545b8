mod mistakes;
mod repeats;
mod senders;

use base64::Engine;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::exchange::BufferedBody;
use farmgate_plugin_api::{BodyMode, Built, Consumer, Credential, Facts, OverLimit, Verdict};
use hmac::{Hmac, Mac};
use proptest::prelude::*;
use sha2::Sha256;

use super::KIND;
use super::claim::Claim;
use super::scheme::Scheme;

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
