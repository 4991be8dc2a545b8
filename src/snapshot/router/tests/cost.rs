//! What a lookup costs, counted in visited places so that the numbers are the same everywhere.

use super::*;

/// Routes of a farm: each tenant has a host and a handful of paths; some are shared by all hosts.
fn farm(routes: u32) -> Router {
    let route = |n: u32| {
        let host = format!("t{}.example.test", n / 10);
        match n % 10 {
            0 => on(&[&host], &["/"]),
            1 => on(&[&host], &["/v1/*"]),
            2 => on(&[&host], &["/v1/users/{id}"]),
            3 => on(&[&host], &["/v1/users/{id}/orders"]).with_methods(&[Method::GET]),
            4 => on(&[&host], &[]),
            5 => on(&[&format!("*.{host}")], &["/v1/*"]),
            6 => on(&[], &[&format!("/shared/s{n}/*")]),
            7 => on(&[], &[&format!("/shared/s{n}/{{id}}/x")]),
            8 => on(&["api.example.test"], &["/call"]).with_header("x-tenant", is(&n.to_string())),
            _ => on(&["api.example.test"], &["/call"]).with_query("tenant", is(&n.to_string())),
        }
    };
    router((0..routes).map(route).collect())
}

/// Requests that take each of the ten kinds of route, of the tenant numbered `of`, and two that
/// take none.
fn requests(of: u32) -> Vec<Asked> {
    let n = of * 10;
    let host = format!("t{of}.example.test");
    vec![
        get(&host, "/"),
        get(&host, "/v1/a/b/c"),
        get(&host, "/v1/users/7"),
        get(&host, "/v1/users/7/orders"),
        get(&host, "/else"),
        get(&format!("a.b.{host}"), "/v1/users/7"),
        get("other.test", &format!("/shared/s{}/a", n + 6)),
        get("other.test", &format!("/shared/s{}/a/x", n + 7)),
        get("api.example.test", "/call").header("x-tenant", &(n + 8).to_string()),
        get("api.example.test", &format!("/call?tenant={}", n + 9)),
        get("api.example.test", "/call"),
        get("other.test", "/shared/none"),
    ]
}

fn visits(table: &Router, of: u32) -> u32 {
    let asked = requests(of);
    let found: Vec<_> = asked.iter().map(|asked| find(table, asked).0).collect();
    let expected = (0..12).map(|kind| (kind < 10).then_some(of * 10 + kind));
    assert_eq!(found, expected.collect::<Vec<_>>());
    asked.iter().map(|asked| table.visits(asked)).sum()
}

#[test]
fn ten_thousand_routes_cost_at_most_twice_what_ten_cost() {
    let few = visits(&farm(10), 0);
    let many = farm(10_000);
    for of in [0, 1, 500, 999] {
        let visits = visits(&many, of);
        assert!(visits <= 2 * few, "{visits} places, with ten routes {few}");
    }
}

#[test]
fn tenants_told_apart_by_any_field_are_looked_up() {
    let by_field = |n: u32| {
        let (route, value) = (
            on(&[], &["/a"]).with_header("env", is("prod")),
            is(&n.to_string()),
        );
        match n % 3 {
            0 => route.with_header("x", value),
            1 => route.with_query("x", value),
            _ => route.with_cookie("x", value),
        }
    };
    let table = router((0..9999).map(by_field).collect());
    let base = || get("h", "/a").header("env", "prod");
    let asked = [
        base().header("x", "9996"),
        Asked {
            query: Some("x=%39997".to_owned()),
            ..base()
        },
        base().header("cookie", "y=1; x=9998"),
    ];
    for (asked, won) in asked.iter().zip(9996..) {
        assert_eq!(find(&table, asked).0, Some(won));
        assert!(table.visits(asked) < 10, "{}", table.visits(asked));
    }
    // All three at once: the one written first wins, whatever table it is found in.
    let all = base().header("x", "9996").header("cookie", "x=8");
    assert_eq!(find(&table, &all).0, Some(8));
}

#[test]
fn a_path_visits_a_node_once_at_most() {
    let depth = 12;
    let path = |bits: u32| {
        let segment = |at: u32| match (bits >> at) & 1 {
            1 => "/a".to_owned(),
            // Eight names are the most, so the last four segments differ in text only.
            _ if at < 8 => format!("/{{p{at}}}"),
            _ => "/b".to_owned(),
        };
        (0..depth).map(segment).collect::<String>() + "/end"
    };
    let table = router(
        (0..1u32 << depth)
            .map(|bits| on(&[], &[&path(bits)]))
            .collect(),
    );
    // Both ways are open at each of eight levels, and the last segment fits nowhere.
    let asked = get("h", &format!("{}/no", "/a".repeat(12)));
    assert_eq!(find(&table, &asked).0, None);
    let worst = table.worst_visits();
    assert!(
        u64::from(table.visits(&asked)) <= worst,
        "{}",
        table.visits(&asked)
    );
    assert_eq!(worst, 511 + 256 * 5);
    // One literal way per level costs its length only, however many patterns there are.
    let chain = (0..5000).map(|n| on(&[], &[&format!("/{{a}}/k{n}/{{b}}/end")]));
    let chain = router(chain.collect());
    assert_eq!(chain.worst_visits(), 5);
    assert!(chain.visits(&get("h", &"/k7".repeat(2000))) <= 5);
}
