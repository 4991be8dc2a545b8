//! Endpoints of the name service, which a test plays: each name of a node has a fault of its own, all at once.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;

use crate::harness::dns::{DnsServer, Reply, address};
use crate::harness::{Origin, Peer, Setup, eventually};

/// What becomes of a name, and a word of what is said of it.
fn faults() -> Vec<(&'static str, Reply, &'static str)> {
    let metadata = Reply::Records(vec![address("lies.test", 1, "169.254.169.254")]);
    vec![
        (
            "gone",
            Reply::NoSuchName(Some(1)),
            "the name does not exist",
        ),
        ("empty", Reply::Nothing(Some(1)), ""),
        ("lies", metadata, "169.254.169.254"),
        ("garbage", Reply::Garbage, ""),
        ("fails", Reply::Code(ResponseCode::ServFail), ""),
        // Slow: longer than anybody waits for a server.
        ("silent", Reply::Silence, ""),
        // Over UDP too long, and over TCP nothing.
        ("short", Reply::OverTcp(Box::new(Reply::Silence)), ""),
    ]
}

#[tokio::test]
async fn whatever_the_name_service_says_traffic_goes_on() {
    let dns = DnsServer::start().await;
    let first = Origin::answering("first").await;
    let (ip, port) = (first.address().ip(), first.address().port());
    // Another address of this process, with the same port.
    let IpAddr::V4(own) = ip else {
        panic!("{ip} is of loopback, version 4");
    };
    let [_, _, b, c] = own.octets();
    let other = SocketAddr::from(([127, 2, b, c], port));
    let _second = Origin::start_at(other, |mut peer: Peer| async move {
        while peer.request().await.is_some() {
            peer.answer(200, "", "second").await;
        }
    })
    .await;
    let good = |name: &str, ip: IpAddr| {
        Reply::Records(vec![address(&format!("{name}.test"), 1, &ip.to_string())])
    };
    let mut names: Vec<_> = faults().iter().map(|(name, ..)| *name).collect();
    names.extend(["long", "never"]);
    let mut config = "[[listener]]\nname = \"web\"\naddress = \"@web\"\n".to_owned();
    for name in &names {
        if *name != "never" {
            dns.set(&format!("{name}.test"), RecordType::A, good(name, ip));
        }
        config += &format!(
            "[[route]]\nname = \"{name}\"\npaths = [\"/{name}\"]\nupstream = \"{name}\"\n\
             [[upstream]]\nname = \"{name}\"\n[upstream.discovery]\nkind = \"dns\"\nname = \"{name}.test\"\n\
             record = \"a\"\nport = {port}\nresolvers = [\"{}\"]\nmin_ttl = \"1s\"\nmax_ttl = \"1s\"\nnegative_ttl = \"1s\"\n",
            dns.address
        );
    }
    let node = Setup::new().start(&config).await;
    for name in names.iter().filter(|name| **name != "never") {
        assert_eq!(
            node.get(&format!("/{name}")).await.text(),
            "first",
            "{name}"
        );
    }
    // A name that was never answered has no endpoint, and hinders nobody.
    let response = node.get("/never").await;
    assert_eq!(
        (response.status, response.json()["detail"].as_str()),
        (503, Some("upstream_no_endpoint"))
    );
    assert!(node.errors().contains("upstream never has no endpoint yet"));
    for (name, reply, _) in faults() {
        dns.set(&format!("{name}.test"), RecordType::A, reply);
    }
    let moved = good("long", other.ip());
    dns.set("long.test", RecordType::A, Reply::OverTcp(Box::new(moved)));
    let status = || async { node.run(&["status", "--json"]).await.expect(0).json() };
    for (name, _, word) in faults() {
        let error = eventually(&format!("a failure of {name}"), || async {
            let told = status().await;
            let all = told["upstreams"].as_array().expect("upstreams").clone();
            let one = all.into_iter().find(|one| one["name"] == name)?;
            one["discovery"]["error"].as_str().map(str::to_owned)
        })
        .await;
        assert!(error.contains(word), "{name}: {error}");
        for _ in 0..3 {
            let text = node.get(&format!("/{name}")).await.text();
            assert_eq!(text, "first", "{name}: {error}");
        }
        let of = [("upstream", name), ("source", "dns")];
        let failures = || async {
            (node.metric("farmgate_discovery_failures_total", &of).await >= 1.0).then_some(())
        };
        eventually(&format!("{name} is counted"), failures).await;
    }
    let lies = [("upstream", "lies")];
    assert!(node.metric("farmgate_discovery_refused_total", &lies).await >= 1.0);
    eventually("what was said over TCP", || async {
        (node.get("/long").await.text() == "second").then_some(())
    })
    .await;
    let never = [("upstream", "never")];
    assert!(
        node.metric("farmgate_discovery_failures_total", &never)
            .await
            >= 1.0
    );
    // What was said anew is heard.
    dns.set("never.test", RecordType::A, good("never", ip));
    eventually("the name that is there now", || async {
        (node.get("/never").await.text() == "first").then_some(())
    })
    .await;
}

/// Names in `endpoints` are asked of the system.
#[tokio::test]
async fn a_name_that_never_resolves_stands_beside_one_that_serves() {
    let origin = Origin::answering("ok").await;
    let config = format!(
        r#"
[[listener]]
name = "web"
address = "@web"
[[route]]
name = "both"
paths = ["/both"]
upstream = "both"
[[route]]
name = "alone"
paths = ["/alone"]
upstream = "alone"
[[upstream]]
name = "both"
endpoints = ["never.invalid:80", "{}"]
[[upstream]]
name = "alone"
endpoints = ["never.invalid:80"]
"#,
        origin.address()
    );
    let node = Setup::new().start(&config).await;
    for _ in 0..6 {
        assert_eq!(node.get("/both").await.text(), "ok");
    }
    let response = node.get("/alone").await;
    assert_eq!(
        (response.status, response.json()["detail"].as_str()),
        (503, Some("upstream_no_endpoint"))
    );
    let labels = [("upstream", "alone")];
    node.metric_is("farmgate_upstream_endpoints", &labels, 0.0)
        .await;
    for upstream in ["both", "alone"] {
        let labels = [("upstream", upstream)];
        node.metric_is("farmgate_upstream_names_unresolved", &labels, 1.0)
            .await;
    }
    assert!(node.errors().contains("no address is known yet for"));
    let told = node.run(&["status"]).await.expect(0).text();
    assert!(
        told.contains("PROBLEM never.invalid does not resolve"),
        "{told}"
    );
    // A name that resolves is none of them.
    let resolved = config.replace("never.invalid", "localhost");
    let node = Setup::new().start(&resolved).await;
    let both = [("upstream", "both")];
    node.metric_is("farmgate_upstream_endpoints_available", &both, 2.0)
        .await;
    node.metric_is("farmgate_upstream_names_unresolved", &both, 0.0)
        .await;
}

#[tokio::test]
async fn weights_of_zero_leave_nobody_and_are_undone() {
    let origin = Origin::answering("ok").await;
    let node = super::node(&[origin.address()], "").await;
    let address = origin.address().to_string();
    let weight = |weight: &'static str| {
        let words = ["endpoint", "app", &address, "weight", weight].map(str::to_owned);
        let node = &node;
        async move {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            node.run(&words).await.expect(0);
        }
    };
    weight("0").await;
    let response = node.get("/").await;
    assert_eq!(
        (response.status, response.json()["detail"].as_str()),
        (503, Some("upstream_no_endpoint"))
    );
    let app = [("upstream", "app")];
    node.metric_is("farmgate_upstream_endpoints_available", &app, 0.0)
        .await;
    weight("1").await;
    assert_eq!(node.get("/").await.text(), "ok");
}
