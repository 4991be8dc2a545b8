//! Any bytes as a request against the example's OpenAPI document: a line with the target, a line with a header, the
//! rest is the body. What is refused is told in JSON of a bounded length.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::exchange::BufferedBody;
use farmgate_plugin_api::{Built, Verdict};
use farmgate_plugins::validate::KIND;
use http::Method;
use libfuzzer_sys::fuzz_target;

static BUILT: LazyLock<Built> = LazyLock::new(|| {
    let services = FakeServices::new();
    let document = include_str!("../../plugins/validate/example.openapi.yaml");
    services
        .write_file("api.yaml", document)
        .expect("nobody watches it yet");
    compliance::build(KIND, "openapi = 'api.yaml'", &services).expect("the example is good")
});

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(3, |b| *b == b'\n');
    let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (target, header) = (text(), text());
    let body = lines.next().unwrap_or_default();
    for (method, kind) in [
        (Method::GET, "application/json"),
        (Method::POST, "application/json"),
        (Method::POST, "application/x-www-form-urlencoded"),
    ] {
        let mut request = FakeRequest::get(&format!("/orders{target}"))
            .method(method)
            .header("x-tenant", &header)
            .header("cookie", format!("session={header}"))
            .header("content-type", kind);
        check(compliance::verdict(BUILT.filter.request_head(&mut request)));
        let mut buffered = BufferedBody::default();
        buffered.push(Bytes::copy_from_slice(body));
        check(compliance::verdict(
            BUILT.filter.request_body(&mut request, &mut buffered),
        ));
    }
});

fn check(verdict: Verdict) {
    match verdict {
        Verdict::Continue => {}
        Verdict::Reply(reply) => {
            assert!(reply.body.len() < 32 * 1024);
            let problem: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!(problem["status"], reply.status.as_u16());
        }
        other => panic!("{other:?}"),
    }
}
