//! What is reported of a set of routes, and what is not.

use super::*;
use crate::snapshot::router::{MAX_ENTRIES, MAX_VISITS};

fn findings(routes: Vec<RouteMatch>) -> Vec<Finding> {
    build(routes).1
}

fn a() -> RouteMatch {
    on(&[], &["/a"])
}

fn unreachable(route: u32, by: &[u32]) -> Vec<Finding> {
    vec![Finding::Unreachable {
        route,
        by: by.to_vec(),
    }]
}

fn same_rank(earlier: u32, later: u32) -> Vec<Finding> {
    vec![Finding::SameRank { earlier, later }]
}

#[test]
fn a_route_behind_a_broader_one_of_its_rank_is_unreachable() {
    let get_only = || a().with_methods(&[Method::GET]);
    let both = || a().with_methods(&[Method::GET, Method::PUT]);
    let one = || a().with_header("x", is("1"));
    let any = || a().with_header("x", Condition::Present);
    let regex = |text| a().with_header("x", Condition::regex(text).unwrap());
    let net = |cidr| a().with_source(cidr);
    for (first, second) in [
        (a(), a()),
        (on(&[], &["/{x}"]), on(&[], &["/{y}"])),
        (on(&[], &[]), on(&[], &[])),
        (on(&["h.test"], &["/*"]), on(&["H.test."], &["/*"])),
        (both(), get_only()),
        (any(), one()),
        (any(), regex("1|2")),
        (regex("1|2"), one()),
        (regex("1|2"), regex("1|2")),
        (net("192.0.0.0/8"), net("192.0.2.0/24")),
        (a().with_listeners(&[1, 2]), a().with_listeners(&[2])),
        (
            a().with_query("q", Condition::Present),
            a().with_query("q", is("1")),
        ),
        (a().with_cookie("q", is("1")), a().with_cookie("q", is("1"))),
        (
            on(&["a.test", "b.test"], &["/x", "/y"]),
            on(&["b.test"], &["/y"]),
        ),
    ] {
        let found = findings(vec![first.clone(), second.clone()]);
        assert_eq!(found, unreachable(1, &[0]), "{first:?} {second:?}");
    }
}

#[test]
fn several_routes_together_can_hide_one() {
    let hidden = on(&["a.test", "b.test"], &["/x", "/y"]);
    let left = on(&["a.test"], &["/x", "/y"]);
    let right = on(&["b.test"], &["/y", "/x"]);
    let all = vec![left.clone(), right, hidden.clone()];
    assert_eq!(findings(all), unreachable(2, &[0, 1]));
    assert_eq!(findings(vec![left, hidden]), same_rank(0, 1));
}

#[test]
fn routes_of_one_rank_that_may_both_fit_are_reported() {
    let one = || a().with_header("x", is("1"));
    let regex = |text| a().with_header("x", Condition::regex(text).unwrap());
    for (first, second) in [
        (one(), a().with_header("y", is("1"))),
        (one(), a().with_query("x", is("1"))),
        (one(), a().with_methods(&[Method::GET])),
        (one(), a().with_header("x", Condition::Present)),
        (one(), regex("1|2")),
        (regex("1|2"), regex("2|1")),
        (
            a().with_source("192.0.2.0/24"),
            a().with_source("192.0.0.0/8"),
        ),
        (
            a().with_methods(&[Method::GET]),
            a().with_methods(&[Method::GET, Method::PUT]),
        ),
    ] {
        assert_eq!(findings(vec![first, second]), same_rank(0, 1));
    }
    let three = vec![
        one(),
        a().with_query("q", is("1")),
        a().with_cookie("c", is("1")),
    ];
    let told = [same_rank(0, 1), same_rank(0, 2)].concat();
    assert_eq!(findings(three), told);
}

#[test]
fn routes_that_the_rules_tell_apart_are_not_reported() {
    let regex = |text| a().with_header("x", Condition::regex(text).unwrap());
    for (first, second) in [
        (a(), a().with_header("x", is("1"))),
        (a().with_header("x", is("1")), a().with_header("x", is("2"))),
        (a().with_header("x", is("1")), regex("2|3")),
        (regex("2|3"), a().with_header("x", is("1"))),
        (a().with_query("x", is("1")), a().with_query("x", is("2"))),
        (a().with_cookie("x", is("1")), a().with_cookie("x", is("2"))),
        (
            a().with_methods(&[Method::GET]),
            a().with_methods(&[Method::PUT]),
        ),
        (a().with_listeners(&[0]), a().with_listeners(&[1])),
        (
            a().with_source("192.0.2.0/24"),
            a().with_source("2001:db8::/32"),
        ),
        (on(&["a.test"], &[]), on(&["*.test"], &[])),
        (on(&["*.a.test"], &[]), on(&["*.test"], &[])),
        (on(&[], &["/*"]), on(&[], &[])),
        (on(&[], &["/a/*"]), on(&[], &["/a"])),
        (on(&[], &["/{x}/b"]), on(&[], &["/a/{x}"])),
    ] {
        assert_eq!(
            findings(vec![first.clone(), second.clone()]),
            [],
            "{first:?} {second:?}"
        );
        assert_eq!(findings(vec![second, first]), []);
    }
}

#[test]
fn a_double_in_a_large_set_is_found() {
    let tenant = |n: u32| a().with_header("x-tenant", is(&format!("t{n}")));
    let mut routes: Vec<_> = (0..5000).map(tenant).collect();
    routes.push(tenant(3));
    assert_eq!(findings(routes), unreachable(5000, &[3]));
}

#[test]
fn costly_sets_are_reported_and_huge_ones_refused() {
    let doubled = |depth: u32| {
        let paths = (0..1u32 << depth).map(move |bits| {
            let segment = |at: u32| {
                if (bits >> at) & 1 == 1 {
                    "/a".to_owned()
                } else {
                    format!("/{{p{at}}}")
                }
            };
            (0..depth).map(segment).collect::<String>()
        });
        paths
            .map(|path| on(&[], &[path.as_str()]))
            .collect::<Vec<_>>()
    };
    assert_eq!(findings(doubled(8)), []);
    let mut routes = doubled(8);
    let more: Vec<RouteMatch> = routes
        .iter()
        .flat_map(|route| ["/a", "/b", "/c"].map(|end| format!("{}{end}/x/y/z", route.paths[0])))
        .map(|path| on(&[], &[path.as_str()]))
        .collect();
    routes.extend(more);
    assert_eq!(
        findings(routes),
        [Finding::Costly {
            visits: 511 + 256 * 4
        }]
    );
    const { assert!(511 + 256 * 4 > MAX_VISITS) };

    let many = |n: usize| {
        let paths: Vec<String> = (0..n).map(|n| format!("/p{n}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        on(&[], &paths)
    };
    let mut wide = many(2100);
    let mut builder = RouterBuilder::new();
    for n in 0..1000 {
        let host = HostPattern::parse(&format!("h{n}.test")).unwrap();
        wide.hosts.push(host.clone());
        builder.add(
            n,
            RouteMatch {
                hosts: vec![host],
                ..many(1)
            },
        );
    }
    builder.add(1000, wide);
    let refused = builder.build().unwrap_err();
    assert_eq!(refused.entries, 1000 * 2101);
    assert!(refused.to_string().contains(&MAX_ENTRIES.to_string()));
}
