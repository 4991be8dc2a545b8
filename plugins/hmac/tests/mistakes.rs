use super::*;

fn mistake(table: &str) -> String {
    let built = compliance::build(KIND, table, &FakeServices::new());
    built.err().unwrap_or_else(|| panic!("taken: {table}"))
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    assert!(mistake("scheme = 'githup'\nsecrets = 'x'").contains("test.toml:1:10: E-CONF"));
    let bad = |words: &str| mistake(&format!("{STANDARD}\n{words}"));
    assert!(
        bad("tolerance = '0s'").contains("test.toml:3:13: E-OPTION-003 tolerance is from 1s to 1d")
    );
    assert!(bad("tolerance = '25h'").contains("help: write tolerance"));
    assert!(bad("max_body = '65MiB'").contains("max_body is from 1B to 64MiB"));
    assert!(bad("max_body = '0B'").contains("max_body is from"));
    assert!(bad("max_seen = 99").contains("max_seen is from 100 to 1000000"));
    assert!(bad("max_seen = 1000001").contains("max_seen is from"));
    assert!(bad("consumer = ''").contains("E-OPTION-003 this cannot be the name of a consumer"));
    assert!(bad("repeats = 'refused'").contains("refuse"));
    assert!(bad("generic = { header = 'x' }").contains("goes with scheme generic only"));
    for word in ["tolerance = '1m'", "max_seen = 100", "repeats = 'confirm'"] {
        let error = mistake(&format!("{GITHUB}\n{word}"));
        assert!(
            error.contains("E-OPTION-001") && error.contains("no time is signed"),
            "{error}"
        );
    }
    let secret =
        |scheme: &str, secrets: &str| mistake(&format!("scheme = '{scheme}'\nsecrets = {secrets}"));
    assert!(secret("github", "''").contains("test.toml:2:11: E-OPTION-003 the secret is empty"));
    assert!(secret("github", "[]").contains("secrets holds 0 secrets"));
    assert!(secret("github", "['a', 'b', 'c', 'd', 'e']").contains("holds 5 secrets"));
    assert!(secret("github", "'file:none'").contains("none"));
    let short = secret("stripe", "'hunter2'");
    assert!(
        short.contains("warning E-OPTION-003")
            && short.contains("openssl rand")
            && !short.contains("hunter2"),
        "{short}"
    );
    let error = secret("standard_webhooks", "['whsec_!', 'whsec_AAAA']");
    assert!(
        error.contains("test.toml:2:12: E-OPTION-003 the secret is not base64"),
        "{error}"
    );
    assert!(
        error.contains("test.toml:2:23: E-OPTION-003 the secret does not have 24"),
        "{error}"
    );
    let none = mistake("scheme = 'generic'\nsecrets = '0123456789abcdef'");
    assert!(
        none.contains("help: write generic = { header = \"x-signature\" }"),
        "{none}"
    );
    let generic = |words: &str| {
        mistake(&format!(
            "scheme = 'generic'\nsecrets = '0123456789abcdef'\ngeneric = {{ header = 'x', {words} }}"
        ))
    };
    for (words, says) in [
        ("header2 = 'x'", "header2"),
        ("algorithm = 'sha1'", "sha256"),
        ("encoding = 'base32'", "base64"),
        ("prefix = 'é'", "cannot stand before a signature"),
        (
            "id = 'x-id', signed = '{id}.{body}'",
            "E-OPTION-001 id needs timestamp",
        ),
        ("signed = '{timestamp}.{body}'", "timestamp names no field"),
        ("timestamp = 'x-t'", "timestamp is not signed"),
        (
            "timestamp = 'x-t', id = 'x-i', signed = '{timestamp}.{body}'",
            "id is not signed",
        ),
        ("signed = ''", "has no {body}"),
        ("timestamp = 'x-t', signed = '{timestamp}'", "has no {body}"),
        (
            "timestamp = 'x-t', signed = '{timestamp}{body}'",
            "two words without a text between them",
        ),
        ("signed = '{body}.{body}'", "a word twice"),
        ("signed = '{method}.{body}'", "a word that is not known"),
        ("signed = '{body'", "a `{` without a `}`"),
        ("signed = 'body}'", "a `}` without a `{`"),
    ] {
        let error = generic(words);
        assert!(
            error.contains(says) && error.contains("test.toml:3:"),
            "{words}: {error}"
        );
    }
    assert!(generic(&format!("signed = '{}'", "x".repeat(257))).contains("longer than 256 bytes"));
}
