use farmgate_plugin_api::Request;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};

use super::KIND;
use super::filter::uuid_v7;

/// The id, as the engine, the origin and the client see it.
fn id(table: &str, mut request: FakeRequest) -> (String, String, Option<String>) {
    let built = compliance::build(KIND, table, &FakeServices::new()).unwrap();
    compliance::verdict(built.filter.request_head(&mut request));
    let mut sent = request.headers.0.get_all("x-request-id").iter();
    let origin = sent.next().unwrap().to_str().unwrap().to_owned();
    assert!(sent.next().is_none());
    let client = request.response_header("x-request-id").map(str::to_owned);
    (request.id().to_owned(), origin, client)
}

fn sent(value: &str) -> FakeRequest {
    FakeRequest::get("/").header("x-request-id", value)
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn everyone_sees_the_same_id() {
    let (own, origin, client) = id("", FakeRequest::get("/"));
    assert_eq!(own.len(), 32);
    assert!(own.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(own, origin);
    assert_eq!(Some(own), client);
    let (_, _, client) = id("response = false", FakeRequest::get("/"));
    assert_eq!(client, None);
}

#[test]
fn only_trusted_and_sound_ids_are_kept() {
    assert_ne!(id("", sent("mine")).0, "mine");
    assert_eq!(
        id("trust = 'always'", sent("mine:1+/=@._-")).0,
        "mine:1+/=@._-"
    );
    let near = "trust = ['192.0.2.0/24', 'fd00::/8']";
    assert_eq!(id(near, sent("mine")).0, "mine");
    assert_ne!(id(near, sent("mine").client_ip([203, 0, 113, 9])).0, "mine");
    let mapped = sent("mine").client_ip([0_u16, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201]);
    assert_eq!(id(near, mapped).0, "mine");
    for bad in ["", "a b", "a\"b", "a;b", &"x".repeat(129)] {
        assert_ne!(id("trust = 'always'", sent(bad)).0, bad, "{bad}");
    }
    let twice = sent("one").header("x-request-id", "two");
    assert_eq!(id("trust = 'always'", twice).0.len(), 32);
}

#[test]
fn a_uuid_holds_time_and_version() {
    let (own, _, _) = id("format = 'uuid_v7'", FakeRequest::get("/"));
    let parts: Vec<&str> = own.split('-').collect();
    assert_eq!(
        parts.iter().map(|p| p.len()).collect::<Vec<_>>(),
        [8, 4, 4, 4, 12]
    );
    // The clock of the fake host stands at 2026-01-01T00:00:00Z.
    assert_eq!(
        [parts[0], parts[1]].concat(),
        format!("{:012x}", 1_767_225_600_000_u64)
    );
    assert!(parts[2].starts_with('7'), "{own}");
    assert!(parts[3].starts_with(['8', '9', 'a', 'b']), "{own}");
}

#[test]
fn the_example_of_the_standard_comes_out() {
    // RFC 9562, appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F
    let random = 0xcc3 << 64 | 0x18c4_dc0c_0c07_398f;
    let uuid = uuid_v7(0x017f_22e2_79b0, random);
    assert_eq!(uuid, 0x017f_22e2_79b0_7cc3_98c4_dc0c_0c07_398f);
}

#[test]
fn ids_differ() {
    let services = FakeServices::new();
    let built = compliance::build(KIND, "", &services).unwrap();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1000 {
        let mut request = FakeRequest::get("/");
        compliance::verdict(built.filter.request_head(&mut request));
        assert!(seen.insert(request.id().to_owned()));
    }
}

#[test]
fn mistakes() {
    for (table, text) in [
        ("trust = 'allways'", "\"always\""),
        ("trust = ['10.0.0.1/8']", "10.0.0.0/8"),
        ("trust = 7", "\"never\", \"always\" or a list of CIDRs"),
        ("format = 'uuid'", "uuid_v7"),
        ("header = 'connection'", "belongs to one connection"),
    ] {
        let built = compliance::build(KIND, table, &FakeServices::new());
        let error = built.err().unwrap();
        assert!(error.contains(text), "{table}: {error}");
    }
}
