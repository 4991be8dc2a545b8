use std::fmt::Write as _;

use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::{Built, Consumer, Credential, Facts, Phases, Verdict};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::KIND;

const FOO: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
const BAR: &str = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9";
const BAZ: &str = "baa5a0964d3320fbc0c6a922140453c8513ea24ab8fd0577034804a967248096";

fn acme() -> String {
    format!(
        "consumers = [{{ name = 'acme', sha256 = ['{FOO}', '{BAR}'], plan = 'gold', tags = ['eu'] }}]"
    )
}

fn hash(key: &str) -> String {
    Sha256::digest(key)
        .iter()
        .fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}

fn found(request: &FakeRequest) -> Option<&Consumer> {
    Facts::consumer(request)
}

fn build(table: &str) -> Result<Built, String> {
    compliance::build(KIND, table, &FakeServices::new())
}

fn mistake(table: &str) -> String {
    build(table)
        .err()
        .unwrap_or_else(|| panic!("taken: {table}"))
}

/// The name of the consumer of a request that passes, or the detail of the refusal.
fn ask(built: &Built, request: &mut FakeRequest) -> Result<Option<String>, &'static str> {
    match compliance::verdict(built.filter.request_head(request)) {
        Verdict::Continue => Ok(found(request).map(|consumer| consumer.name.to_string())),
        Verdict::Reply(reply) => {
            assert_eq!(reply.status, 401);
            assert!(reply.problem);
            assert!(
                reply
                    .headers
                    .iter()
                    .any(|(name, _)| name == "www-authenticate")
            );
            assert!(found(request).is_none());
            Err(reply.detail)
        }
        other => panic!("{other:?}"),
    }
}

fn passes(built: &Built, mut request: FakeRequest) -> Option<String> {
    ask(built, &mut request).expect("it passes")
}

fn acme_passes(built: &Built, request: FakeRequest) {
    assert_eq!(passes(built, request).as_deref(), Some("acme"));
}

fn refused(built: &Built, mut request: FakeRequest) -> &'static str {
    ask(built, &mut request).expect_err("it is refused")
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn a_known_key_has_a_consumer_and_goes_no_further() {
    let built = build(&acme()).unwrap();
    assert_eq!(built.filter.phases(), Phases::REQUEST_HEAD);
    assert_eq!(
        built.filter.credentials(),
        [Credential::Header("x-api-key".parse().unwrap())]
    );
    for key in ["foo", "bar"] {
        let mut request = FakeRequest::get("/")
            .header("x-api-key", key)
            .header("x-other", key);
        assert_eq!(ask(&built, &mut request), Ok(Some("acme".to_owned())));
        assert!(!request.headers().contains_key("x-api-key"));
        assert!(request.headers().contains_key("x-other"));
        let consumer = found(&request).unwrap();
        assert_eq!(consumer.plan.as_deref(), Some("gold"));
        assert_eq!(consumer.tags, ["eu".into()]);
        assert_eq!((consumer.by, consumer.by_authorization), ("api_key", false));
    }
}

#[test]
fn refusals_say_little_and_counters_say_why() {
    let services = FakeServices::new();
    let built = compliance::build(KIND, &acme(), &services).unwrap();
    let with = |key: &str| FakeRequest::get("/").header("x-api-key", key);
    assert_eq!(
        refused(&built, FakeRequest::get("/?x-api-key=foo")),
        "key_missing"
    );
    assert_eq!(refused(&built, with("")), "key_missing");
    assert_eq!(refused(&built, with("Foo")), "key_refused");
    assert_eq!(refused(&built, with(FOO)), "key_refused");
    assert_eq!(
        refused(&built, with("foo").header("x-api-key", "foo")),
        "key_refused"
    );
    assert_eq!(refused(&built, with(&"f".repeat(513))), "key_refused");
    for (reason, times) in [
        ("missing", 2),
        ("unknown", 2),
        ("several", 1),
        ("too_long", 1),
    ] {
        assert_eq!(services.metric_by("refused", reason), times, "{reason}");
    }
    assert_eq!(services.metric("allowed"), 0);
    assert_eq!(services.metric("keys"), 2);
}

#[test]
fn the_longest_key_is_one() {
    let key = "k".repeat(512);
    let built = build(&format!(
        "consumers = [{{ name = 'acme', sha256 = ['{}'] }}]",
        hash(&key)
    ))
    .unwrap();
    acme_passes(&built, FakeRequest::get("/").header("x-api-key", key));
}

#[test]
fn the_first_place_that_has_a_key_counts_and_all_are_emptied() {
    let table = format!("from = ['header:x-key', 'query:k', 'cookie:c']\n{}", acme());
    let built = build(&table).unwrap();
    acme_passes(&built, FakeRequest::get("/a?b=1&k=foo"));
    acme_passes(&built, FakeRequest::get("/a?k=%66oo"));
    acme_passes(
        &built,
        FakeRequest::get("/a?k=").header("cookie", "a=b; c=bar"),
    );
    let both = FakeRequest::get("/?k=foo").header("x-key", "wrong");
    assert_eq!(refused(&built, both), "key_refused");
    assert_eq!(
        refused(&built, FakeRequest::get("/?k=foo&%6b=foo")),
        "key_refused"
    );
    let twice = FakeRequest::get("/")
        .header("cookie", "c=foo")
        .header("cookie", "c=foo");
    assert_eq!(refused(&built, twice), "key_refused");
    let mut request = FakeRequest::get("/a?k=wrong&b=2")
        .header("x-key", "foo")
        .header("cookie", "a=b; c=wrong; d=e");
    ask(&built, &mut request).unwrap();
    assert_eq!(request.target, "/a?b=2");
    assert_eq!(request.headers()["cookie"], "a=b; d=e");
    assert!(!request.headers().contains_key("x-key"));
}

#[test]
fn authorization_is_ours_with_bearer_only() {
    let table = format!(
        "from = ['header:authorization', 'header:x-api-key']\n{}",
        acme()
    );
    let built = build(&table).unwrap();
    let mut request = FakeRequest::get("/").header("authorization", "bearer  foo");
    ask(&built, &mut request).unwrap();
    assert!(found(&request).unwrap().by_authorization);
    assert!(!request.headers().contains_key("authorization"));
    let basic = || FakeRequest::get("/").header("authorization", "Basic Zm9v");
    assert_eq!(refused(&built, basic()), "key_missing");
    let mut request = basic().header("x-api-key", "foo");
    ask(&built, &mut request).unwrap();
    assert!(!found(&request).unwrap().by_authorization);
    assert!(request.headers().contains_key("authorization"));
    assert_eq!(
        refused(
            &built,
            FakeRequest::get("/").header("authorization", "Bearer")
        ),
        "key_missing"
    );
}

#[test]
fn keys_may_be_kept_and_may_be_left_out() {
    let built = build(&format!(
        "keep_credential = true\nrequired = false\n{}",
        acme()
    ))
    .unwrap();
    let mut request = FakeRequest::get("/").header("x-api-key", "foo");
    assert_eq!(ask(&built, &mut request), Ok(Some("acme".to_owned())));
    assert_eq!(request.headers()["x-api-key"], "foo");
    assert_eq!(passes(&built, FakeRequest::get("/")), None);
    let wrong = FakeRequest::get("/").header("x-api-key", "wrong");
    assert_eq!(refused(&built, wrong), "key_refused");
}

#[test]
fn a_file_is_followed_and_its_last_good_version_stays() {
    let services = FakeServices::new();
    let entry =
        |name: &str, hash: &str| format!("[[consumers]]\nname = '{name}'\nsha256 = ['{hash}']\n");
    services
        .write_file("keys.toml", entry("file", BAZ))
        .unwrap();
    let table = format!("consumers_file = 'keys.toml'\n{}", acme());
    let built = compliance::build(KIND, &table, &services).unwrap();
    let with = |key: &str| FakeRequest::get("/").header("x-api-key", key);
    assert_eq!(passes(&built, with("baz")).as_deref(), Some("file"));
    acme_passes(&built, with("foo"));
    assert_eq!(services.metric("keys"), 3);
    services
        .write_file("keys.toml", entry("other", &hash("qux")))
        .unwrap();
    assert_eq!(passes(&built, with("qux")).as_deref(), Some("other"));
    assert_eq!(refused(&built, with("baz")), "key_refused");
    let secret = "sk_live_never_show_me";
    for (content, says) in [
        (
            entry("acme", BAZ),
            "line 2, column 8: a second consumer of this name",
        ),
        (
            entry("x", FOO),
            "line 3, column 10: one of these keys is written before",
        ),
        (
            entry("x", secret),
            "line 3, column 11: this is no SHA-256 of a key",
        ),
        (
            "[[consumers]]\nnam = 'x'\n".to_owned(),
            "line 2, column 1: ",
        ),
        ("consumers = [\n".to_owned(), "line 1, column"),
        (
            format!("{}\n{}", entry("x", "1"), entry("y", "2")),
            "line 7, column",
        ),
    ] {
        let error = services.write_file("keys.toml", content).unwrap_err();
        assert!(error.contains(says), "{error}");
        assert!(!error.contains(secret), "{error}");
    }
    let error = services.write_file("keys.toml", b"# \n\xff").unwrap_err();
    assert!(error.contains("line 2"), "{error}");
    assert_eq!(passes(&built, with("qux")).as_deref(), Some("other"));
    acme_passes(&built, with("foo"));
    // An empty file is a good one: nobody is left but those of the configuration.
    services.write_file("keys.toml", "").unwrap();
    assert_eq!(refused(&built, with("qux")), "key_refused");
}

#[test]
fn many_mistakes_of_a_file_are_told_in_few_words() {
    let services = FakeServices::new();
    let many: String = (0..9)
        .map(|n| format!("[[consumers]]\nname = '{n}'\nsha256 = []\n"))
        .collect();
    services.write_file("keys.toml", many).unwrap();
    let error = compliance::build(KIND, "consumers_file = 'keys.toml'", &services)
        .err()
        .unwrap();
    assert!(
        error.contains("test.toml:1:18: E-OPTION-002 keys.toml: line 3, column 10"),
        "{error}"
    );
    assert!(error.contains("and 4 more"), "{error}");
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    let one = |words: &str| {
        mistake(&format!(
            "consumers = [{{ name = 'a', sha256 = ['{FOO}'] }}]\n{words}"
        ))
    };
    let error = one("from = ['host']");
    assert!(
        error.contains("test.toml:2:9: E-OPTION-003") && error.contains("help: write header:NAME"),
        "{error}"
    );
    assert!(one("from = []").contains("from holds 0 places"));
    assert!(
        one("from = ['header:a', 'header:A']")
            .contains("test.toml:2:21: E-OPTION-003 `header:a` is written twice")
    );
    assert!(one("from = ['header:cookie']").contains("cookie:NAME for a cookie"));
    assert!(one("from = ['header:content-length']").contains("cannot stand in the field"));
    assert!(one("from = ['header:a', 'header:b', 'header:c', 'header:d', 'header:e', 'header:f', 'header:g', 'header:h', 'header:i']").contains("holds 9 places"));
    assert!(one("consumers_file = 'none.toml'").contains("E-OPTION-002 none.toml: cannot be read"));
    let consumer = |words: &str| mistake(&format!("consumers = [{{ {words} }}]"));
    assert!(consumer("name = 'a', sha256 = []").contains("here are 0"));
    let three = format!("name = 'a', sha256 = ['{FOO}', '{BAR}', '{BAZ}']");
    assert!(consumer(&three).contains("one key or two"));
    assert!(consumer(&format!("name = '', sha256 = ['{FOO}']")).contains("1 to 200 bytes"));
    assert!(
        consumer(&format!("name = \"a\\n\", sha256 = ['{FOO}']")).contains("control characters")
    );
    assert!(
        consumer(&format!("name = 'a', plan = '', sha256 = ['{FOO}']"))
            .contains("the name of a plan")
    );
    assert!(
        consumer(&format!("name = 'a', tags = [''], sha256 = ['{FOO}']"))
            .contains("the tags of a consumer")
    );
    assert!(
        consumer(&format!("name = 'a', sha256 = ['{FOO}', '{FOO}']")).contains("written before")
    );
    let plain = consumer("name = 'a', sha256 = ['hunter2-never-show']");
    assert!(
        plain.contains("sha256sum") && !plain.contains("hunter2"),
        "{plain}"
    );
    let nobody = mistake("");
    assert!(
        nobody.contains("warning E-OPTION-004 nobody has a key"),
        "{nobody}"
    );
}

#[test]
fn there_is_room_for_so_many_consumers_and_no_more() {
    // Tables written in one line: the parser's time is what this test takes.
    let services = FakeServices::new();
    let write = |count: u32| {
        let mut text = "consumers = [\n".to_owned();
        for n in 0..count {
            let _ = writeln!(text, "{{name='{n}',sha256=['{}']}},", hash(&n.to_string()));
        }
        text.push(']');
        text
    };
    services.write_file("keys.toml", write(100_000)).unwrap();
    let built = compliance::build(KIND, "consumers_file = 'keys.toml'", &services).unwrap();
    let last = FakeRequest::get("/").header("x-api-key", "99999");
    assert_eq!(passes(&built, last).as_deref(), Some("99999"));
    let error = services
        .write_file("keys.toml", write(100_001))
        .unwrap_err();
    assert!(
        error.contains("line 100002, column 7: more than 100000 consumers"),
        "{error}"
    );
}

proptest! {
    /// Whatever stands in the request: it passes exactly if the first place with a value has one value and
    /// that is a key, and then no place holds a value any more.
    #[test]
    fn the_places_agree_with_a_plain_model(
        header in prop::collection::vec("(foo|bar|x|)", 0..3),
        query in prop::collection::vec(("(k|a|%6b|K)", "(foo|%66oo|x|)"), 0..4),
    ) {
        let built = build(&format!("from = ['header:x-key', 'query:k']\n{}", acme())).unwrap();
        let pairs: Vec<String> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut request = FakeRequest::get(&format!("/p?{}", pairs.join("&")));
        for value in &header {
            request = request.header("x-key", value);
        }
        let headers: Vec<&str> = header.iter().map(String::as_str).filter(|v| !v.is_empty()).collect();
        let of_query = query.iter().filter(|(key, _)| key == "k" || key == "%6b");
        let queries: Vec<&str> = of_query.map(|(_, value)| value.as_str()).filter(|v| !v.is_empty()).collect();
        let first = if headers.is_empty() { &queries } else { &headers };
        let model = matches!(first.as_slice(), ["foo" | "bar" | "%66oo"]);
        let passed = ask(&built, &mut request).is_ok();
        prop_assert_eq!(passed, model);
        if passed {
            prop_assert!(!request.headers().contains_key("x-key"));
let others = query.iter().filter(|(key, _)| key == "a" || key == "K").count();
            let left = request.target.split_once('?').map_or(0, |(_, query)| query.split('&').filter(|pair| !pair.is_empty()).count());
            prop_assert_eq!(left, others);
        }
    }
}
