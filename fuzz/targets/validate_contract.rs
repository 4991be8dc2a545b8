//! Any text as a JSON Schema and as an OpenAPI document: it is a contract, or it is refused with words; and what is
//! a contract judges a body without falling over.
#![no_main]

use bytes::Bytes;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::exchange::BufferedBody;
use farmgate_plugins::validate::KIND;
use http::Method;
use libfuzzer_sys::fuzz_target;

const BODY: &[u8] = br#"{"a":[1,"x",null,{"b":true}],"c":{"d":"2026-01-01"}}"#;

fuzz_target!(|text: &str| {
    for table in ["schema = 'file'", "openapi = 'file'"] {
        let services = FakeServices::new();
        // Nobody watches it yet, so nobody refuses it here.
        let _ = services.write_file("file", text);
        let built = match compliance::build(KIND, table, &services) {
            Ok(built) => built,
            Err(error) => {
                assert!(error.contains("E-OPTION-002"), "{error}");
                continue;
            }
        };
        let mut request = FakeRequest::get("/a/1?b=2&c[d]=3")
            .method(Method::POST)
            .header("content-type", "application/json");
        let _ = compliance::verdict(built.filter.request_head(&mut request));
        let mut body = BufferedBody::default();
        body.push(Bytes::from_static(BODY));
        let _ = compliance::verdict(built.filter.request_body(&mut request, &mut body));
    }
});
