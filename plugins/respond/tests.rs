use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::{Built, Reply, Verdict};

use super::KIND;

fn build(table: &str) -> Result<Built, String> {
    compliance::build(KIND, table, &FakeServices::new())
}

fn reply(built: &Built) -> Box<Reply> {
    let mut request = FakeRequest::get("/").capture("id", "7");
    match compliance::verdict(built.filter.request_head(&mut request)) {
        Verdict::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn field<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    let mut headers = reply.headers.iter();
    let (_, value) = headers.find(|(have, _)| have == name)?;
    value.to_str().ok()
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn answers_as_written() {
    let table = "status = 503\nbody = 'maintenance {x}'\nheaders = { 'Retry-After' = '600', x-id = '{id}' }";
    let built = build(table).unwrap();
    let reply = reply(&built);
    assert_eq!(reply.status, 503);
    assert_eq!(reply.body, "maintenance {x}");
    assert!(!reply.problem);
    assert_eq!(field(&reply, "retry-after"), Some("600"));
    assert_eq!(field(&reply, "x-id"), Some("7"));
    assert_eq!(
        field(&reply, "content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(built.filter.captures(), ["id"]);
}

#[test]
fn nothing_written_is_an_empty_200() {
    let reply = reply(&build("").unwrap());
    assert_eq!(reply.status, 200);
    assert!(reply.body.is_empty() && reply.headers.is_empty());
}

#[test]
fn retry_after_is_in_whole_seconds() {
    for (time, seconds) in [("10m", "600"), ("1500ms", "2"), ("0s", "0")] {
        let reply = reply(&build(&format!("retry_after = '{time}'")).unwrap());
        assert_eq!(field(&reply, "retry-after"), Some(seconds), "{time}");
    }
    let both = "retry_after = '1m'\nheaders = { retry-after = '5' }";
    let reply = reply(&build(both).unwrap());
    assert_eq!(field(&reply, "retry-after"), Some("5"));
    assert_eq!(reply.headers.len(), 1);
}

#[test]
fn a_file_is_followed() {
    let services = FakeServices::new();
    services.write_file("pages/down.html", "one").unwrap();
    let built = compliance::build(KIND, "file = 'pages/down.html'", &services).unwrap();
    assert_eq!(reply(&built).body, "one");
    assert_eq!(
        field(&reply(&built), "content-type"),
        Some("text/html; charset=utf-8")
    );
    services.write_file("pages/down.html", "two").unwrap();
    assert_eq!(reply(&built).body, "two");
}

#[test]
fn allowed_networks_pass_on() {
    let table = "status = 503\nallow = ['10.0.0.0/8', '2001:db8::/32', '192.0.2.7']";
    let built = build(table).unwrap();
    for (client, passes) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("2001:db8:1::1", true),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("11.0.0.1", false),
        ("2001:db9::1", false),
    ] {
        let client: std::net::IpAddr = client.parse().unwrap();
        let mut request = FakeRequest::get("/").client_ip(client);
        let verdict = compliance::verdict(built.filter.request_head(&mut request));
        assert_eq!(matches!(verdict, Verdict::Continue), passes, "{client}");
    }
}

#[test]
fn mistakes_are_placed() {
    for (table, text) in [
        (
            "file = 'none.html'",
            "test.toml:1:8: E-OPTION-002 none.html: cannot be read",
        ),
        ("body = 'a'\nfile = 'b'", "exclude each other"),
        ("status = 204\nbody = 'a'", "test.toml:1:10: E-OPTION-001"),
        ("status = 101", "write 200 to 599"),
        ("status = 600", "write 200 to 599"),
        ("headers = { content-length = '1' }", "test.toml:1:13"),
        ("retry_after = 5", "unit"),
        ("allow = []", "test.toml:1:9"),
        ("allow = ['10.0.0.0/33']", "test.toml:1:10"),
        ("allow = ['office']", "test.toml:1:10"),
    ] {
        let error = build(table).err().unwrap();
        assert!(error.contains(text), "{table}: {error}");
    }
}
