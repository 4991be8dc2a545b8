//! The order in which routes win.

use super::*;

/// Which of the routes takes the request.
fn winner(routes: Vec<RouteMatch>, asked: &Asked) -> Option<u32> {
    find(&router(routes), asked).0
}

#[test]
fn the_more_specific_host_wins_before_the_path() {
    let routes = || {
        vec![
            on(&[], &["/a/b"]),
            on(&["*.test"], &["/a/b"]),
            on(&["*.b.test"], &["/a/*"]),
            on(&["a.b.test"], &[]),
        ]
    };
    for (host, won) in [
        ("a.b.test", 3),
        ("x.b.test", 2),
        ("x.a.b.test", 2),
        ("b.test", 1),
        ("test", 0),
        ("a.b.test.other", 0),
    ] {
        assert_eq!(winner(routes(), &get(host, "/a/b")), Some(won), "{host}");
    }
}

#[test]
fn a_request_that_fits_no_route_of_its_host_falls_back() {
    let routes = vec![
        on(&[], &[]),
        on(&["*.test"], &["/b"]),
        on(&["*.b.test"], &["/c"]),
        on(&["a.b.test"], &["/d"]).with_methods(&[Method::POST]),
        on(&["a.b.test"], &["/a"]),
    ];
    let table = router(routes);
    for (path, won) in [("/a", 4), ("/b", 1), ("/c", 2), ("/d", 0), ("*", 0)] {
        assert_eq!(find(&table, &get("a.b.test", path)).0, Some(won), "{path}");
    }
}

#[test]
fn paths_are_compared_segment_by_segment() {
    // From the most to the least specific for /a/b/c; written in the opposite order.
    let ranked = [
        "/a/b/c",
        "/a/b/{z}",
        "/a/b/*",
        "/a/{y}/c",
        "/a/{y}/{z}",
        "/a/{y}/*",
        "/a/*",
        "/{x}/b/c",
        "/{x}/b/*",
        "/{x}/{y}/c",
        "/{x}/*",
        "/*",
        "",
    ];
    for skip in 0..ranked.len() {
        let left = ranked.iter().skip(skip).rev();
        let routes = left.map(|path| match *path {
            "" => on(&[], &[]),
            path => on(&[], &[path]),
        });
        let routes: Vec<_> = routes.collect();
        let last = routes.len() as u32 - 1;
        assert_eq!(
            winner(routes, &get("h.test", "/a/b/c")),
            Some(last),
            "{skip}"
        );
    }
}

#[test]
fn an_exact_end_beats_an_open_one() {
    let table = router(vec![
        on(&[], &["/v1/*"]),
        on(&[], &["/v1"]),
        on(&[], &["/v1/"]),
    ]);
    for (path, won) in [("/v1", 1), ("/v1/", 2), ("/v1/a", 0)] {
        assert_eq!(find(&table, &get("h.test", path)).0, Some(won), "{path}");
    }
}

#[test]
fn conditions_that_fail_send_the_search_back_up() {
    let post = [Method::POST];
    let table = router(vec![
        on(&[], &["/a/b/c"]).with_methods(&post),
        on(&[], &["/a/{x}/c"]).with_header("k", is("1")),
        on(&[], &["/{x}/b/*"]).with_query("q", Condition::Present),
        on(&[], &["/*"]),
    ]);
    assert_eq!(
        find(&table, &get("h", "/a/b/c")),
        (Some(3), vec!["rest=a/b/c".to_owned()])
    );
    let asked = get("h", "/a/b/c?q=1");
    assert_eq!(
        find(&table, &asked),
        (Some(2), vec!["x=a".to_owned(), "rest=c".to_owned()])
    );
    let asked = asked.header("k", "1");
    assert_eq!(find(&table, &asked), (Some(1), vec!["x=b".to_owned()]));
    let asked = Asked {
        method: Method::POST,
        ..asked
    };
    assert_eq!(find(&table, &asked), (Some(0), Vec::new()));
}

#[test]
fn more_conditions_win_then_the_order_of_writing() {
    let plain = || on(&[], &["/a"]);
    let asked = get("h", "/a?q=1").header("x", "1").header("cookie", "c=1");
    let one = plain().with_header("x", is("1"));
    let two = one.clone().with_query("q", is("1"));
    let three = two.clone().with_cookie("c", Condition::Present);
    assert_eq!(
        winner(vec![plain(), one.clone(), two.clone(), three], &asked),
        Some(3)
    );
    assert_eq!(winner(vec![two, one.clone(), plain()], &asked), Some(0));
    assert_eq!(winner(vec![one.clone(), one, plain()], &asked), Some(0));
    let kinds = plain()
        .with_listeners(&[0])
        .with_methods(&[Method::GET])
        .with_source("0.0.0.0/0");
    assert_eq!(kinds.conditions(), 3);
}

#[test]
fn the_best_host_and_path_of_a_route_count() {
    let wide = on(&["*.test", "a.test"], &["/*", "/x/{id}"]);
    let table = router(vec![on(&["a.test"], &["/x/*"]), wide]);
    assert_eq!(
        find(&table, &get("a.test", "/x/7")),
        (Some(1), vec!["id=7".to_owned()])
    );
    assert_eq!(
        find(&table, &get("a.test", "/y")),
        (Some(1), vec!["rest=y".to_owned()])
    );
    assert_eq!(
        find(&table, &get("a.test", "/x/7/8")),
        (Some(0), vec!["rest=7/8".to_owned()])
    );
}

#[test]
fn names_belong_to_the_route_that_wins() {
    let table = router(vec![
        on(&[], &["/u/{id}"]).with_header("x", is("1")),
        on(&[], &["/u/{name}", "/u/{other}"]),
    ]);
    assert_eq!(
        find(&table, &get("h", "/u/7")),
        (Some(1), vec!["name=7".to_owned()])
    );
    let asked = get("h", "/u/7").header("x", "1");
    assert_eq!(find(&table, &asked), (Some(0), vec!["id=7".to_owned()]));
}

#[test]
fn captures_are_forgotten_between_lookups() {
    let table = router(vec![on(&[], &["/u/{id}"]), on(&[], &["/u"])]);
    let mut captures = Captures::default();
    assert_eq!(table.find(&get("h", "/u/7"), &mut captures), Some(0));
    assert_eq!(captures.get("id", "/u/7"), Some("7"));
    assert_eq!(captures.get("rest", "/u/7"), None);
    // A path that is not the one looked up never panics.
    assert_eq!(captures.get("id", "/"), None);
    for path in ["/u", "/nothing"] {
        table.find(&get("h", path), &mut captures);
        assert_eq!(captures.get("id", "/u/7"), None);
    }
}

#[test]
fn numbers_are_the_callers() {
    let mut builder = RouterBuilder::new();
    builder.add(70, on(&[], &["/a"]));
    builder.add(7, on(&[], &["/a"]));
    let (table, findings) = builder.build().unwrap();
    assert_eq!(find(&table, &get("h", "/a")).0, Some(70));
    assert_eq!(
        findings,
        [Finding::Unreachable {
            route: 7,
            by: vec![70]
        }]
    );
    assert_eq!((table.len(), table.is_empty()), (2, false));
    assert_eq!(find(&Router::default(), &get("h", "/a")).0, None);
}
