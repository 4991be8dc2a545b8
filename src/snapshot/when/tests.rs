use std::net::IpAddr;

use farmgate_plugin_api::compliance::FakeRequest;
use farmgate_plugin_api::{Consumer, Request};
use http::Method;
use proptest::prelude::*;

use super::*;

fn request() -> FakeRequest {
    let mut request = FakeRequest::get("/v1/users?name=J%C3%BCrgen&empty&x=1&x=2")
        .host("api.example.test")
        .header("x-tenant", "a")
        .header("x-twice", "first")
        .header("x-twice", "second")
        .header("x-empty", "")
        .header("x-bytes", [b'a', 0xff])
        .header("cookie", "exp=blue; sid=1")
        .client_ip("10.1.2.3".parse::<IpAddr>().unwrap());
    request.set_consumer(Consumer {
        name: "acme".into(),
        plan: Some("gold".into()),
        tags: vec!["beta".into(), "eu".into()],
        by: "api_key",
        by_authorization: false,
    });
    request
}

fn holds(text: &str) -> bool {
    holds_for(&request(), text)
}

fn holds_for(request: &FakeRequest, text: &str) -> bool {
    match When::parse(text) {
        Ok(when) => when.holds(request),
        Err(error) => panic!("{text}: {error} {:?}", error.help),
    }
}

#[test]
fn true_of_the_request() {
    for text in [
        "true",
        r#"request.method == "GET""#,
        "request.method != 'OPTIONS'",
        r#""GET" == request.method"#,
        r#"request.host == "api.example.test""#,
        r#"request.path.startsWith("/v1/") && request.path.endsWith('users')"#,
        r#"request.path.contains("1/us")"#,
        r#"request.scheme == "http""#,
        r#"request.query["name"] == "Jürgen""#,
        r#"request.query["name"] == "J\u00fcrgen""#,
        r#"request.query["x"] == "1""#,
        r#"request.query["empty"] == "" && has(request.query["empty"])"#,
        r#"request.query["none"] == "" && !has(request.query["none"])"#,
        r#"request.headers["X-Tenant"] in ["a", "b"]"#,
        r#"request.headers["x-twice"] == "first""#,
        r#"has(request.headers["x-empty"]) && !has(request.headers["x-none"])"#,
        r#"request.headers["x-bytes"].startsWith("a") && request.headers["x-bytes"] != "a""#,
        r#"request.cookies["exp"] == "blue" && has(request.cookies["sid"])"#,
        r#"client.ip in "10.0.0.0/8" && !(client.ip in ["10.2.0.0/16", "::1"])"#,
        r#"client.ip in "::ffff:10.0.0.0/104""#,
        r#"client.ip == "10.1.2.3" && "10.1.2.4" != client.ip"#,
        r#"client.ip == "::ffff:10.1.2.3""#,
        r#"listener.name == "web""#,
        r#"consumer.name == "acme" && consumer.plan == "gold" && has(consumer.plan)"#,
        r#""beta" in consumer.tags && !("us" in consumer.tags)"#,
        r#"request.headers["x-tenant"] != request.host"#,
        r#"request.path.matches("^/v[0-9]+/") && !request.path.matches("^users$")"#,
        r#"request.path.matches(r'^/v\d+/\w+$')"#,
        r#"request.path.matches("\\d")"#,
        r#""users".startsWith("us")"#,
        r#"!("a" in [])"#,
        r#""a" in ["b", "a",]"#,
        r#"(request.method) == ("GET")"#,
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn without_a_consumer_its_values_are_empty() {
    let nobody = FakeRequest::get("/");
    for text in [
        r#"consumer.name == "" && consumer.plan == """#,
        "!has(consumer.name) && !has(consumer.plan)",
        r#"!("" in consumer.tags)"#,
    ] {
        assert!(holds_for(&nobody, text), "{text}");
    }
    let options = FakeRequest::get("/").method(Method::OPTIONS);
    assert!(!holds_for(&options, r#"request.method != "OPTIONS""#));
}

/// Every way to put `&&`, `||` and `!` between three truths, against Rust's own rules (`!` before
/// `&&` before `||`, as in CEL).
#[test]
fn signs_bind_as_in_cel() {
    for bits in 0..8_u8 {
        let [a, b, c] = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
        for (text, expected) in [
            (format!("{a} || {b} && {c}"), a || b && c),
            (format!("{a} && {b} || {c}"), a && b || c),
            (format!("({a} || {b}) && {c}"), (a || b) && c),
            (format!("{a} && ({b} || {c})"), a && (b || c)),
            (format!("!{a} && {b} || !{c}"), !a && b || !c),
            (format!("!({a} && {b}) || {c}"), !(a && b) || c),
            (format!("!({a} || {b} && {c})"), !(a || b && c)),
            (format!("!!{a} || !(!{b} && {c})"), a || b || !c),
            (format!("{a}&&{b}||!{b}&&{c}"), a && b || !b && c),
        ] {
            assert_eq!(holds(&text), expected, "{text}");
        }
    }
    // A comparison binds tighter than `&&`, looser than a method and `!`.
    assert!(holds(
        r#"request.method == "GET" && request.path == "/v1/users" || false"#
    ));
    assert!(holds(r#"!request.path.startsWith("/v2") && true"#));
}

/// Place in characters, and words of the message and its help.
#[test]
fn mistakes_have_a_place_and_a_help() {
    for (text, offset, message, help) in [
        ("", 0, "empty", "leave `when` out"),
        (
            "request.metod == 'GET'",
            0,
            "`request.metod`",
            "\"request.method\"",
        ),
        ("method == 'GET'", 0, "`method`", "\"request.method\""),
        (
            "true && client.address == '1'",
            8,
            "`client.address`",
            "client.ip",
        ),
        (
            "request.path.startswith('/')",
            13,
            "`.startswith`",
            "\".startsWith\"",
        ),
        ("size(request.path)", 0, "no function `size`", "has"),
        ("request.path", 0, "a text", "`==`"),
        ("request.headers['x']", 0, "a text", "has(...)"),
        ("client.ip", 0, "an address", "in \"10.0.0.0/8\""),
        ("true && 'x'", 8, "a text", "`==`"),
        ("request.path = '/'", 13, "'='", "`==`"),
        ("true & true", 5, "'&'", "`&&`"),
        ("true and false", 5, "`and`", ""),
        ("not true", 0, "`not` is written `!`", ""),
        ("request.path == 1", 16, "'1'", "quotes"),
        ("request.path == -1", 16, "'-'", "quotes"),
        ("request.path == 'x", 16, "closing quote", ""),
        (r"request.path == 'ü\d'", 18, "escape \\d", "r'...'"),
        (r"request.path == '\ud800'", 17, "hexadecimal", ""),
        ("request.path == '/' == true", 20, "chained", "`&&`"),
        ("has(request.path)", 4, "every request has", ""),
        ("has('x')", 4, "`has` asks", "request.headers"),
        (
            "request.headers == 'x'",
            16,
            "needs a key",
            "request.headers[\"name\"]",
        ),
        ("request.headers['a b'] == 'x'", 16, "cannot be a name", ""),
        ("request.path['x'] == 'x'", 12, "takes no key", ""),
        (
            "'a' in 'abc'",
            4,
            "a text cannot be `in` a text",
            ".contains",
        ),
        (
            "'a' == consumer.tags",
            4,
            "a list of tags",
            "in consumer.tags",
        ),
        ("'a' == ['a']", 4, "a list", "write `in`"),
        ("has(consumer.name) == true", 19, "true or false", "`!x`"),
        ("client.ip == '10.0.0.0/8'", 13, "no IP address", "`in`"),
        (
            "client.ip == request.host",
            10,
            "an address",
            "address in quotes",
        ),
        ("client.ip in '10.0.0.0/33'", 13, "0 to 32", "10.0.0.0/8"),
        ("client.ip in ['x']", 14, "no network", "10.0.0.0/8"),
        (
            "client.ip.startsWith('10.')",
            0,
            "no methods",
            "client.ip in",
        ),
        ("!client.ip in '10.0.0.0/8'", 1, "an address", "!(a in b)"),
        ("request.path.matches('(')", 21, "no regex", ""),
        ("request.path.matches(request.host)", 21, "in quotes", ""),
        ("(true", 5, "`)` is missing", ""),
        ("true)", 4, "no `(`", ""),
        ("true true", 5, "too much", "`&&`"),
        ("true &&", 7, "too early", ""),
        ("true ? 'a' : 'b'", 5, "'?'", "`&&`"),
    ] {
        let error = When::parse(text).expect_err(text);
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!(error.offset, offset, "{text}: {error}");
        let given = error.help.unwrap_or_default();
        assert!(given.contains(help), "{text}: {given}");
    }
}

#[test]
fn a_condition_is_bounded() {
    let nested = |deep: usize| format!("{}true{}", "(".repeat(deep), ")".repeat(deep));
    assert!(holds(&nested(MAX_DEPTH)));
    assert!(When::parse(&nested(MAX_DEPTH + 1)).is_err());
    assert!(When::parse(&nested(1_500)).is_err());
    assert!(When::parse(&"!".repeat(MAX_BYTES)).is_err());
    let joined = |terms: usize| vec!["true"; terms].join(" && ");
    assert!(holds(&joined(MAX_TERMS)));
    let error = When::parse(&joined(MAX_TERMS + 1)).unwrap_err();
    assert!(error.message.contains("64"), "{error}");
    let long = |bytes: usize| format!("'{}' == ''", "x".repeat(bytes - 8));
    assert!(When::parse(&long(MAX_BYTES)).is_ok());
    assert!(When::parse(&long(MAX_BYTES + 1)).is_err());
    // A regex that would take too much memory is refused.
    assert!(When::parse(r"request.path.matches(r'(\w{100}){100}{100}')").is_err());
}

#[test]
fn a_condition_is_written_back_in_one_way() {
    for (text, written) in [
        ("request.method!='GET'", r#"request.method != "GET""#),
        (
            "(true||false)&&!(has(request.headers['X-A'])||request.path in['a','b'])",
            r#"(true || false) && !(has(request.headers["x-a"]) || request.path in ["a", "b"])"#,
        ),
        ("((true && false)) || false", "true && false || false"),
        (
            "client.ip in '10.0.0.0/8' || !(client.ip == '::1')",
            r#"client.ip in ["10.0.0.0/8"] || !(client.ip == "::1")"#,
        ),
        (
            r"request.query['a'].matches(r'^\d$') && '\t\x01' in consumer.tags",
            r#"request.query["a"].matches("^\\d$") && "\t\U00000001" in consumer.tags"#,
        ),
        (
            "request.path.contains('\"') && request.cookies['c'].endsWith('x')",
            r#"request.path.contains("\"") && request.cookies["c"].endsWith("x")"#,
        ),
    ] {
        let when = When::parse(text).unwrap();
        assert_eq!(when.to_string(), written);
        assert_eq!(When::parse(written).unwrap().to_string(), written);
    }
}

/// A condition made of the pieces of the language, right by construction.
fn conditions() -> impl Strategy<Value = String> {
    let term = prop::sample::select(vec![
        "true",
        "false",
        "request.method == 'GET'",
        "request.path.startsWith('/v1')",
        "has(request.headers['x-none'])",
        "client.ip in ['10.0.0.0/8', '::1']",
        "'us' in consumer.tags",
        "request.query['x'] in ['1', '2']",
        "request.host.matches('^api')",
        "listener.name != 'web'",
    ]);
    term.prop_map(str::to_owned)
        .prop_recursive(5, 40, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} || {b}")),
                inner.prop_map(|a| format!("!({a})")),
            ]
        })
}

/// Pieces that make more of a parser run than random bytes do.
fn nonsense() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "request",
        "path",
        "headers",
        "client",
        "ip",
        "in",
        "has",
        "true",
        ".",
        "[",
        "]",
        "(",
        ")",
        "!",
        "!=",
        "==",
        "&&",
        "||",
        ",",
        "-",
        "'a'",
        "\"",
        "'",
        "\\",
        "r'",
        "ü",
        " ",
        "\\u12",
        "matches",
        "startsWith",
        "consumer.tags",
        "request.path",
        "client.ip",
        "\u{0}",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn written_back_it_means_the_same(text in conditions()) {
        let request = request();
        let first = When::parse(&text).unwrap();
        let written = first.to_string();
        let second = When::parse(&written).unwrap();
        prop_assert_eq!(second.to_string(), written);
        prop_assert_eq!(first.holds(&request), second.holds(&request));
    }

    #[test]
    fn any_text_is_a_condition_or_a_mistake_inside_it(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn nonsense_is_a_condition_or_a_mistake_inside_it(text in nonsense()) {
        check(&text)?;
    }
}

fn check(text: &str) -> Result<(), TestCaseError> {
    match When::parse(text) {
        Ok(when) => {
            when.holds(&request());
            prop_assert!(When::parse(&when.to_string()).is_ok(), "{}", when);
        }
        Err(error) => prop_assert!(error.offset <= text.chars().count()),
    }
    Ok(())
}
