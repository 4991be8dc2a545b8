use std::net::IpAddr;

use farmgate_plugin_api::compliance::FakeRequest;
use farmgate_plugin_api::{Consumer, Request};
use http::Method;
use proptest::prelude::*;

use super::*;

mod mistakes;

fn request() -> FakeRequest {
    let mut request = FakeRequest::get("/v1/users?name=J%C3%BCrgen&empty&x=1&x=2")
        .host("api.example.test")
        .header("x-tenant", "a")
        .header("x-twice", "first")
        .header("x-twice", "second")
        .header("x-empty", "")
        .header("x-bytes", [b'a', 0xff])
        .header("cookie", "exp=blue; sid=1")
        .header("content-length", "1200")
        .client_certificate(&["a.partner.test", "spiffe://farm/x"])
        .tls("TLSv1.3", Some("api.example.test"))
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
        Ok(when) => when.holds(request).unwrap(),
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
        r#"request.scheme == "https""#,
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
        // More of CEL.
        r#"tls.version == "TLSv1.3" && tls.sni == request.host && has(tls.sni)"#,
        r#""X-Tenant" in request.headers && !("x-none" in request.headers)"#,
        r#"request.headers.host == "" && request.cookies.exp == "blue""#,
        r#"consumer.tags.exists(tag, tag.startsWith("be")) && !consumer.tags.all(t, t == "eu")"#,
        r#"consumer.tags.exists_one(t, t == "eu") && client.sans.exists(s, s.endsWith(".test"))"#,
        r#"["a", request.headers["x-tenant"]].all(x, x == "a")"#,
        r#"request.headers["x-tenant"] in ["b", request.query["none"] + "a"]"#,
        r#"size(consumer.tags) == 2 && consumer.tags.size() < 3 && size("ü") == 1"#,
        r#"int(request.headers["content-length"]) > 1000 + 2 * 50 - -1"#,
        "1 + 2 * 3 == 7 && 7 / 2 == 3 && -7 % 4 == -3 && 1 in [2, 1] && !(3 in [])",
        r#"(request.method == "GET" ? "read" : "write") == "read""#,
        r#"request.method == "GET" ? true : request.path == "/""#,
        r#"(true ? 1 : 2) == 1 && "n" + string(1 + 1) == "n2""#,
        r#""a" < "b" && "b" >= "b" && !("a" > "b") && "a" <= "b""#,
        r#"request.headers["x-tenant"].lowerAscii() == "a" && "TeSt".lowerAscii() == "test""#,
        "(1 == 1) == true && (1 == 2) != true",
        r#"request.path.startsWith("/" + "v1") && request.path.contains(string(1))"#,
        r#"request.path.endsWith(request.path.size() > 3 ? "users" : "x")"#,
        "true // a comment",
        r#"'''a''' == """a""" && "\x41\101" == "AA""#,
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

#[test]
fn a_condition_is_bounded() {
    let nested = |deep: usize| format!("{}true{}", "(".repeat(deep), ")".repeat(deep));
    let deepest = usize::from(MAX_DEPTH);
    assert!(holds(&nested(deepest)));
    assert!(When::parse(&nested(deepest + 1)).is_err());
    let error = When::parse(&nested(1_500)).unwrap_err();
    assert!(error.message.contains("deeper than 32"), "{error}");
    // Chains as long as the text may be: neither a stack nor much time is used up.
    for (first, link) in [
        ("a", ".a"),
        ("a", "[0]"),
        ("1", "+1"),
        ("a", "<a"),
        ("a", "&&a"),
        ("a", "?a:a"),
        ("", "["),
        ("", "("),
        ("", "-"),
        ("", "f("),
        ("", "a{a:"),
        ("", "ü"),
    ] {
        let text = format!("{first}{}", link.repeat((MAX_BYTES - 1) / link.len()));
        assert!(When::parse(&text).is_err(), "{link}");
    }
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

/// A part without an answer counts only if nothing else decides; `has` before it is enough.
#[test]
fn what_has_no_answer_is_a_fault() {
    let bare = FakeRequest::get("/");
    let ask = |text: &str| When::parse(text).unwrap().holds(&bare);
    let number = r#"int(request.headers["x"]) > 1"#;
    assert_eq!(ask(number), Err(Fault::NoNumber));
    for decided in [
        format!("false && {number}"),
        format!("{number} && false"),
        format!(r#"has(request.headers["x"]) && {number}"#),
        format!("!({number} || true)"),
        format!("true ? false : {number}"),
        format!(r#"!["a", "b"].exists(x, x == "b" || {number})"#),
        format!(r#"["a", "b"].all(x, x == "a" && {number})"#),
    ] {
        assert_eq!(ask(&decided), Ok(false), "{decided}");
    }
    for open in [
        format!("true && {number}"),
        format!("{number} || false"),
        format!("!({number})"),
        format!(r#"["a"].exists(x, {number})"#),
        format!(r#"["a"].exists_one(x, {number})"#),
        format!("{number} ? true : true"),
    ] {
        assert_eq!(ask(&open), Err(Fault::NoNumber), "{open}");
    }
    assert_eq!(ask("1 % (size(request.path) - 1) == 0"), Err(Fault::ByZero));
    let large = "9223372036854775807 + size(request.path) > 0";
    assert_eq!(ask(large), Err(Fault::Overflow));
    let trial = |text: &str| When::parse(text).unwrap().trial();
    assert_eq!(trial(number), Err(Fault::NoNumber));
    assert_eq!(trial(r#"request.method == "GET""#), Ok(true));
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
            "(true?false:true)?1+(2-size(request.path))>3*(int('1')+2):'a'<'b'+tls.sni",
            r#"(true ? false : true) ? 1 + (2 - size(request.path)) > 3 * (int("1") + 2) : "a" < "b" + tls.sni"#,
        ),
        (
            "consumer.tags.all(x,x in['a',string(-(size(x)))]||!(1 in[2]))",
            r#"consumer.tags.all(x, x in ["a", string(-(size(x)))] || !(1 in [2]))"#,
        ),
        (
            "(request.path.lowerAscii()+'a').startsWith(request.host)==(true||false)",
            r#"(request.path.lowerAscii() + "a").startsWith(request.host) == (true || false)"#,
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
        "size(request.path) - 1 > 2 * size(consumer.tags)",
        "int(request.headers['content-length']) < 9",
        "consumer.tags.exists(t, t + 'x' == 'eux')",
        "(request.method == 'GET' ? 'a' : request.host) == 'a'",
    ]);
    term.prop_map(str::to_owned)
        .prop_recursive(5, 40, 3, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} || {b}")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} ? {b} : true)")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) == ({b})")),
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
        "?",
        ":",
        "+",
        "%",
        "1",
        "size(",
        "int(",
        ".exists(x,",
        "x",
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
            let _ = when.holds(&request());
            prop_assert!(When::parse(&when.to_string()).is_ok(), "{}", when);
        }
        Err(error) => prop_assert!(error.offset <= text.chars().count()),
    }
    Ok(())
}
