use super::*;
use crate::hmac::scheme::{Form, Part};
use crate::hmac::sign::{Algorithm, Signer};

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
