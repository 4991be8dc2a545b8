//! Any bytes as a file of consumers: it is taken, or refused with a place in it; and any bytes as a key: only
//! the right one passes.
#![no_main]

use farmgate_plugin_api::compliance::{FakeRequest, FakeServices, build, verdict};
use farmgate_plugin_api::{Facts, Verdict};
use libfuzzer_sys::fuzz_target;

const TABLE: &str = "consumers_file = 'keys'\nfrom = ['header:x-key', 'query:k', 'cookie:k']\n\
    consumers = [{ name = 'acme', sha256 = ['2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'] }]";

fuzz_target!(|data: &[u8]| {
    let kind = farmgate_plugins::api_key::KIND;
    let services = FakeServices::new();
    let _ = services.write_file("keys", data);
    if let Err(error) = build(kind, TABLE, &services) {
        assert!(error.contains("keys: line "), "{error}");
    }
    let services = FakeServices::new();
    let _ = services.write_file("keys", "");
    let Ok(built) = build(kind, TABLE, &services) else {
        panic!("an empty file is refused");
    };
    let text = String::from_utf8_lossy(data);
    let target: String = text.chars().filter(char::is_ascii_graphic).collect();
    let (query, rest) = target.split_at(target.len() / 2);
    for request in [
        FakeRequest::get("/").header("x-key", data),
        FakeRequest::get("/").header("cookie", data),
        FakeRequest::get(&format!("/?{query}")).header("cookie", rest),
    ] {
        let mut request = request;
        let passes = matches!(
            verdict(built.filter.request_head(&mut request)),
            Verdict::Continue
        );
        assert_eq!(passes, Facts::consumer(&request).is_some());
        // "foo" alone passes, and then no place holds a key any more.
        if passes {
            assert!(!request.headers().contains_key("x-key"));
            let again = verdict(
                built
                    .filter
                    .request_head(&mut FakeRequest::get(&request.target)),
            );
            assert!(!matches!(again, Verdict::Continue), "{}", request.target);
        }
    }
});
