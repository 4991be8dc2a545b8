use std::net::{IpAddr, SocketAddr};

use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::{Accept, Built, ConnectionFacts, Phases, Verdict};

use super::KIND;

fn build(table: &str) -> Result<Built, String> {
    compliance::build(KIND, table, &FakeServices::new())
}

/// The status; 0 for a request that passes.
fn status(built: &Built, ip: &str) -> u16 {
    let ip: IpAddr = ip.parse().unwrap();
    let mut request = FakeRequest::get("/").client_ip(ip);
    match compliance::verdict(built.filter.request_head(&mut request)) {
        Verdict::Continue => 0,
        Verdict::Reply(reply) => {
            assert!(reply.problem);
            reply.status.as_u16()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn deny_wins_and_an_allow_list_refuses_the_rest() {
    let both = build("allow = ['10.0.0.0/8']\ndeny = ['10.9.0.0/16']").unwrap();
    assert_eq!(status(&both, "10.1.1.1"), 0);
    assert_eq!(status(&both, "10.9.1.1"), 403);
    assert_eq!(status(&both, "192.0.2.1"), 403);
    assert_eq!(status(&both, "::ffff:10.1.1.1"), 0);
    let deny = build("deny = ['2001:db8::/32']\nstatus = 404").unwrap();
    assert_eq!(status(&deny, "192.0.2.1"), 0);
    assert_eq!(status(&deny, "2001:db8::7"), 404);
    // Deny wins however long the prefixes are.
    let narrow = build("allow = ['10.9.9.9']\ndeny = ['10.0.0.0/8']").unwrap();
    assert_eq!(status(&narrow, "10.9.9.9"), 403);
    // An allow list is one even while it is empty.
    let nobody = build("allow = []").unwrap();
    assert_eq!(status(&nobody, "10.1.1.1"), 403);
}

#[test]
fn files_are_followed_and_the_last_good_one_stays() {
    let services = FakeServices::new();
    services.write_file("lists/a", "10.1.0.0/16\n").unwrap();
    services.write_file("lists/b", "10.2.0.0/16\n").unwrap();
    let table = "deny_file = ['lists/a', 'lists/b']";
    let built = compliance::build(KIND, table, &services).unwrap();
    assert_eq!(status(&built, "10.1.0.1"), 403);
    assert_eq!(status(&built, "10.2.0.1"), 403);
    assert_eq!(status(&built, "10.3.0.1"), 0);
    services
        .write_file("lists/a", "10.3.0.0/16 # moved\n")
        .unwrap();
    assert_eq!(status(&built, "10.1.0.1"), 0);
    assert_eq!(status(&built, "10.3.0.1"), 403);
    let error = services.write_file("lists/a", "10.4.0.0/16\noops\n");
    assert!(error.unwrap_err().starts_with("line 2: "));
    assert_eq!(status(&built, "10.3.0.1"), 403);
    assert_eq!(status(&built, "10.4.0.1"), 0);
    assert_eq!(services.metric("file_ranges"), 1);
    let allow = compliance::build(KIND, "allow_file = 'lists/b'", &services).unwrap();
    assert_eq!(status(&allow, "10.2.0.1"), 0);
    assert_eq!(status(&allow, "10.3.0.1"), 403);
}

#[test]
fn connections_are_judged_by_their_peer() {
    let built = build("deny = ['10.0.0.0/8']\non = 'connection'").unwrap();
    assert_eq!(built.filter.phases(), Phases::ACCEPT);
    let accept = |peer: Option<&str>| {
        let peer = peer.map(|ip| SocketAddr::new(ip.parse().unwrap(), 4711));
        let listener = "web".into();
        built.filter.accept(&ConnectionFacts { listener, peer })
    };
    assert_eq!(accept(Some("10.1.1.1")), Accept::Refuse);
    assert_eq!(accept(Some("::ffff:10.1.1.1")), Accept::Refuse);
    assert_eq!(accept(Some("192.0.2.1")), Accept::Continue);
    assert_eq!(accept(None), Accept::Continue);
}

#[test]
fn a_dry_run_only_counts() {
    let services = FakeServices::new();
    let table = "deny = ['10.0.0.0/8']\ndry_run = true";
    let built = compliance::build(KIND, table, &services).unwrap();
    assert_eq!(status(&built, "10.1.1.1"), 0);
    assert_eq!(status(&built, "192.0.2.1"), 0);
    assert_eq!(services.metric("dry_denied"), 1);
    assert_eq!(services.metric("denied"), 0);
    assert_eq!(services.metric("allowed"), 1);
}

#[test]
fn mistakes_are_placed() {
    for (table, text) in [
        ("deny = ['10.0.0.1/8']", "test.toml:1:9: "),
        ("deny = ['x', '10.0.0.0/8', 'y']", "test.toml:1:28: "),
        (
            "deny_file = 'none'",
            "test.toml:1:13: E-OPTION-002 none: cannot be read",
        ),
        ("deny_file = [1]", "test.toml:1:14: "),
        ("on = 'reqest'", "\"request\""),
        ("status = 200\ndeny = []", "400 or more"),
        ("", "lets everyone pass"),
    ] {
        let error = build(table).err().unwrap();
        assert!(error.contains(text), "{table}: {error}");
    }
}
