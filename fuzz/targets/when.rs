//! Any text as a condition: it is one, or there is a mistake inside it. What is one can be written back, means the same
//! then, and has an answer or a fault for any request. The parser is a crate's: none of its panics may get out.
#![no_main]

use farmgate::snapshot::when::When;
use farmgate_plugin_api::compliance::FakeRequest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let when = match When::parse(text) {
        Ok(when) => when,
        Err(error) => {
            assert!(error.offset <= text.chars().count(), "{error}");
            assert!(!error.message.contains("its parser failed"), "{error}");
            return;
        }
    };
    let written = when.to_string();
    let again = When::parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(again.to_string(), written);
    let request = FakeRequest::get("/v1/users?x=1&n=9223372036854775807")
        .header("x-tenant", "a")
        .header("content-length", "12")
        .header("cookie", "a=b")
        .client_certificate(&["a.test", "b.test"])
        .tls("TLSv1.3", Some("www.example.test"))
        .consumer("acme");
    assert_eq!(when.holds(&request), again.holds(&request), "{written}");
    let _ = when.trial();
});
