//! Bodies, targets and files that want to hurt.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::contract::{compile_openapi, compile_schema};
use super::super::media::Range;
use super::*;

#[test]
fn deep_and_wide_bodies_are_refused_early() {
    let services = host();
    let built = build(EVENTS, &services);
    let ask = |body: String| faults(ask(&built, &mut event(), body)).0;
    assert_eq!(
        ask(format!("{}{}", "[".repeat(33), "]".repeat(33))),
        "body_too_deep"
    );
    assert_eq!(ask("[".repeat(500_000)), "body_too_deep");
    assert_eq!(ask("{\"a\":".repeat(100_000)), "body_too_deep");
    assert_eq!(
        ask(format!("[{}1]", "1,".repeat(10_000))),
        "body_too_many_values"
    );
    assert_eq!(
        ask(format!("\"{}\"", "\\u0000".repeat(100_000))),
        "body_invalid"
    );
    assert_eq!(
        ask(format!("{{\"{}\":1}}", "x".repeat(900_000))),
        "body_invalid"
    );
}

#[test]
fn names_and_pointers_of_clients_stay_short() {
    let services = host();
    services
        .write_file(
            "s.json",
            r#"{"properties":{"a":true},"additionalProperties":false}"#,
        )
        .unwrap();
    let built = build("schema = 's.json'\nmax_errors = 100", &services);
    let members: Vec<String> = (0..9000)
        .map(|n| format!("\"{n}{}\":1", "\u{e9}\\\"".repeat(30)))
        .collect();
    let reply = ask(&built, &mut event(), format!("{{{}}}", members.join(","))).unwrap();
    assert!(reply.body.len() < 200_000, "{}", reply.body.len());
    assert_eq!(faults(Some(reply)).1.len(), 100);
}

#[test]
fn a_body_for_every_branch_takes_no_longer_than_its_size() {
    let services = host();
    let pattern =
        r#"{"type":"array","uniqueItems":true,"items":{"pattern":"^(a+)+$","maxLength":100000}}"#;
    services.write_file("s.json", pattern).unwrap();
    let built = build("schema = 's.json'\nmax_values = 20000", &services);
    let began = Instant::now();
    let same = vec![format!("\"{}b\"", "a".repeat(20)); 9000].join(",");
    assert!(ask(&built, &mut event(), format!("[{same}]")).is_some());
    let long = format!("[\"{}b\"]", "a".repeat(90_000));
    assert!(ask(&built, &mut event(), long).is_some());
    // A backtracking engine would need longer than the universe has existed.
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn schemas_without_an_end_are_refused() {
    for schema in [
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#"}]}"##,
        r##"{"$ref":"#/$defs/a","$defs":{"a":{"not":{"$ref":"#/$defs/b"}},"b":{"if":{"$ref":"#/$defs/a"}}}}"##,
        r##"{"properties":{"default":{"$ref":"#/properties/default"}}}"##,
        r##"{"$anchor":"top","oneOf":[{"$ref":"#top"}]}"##,
        r##"{"$dynamicAnchor":"n","anyOf":[{"$dynamicRef":"#n"}]}"##,
        r##"{"dependentSchemas":{"x":{"$ref":"#"}}}"##,
    ] {
        let error = compile_schema(schema.as_bytes(), true, &[], &[Range::Any], true).err();
        assert!(
            error.is_some_and(|text| text.contains("circle")),
            "{schema}"
        );
    }
    // To come back one level deeper is what recursion is for.
    let tree = r##"{"properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}},"additionalProperties":false}"##;
    assert!(compile_schema(tree.as_bytes(), true, &[], &[Range::Any], true).is_ok());
}

/// The deepest body there may be, through references and branches, on a stack of the size that threads have. What is
/// wrong with it stands at its very end.
#[test]
fn the_deepest_body_fits_the_stack() {
    let services = host();
    let tree = r##"{"$ref":"#/$defs/n","$defs":{"n":{"allOf":[{"anyOf":[{"$ref":"#/$defs/m"},{"const":5}]}]},
        "m":{"if":true,"then":{"properties":{"a":{"$ref":"#/$defs/n"}},"additionalProperties":false}}}}"##;
    services.write_file("s.json", tree).unwrap();
    let deep = |end: &str| format!("{}{end}{}", "{\"a\":".repeat(100), "}".repeat(100));
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let judge = move || {
        let built = build("schema = 's.json'\nmax_depth = 100", &services);
        assert!(ask(&built, &mut event(), deep("5")).is_none());
        let reply = ask(
            &built,
            &mut event(),
            deep("{\"b\":1}")
                .replacen("{\"a\":", "", 1)
                .replacen('}', "", 1),
        );
        assert_eq!(faults(reply).0, "body_invalid");
    };
    thread.spawn(judge).unwrap().join().unwrap();
}

#[test]
fn bombs_in_yaml_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let items = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{items}]\n"));
    }
    let began = Instant::now();
    assert!(compile_openapi(bomb.as_bytes(), true).is_err());
    assert!(compile_openapi("[".repeat(100_000).as_bytes(), true).is_err());
    assert!(compile_openapi(format!("a: {}", "[".repeat(100_000)).as_bytes(), true).is_err());
    assert!(compile_openapi("- ".repeat(50_000).as_bytes(), true).is_err());
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_request_makes_it_fall_over(
        path in "/v1/orders(/[0-9a-z%{}.,~/-]{0,12}){0,3}",
        query in prop::option::of("[a-z%0-9&=+,|;\\[\\]]{0,30}"),
        tenant in "[ -~]{0,10}",
        body in prop::collection::vec(any::<u8>(), 0..200),
        kind in prop_oneof![Just("application/json"), Just("application/x-www-form-urlencoded"), Just("text/x;")],
    ) {
        let services = host();
        let built = build("openapi = 'example.openapi.yaml'\nbase_path = '/v1'", &services);
        let target = query.map_or(path.clone(), |query| format!("{path}?{query}"));
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let mut request = FakeRequest::get(&target)
                .method(method)
                .header("x-tenant", &tenant)
                .header("cookie", format!("session={tenant}"))
                .header("content-type", kind);
            if let Some(reply) = ask(&built, &mut request, &body) {
                prop_assert!(reply.body.len() < 20_000);
                let _ = faults(Some(reply));
            }
        }
    }

    #[test]
    fn no_file_makes_it_fall_over(text in "[a-z$:/#{}\\[\\]\", \n-]{0,120}") {
        let _ = compile_openapi(text.as_bytes(), true);
        let _ = compile_schema(text.as_bytes(), true, &[], &[Range::Any], true);
    }
}
