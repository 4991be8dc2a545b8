//! The budget, and the rules: changed, shared, wrong, explained.

use super::*;

#[test]
fn a_budget_ends_the_inspection() {
    let services = host();
    services
        .write_file(
            "slow.conf",
            "SecRule ARGS \"@rx (?:a|b|ab)*c$\" \"id:1,phase:2,pass,nolog,t:lowercase\"",
        )
        .unwrap();
    let long = format!("a={}", "ab".repeat(60_000));
    let table = "rules = ['slow.conf', 'waf.conf']\ncpu_budget = '1ms'\nengine = ";
    services.write_file("slow.conf", many_slow_rules()).unwrap();
    for (mode, over, expected) in [
        ("on", "block", 503),
        ("on", "pass", 200),
        ("detection_only", "block", 200),
    ] {
        let table = format!("{table}'{mode}'\nover_budget = '{over}'")
            .replace("'waf.conf'", "'waf-late.conf'");
        services
            .write_file("waf-late.conf", RULES.replace("id:", "id:90"))
            .unwrap();
        let built = compliance::build(KIND, &table, &services).unwrap();
        assert_eq!(
            ask(&built, form("/"), &[long.as_bytes()]).0,
            expected,
            "{mode} {over}"
        );
        assert_eq!(ask(&built, form("/"), &[b"a=b"]).0, 200);
    }
    assert!(services.metric("over_budget") >= 2);
}

/// Rules without a literal to look for first: each reads all of every argument.
fn many_slow_rules() -> String {
    (1..=200)
        .map(|id| {
            format!("SecRule ARGS \"@rx [^a-z]{{{id}}}\" \"id:{id},phase:2,pass,nolog,t:none\"\n")
        })
        .collect()
}

#[test]
fn changed_rules_are_taken_and_bad_ones_are_not() {
    let services = host();
    let built = build("engine = 'on'", &services);
    let evil = || ask(&built, FakeRequest::get("/evil-path"), &[]).0;
    assert_eq!(evil(), 403);
    let bad = services.write_file("waf.conf", "SecRule ARGS \"@nonsense x\" \"id:1\"\n");
    let why = bad.expect_err("it is refused");
    assert!(why.contains("waf.conf:1"), "{why}");
    assert_eq!(evil(), 403);
    services
        .write_file("waf.conf", RULES.replace("status:403", "status:410"))
        .unwrap();
    assert_eq!(evil(), 410);
}

#[test]
fn instances_with_the_same_files_share_what_is_compiled() {
    let services = host();
    services.write_file("shared.conf", RULES).unwrap();
    let table = "engine = 'on'\nrules = ['shared.conf']";
    let built: Vec<_> = (0..3)
        .map(|_| compliance::build(KIND, table, &services).unwrap())
        .collect();
    assert_eq!(super::super::rules::in_use("shared.conf"), 1);
    // Other options are another plan over the same rules.
    let other = compliance::build(KIND, &format!("{table}\nparanoia = 2"), &services).unwrap();
    assert_eq!(super::super::rules::in_use("shared.conf"), 1);
    services
        .write_file("shared.conf", format!("{RULES}\n# changed"))
        .unwrap();
    assert_eq!(super::super::rules::in_use("shared.conf"), 1);
    drop((built, other, services));
    assert_eq!(super::super::rules::in_use("shared.conf"), 0);
}

#[test]
fn mistakes_have_their_places() {
    let services = host();
    services
        .write_file(
            "sets.conf",
            "SecAction \"id:5,phase:1,pass,nolog,setvar:tx.a=1\"",
        )
        .unwrap();
    for (table, expected) in [
        ("engine = 'on'\nrules = ['no*.conf']", "finds no file"),
        ("engine = 'on'\nrules = []", "test.toml:2:"),
        ("engine = 'maybe'\nrules = ['waf.conf']", "test.toml:1:"),
        (
            "engine = 'on'\nrules = ['waf.conf']\nparanoia = 5",
            "test.toml:3:",
        ),
        (
            "engine = 'on'\nrules = ['waf.conf']\nparanoia = 3\ndetection_paranoia = 2",
            "test.toml:4:",
        ),
        (
            "engine = 'on'\nrules = ['waf.conf']\nanomaly = { inbound = 0 }",
            "test.toml:3:",
        ),
        (
            "engine = 'on'\nrules = ['waf.conf']\ncpu_budget = '1h'",
            "from 1ms to 10s",
        ),
        (
            "engine = 'on'\nrules = ['waf.conf']\nrequest_body = { inspect = '1GiB' }",
            "inspect is from",
        ),
        (
            "engine = 'on'\nrules = ['waf.conf']\nexclude = [{ target = 'ARGS' }]",
            "in one way",
        ),
        (
            "engine = 'on'\nrules = ['waf.conf']\nexclude = [{ rule = 1, tag = 'x' }]",
            "in one way",
        ),
        (
            "engine = 'on'\nrules = ['waf.conf']\nexclude = [{ rule = 1, target = 'ARG:x' }]",
            "is no target",
        ),
        (
            "engine = 'on'\nrules = ['waf.conf']\nexclude = [{ rule_range = '9-1' }]",
            "no range",
        ),
        (
            "engine = 'on'\nrules = ['waf.conf']\nexclude = [{ rule = 1, paths = 'x' }]",
            "is no path",
        ),
        (
            "engine = 'on'\nrules = ['waf.conf']\nexclude = [{ rule = 1, target = 'ARGS:/(/' }]",
            "test.toml:3:",
        ),
        // A warning: nothing is left out by it.
        (
            "engine = 'on'\nrules = ['waf.conf']\nexclude = [{ rule = 77 }]",
            "nothing is excluded",
        ),
        (
            "engine = 'on'\nrules = ['sets.conf']\nexclude = [{ rule = 5 }]",
            "SecRuleRemoveById",
        ),
    ] {
        let error = error(table, &services);
        assert!(error.contains(expected), "{table}: {error}");
    }
    services
        .write_file(
            "bad.conf",
            "SecRule ARGS \"@rx a\" \"id:1,phase:2,pass\"\nSecNonsense On\n",
        )
        .unwrap();
    let error = error("engine = 'on'\nrules = ['bad.conf']", &services);
    assert!(error.contains("bad.conf:2:1: E-OPTION-002"), "{error}");
}

#[test]
fn a_request_is_explained_without_effect() {
    let services = host();
    let built = build("engine = 'on'\naudit_log = 'waf.log'", &services);
    let request = form("/a?password=evil-arg");
    let explained = Explained {
        facts: &request,
        raw_target: b"/a?password=evil-arg",
        route: "test",
        body: b"b=points",
    };
    let lines = built.filter.explain(&explained);
    assert!(lines[0].starts_with("refused by rule 2"), "{lines:?}");
    assert!(
        lines[1].starts_with("rule 2 phase 2 ARGS:password = ***: Argument"),
        "{lines:?}"
    );
    assert_eq!(services.metric_by("requests", "blocked"), 0);
    assert!(services.lines().is_empty());
    let (_, request) = ask(&built, FakeRequest::get("/evil-path"), &[]);
    assert_eq!(
        request.notes,
        "waf: blocked, inbound score 0, outbound score 0, rules 1"
    );
}

#[test]
fn rules_may_hide_values_and_keep_requests_out_of_the_log() {
    let services = host();
    services
        .write_file(
            "waf.conf",
            "SecRule ARGS \"@contains evil\" \"id:1,phase:2,pass,log,sanitiseArg:note,logdata:'%{MATCHED_VAR}'\"\n\
             SecRule ARGS:quiet \"@contains evil\" \"id:2,phase:2,pass,log,ctl:auditEngine=Off\"\n",
        )
        .unwrap();
    let built = build("engine = 'on'\naudit_log = 'waf.log'", &services);
    ask(&built, FakeRequest::get("/?note=evil-one"), &[]);
    ask(&built, FakeRequest::get("/?other=evil-two"), &[]);
    ask(&built, FakeRequest::get("/?quiet=evil-three"), &[]);
    let lines = lines(&services);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        !lines[0].contains("evil-one") && lines[0].contains("***"),
        "{}",
        lines[0]
    );
    assert!(lines[1].contains("evil-two"), "{}", lines[1]);
}
