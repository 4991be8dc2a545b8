//! Why routes lose.

use super::*;
use crate::snapshot::router::Outcome;

#[test]
fn every_route_says_why_it_lost() {
    let a = || on(&["a.test"], &["/v1/*"]);
    let table = router(vec![
        on(&["b.test"], &[]),
        on(&[], &["/v2"]),
        a().with_listeners(&[1]),
        a().with_methods(&[Method::PUT]),
        a().with_header("x", is("1")).with_header("y", is("1")),
        a().with_query("q", is("2")),
        a().with_cookie("c", Condition::Present),
        a().with_source("198.51.100.0/24"),
        on(&[], &["/v1/a"]),
        on(&["a.test"], &["/{any}/a"]),
        on(&["a.test"], &["/v1/*"]),
        a().with_query("q", is("1")),
        a().with_header("x", Condition::Present),
    ]);
    let asked = get("a.test", "/v1/a?q=1").header("x", "1");
    let told: Vec<String> = table
        .explain(&asked)
        .into_iter()
        .map(|candidate| match candidate.outcome {
            Outcome::Won => "won".to_owned(),
            Outcome::Lost(why) => why.to_string(),
        })
        .collect();
    assert_eq!(
        told,
        [
            "host",
            "path",
            "listener",
            "method",
            "header y",
            "query q",
            "cookie c",
            "source",
            "outranked by route 11 (host)",
            "outranked by route 11 (path)",
            "outranked by route 11 (conditions)",
            "won",
            "outranked by route 11 (order)",
        ]
    );
    assert_eq!(find(&table, &asked).0, Some(11));
    let nothing = table.explain(&get("c.test", "/"));
    assert!(
        nothing
            .iter()
            .all(|candidate| candidate.outcome != Outcome::Won)
    );
}
