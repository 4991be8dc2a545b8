//! Any bytes as the fields of a signed request: nothing passes that was not signed.
#![no_main]

use bytes::Bytes;
use farmgate_plugin_api::compliance::{FakeRequest, FakeServices, build, verdict};
use farmgate_plugin_api::exchange::BufferedBody;
use farmgate_plugin_api::{Facts, Verdict};
use libfuzzer_sys::fuzz_target;

const TABLES: [&str; 4] = [
    "scheme = 'standard_webhooks'\nsecrets = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'",
    "scheme = 'stripe'\nsecrets = 'whsec_test_secret_of_a_stripe_endpoint'\ntolerance = '1d'",
    "scheme = 'github'\nsecrets = \"It's a Secret to Everybody\"",
    "scheme = 'generic'\nsecrets = '0123456789abcdef'\ngeneric = { header = 'webhook-signature', prefix = 'v1,', \
     encoding = 'base64', algorithm = 'sha512', timestamp = 'webhook-timestamp', id = 'webhook-id', \
     signed = '{id}.{timestamp}.{body}' }",
];

/// What is signed in the seeds, so that the fuzzer may meet it.
const SIGNED: &[&str] = &[
    "lCbYAEZ+iWYEmDEQUgTSPF7TQpmsKXiGTVeQy7iOKZE",
    "4edb778b7d6c6ffdf5f32bc690e935c7ebb9102dfcc2f357535f9c4e5dce1a26",
    "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
];

fuzz_target!(|data: &[u8]| {
    // Four lines: signature, time, id; the rest is the body.
    let mut lines = data.splitn(4, |b| *b == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (signature, time, id, body) = (line(), line(), line(), line());
    for table in TABLES {
        let services = FakeServices::new();
        let Ok(built) = build(farmgate_plugins::hmac::KIND, table, &services) else {
            panic!("{table}");
        };
        let mut request = FakeRequest::get("/")
            .header("webhook-signature", signature)
            .header("stripe-signature", signature)
            .header("x-hub-signature-256", signature)
            .header("webhook-timestamp", time)
            .header("webhook-id", id);
        if !matches!(
            verdict(built.filter.request_head(&mut request)),
            Verdict::Continue
        ) {
            continue;
        }
        let mut whole = BufferedBody::default();
        whole.push(Bytes::copy_from_slice(body));
        let answer = verdict(built.filter.request_body(&mut request, &mut whole));
        let passes = matches!(answer, Verdict::Continue);
        assert_eq!(passes, Facts::consumer(&request).is_some());
        if passes {
            let text = String::from_utf8_lossy(signature).to_lowercase();
            assert!(
                SIGNED
                    .iter()
                    .any(|known| text.contains(&known.to_lowercase())),
                "{text}"
            );
        }
    }
});
