//! Any bytes as a file of users, and any bytes as a login: a file is taken or refused with a line, and nobody
//! passes whose password is not in it.
#![no_main]

use farmgate_plugin_api::compliance::{FakeRequest, FakeServices, build, verdict};
use farmgate_plugin_api::{Facts, Verdict};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The first line is the login, the rest the file. The file is only read: to check a login against the
    // hashes in it could take seconds each.
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(0);
    let (login, file) = data.split_at(at);
    let services = FakeServices::new();
    let _ = services.write_file("users", file);
    let kind = farmgate_plugins::basic_auth::KIND;
    if let Err(error) = build(kind, "users_file = 'users'", &services) {
        assert!(error.contains("users"), "{error}");
    }
    // Of cost 4: the password is "open sesame".
    let known = "ann:$2b$04$brYfr8SQaELU7QOnLL84X.Eji4jKw3Ojp1Ny0GPNv.rbxsQUWCkjO\n";
    let services = FakeServices::new();
    let _ = services.write_file("users", known);
    let Ok(built) = build(kind, "users_file = 'users'", &services) else {
        panic!("a good file is refused");
    };
    let mut request = FakeRequest::get("/").header("authorization", login);
    let field = request
        .headers()
        .get("authorization")
        .map(|field| field.as_bytes().to_vec());
    let passes = matches!(
        verdict(built.filter.request_head(&mut request)),
        Verdict::Continue
    );
    let is_right = field
        .as_deref()
        .and_then(|field| field.split_at_checked(6))
        .is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"basic ") && token.trim_ascii() == b"YW5uOm9wZW4gc2VzYW1l"
        });
    assert_eq!(passes, is_right);
    assert_eq!(passes, Facts::consumer(&request).is_some());
});
