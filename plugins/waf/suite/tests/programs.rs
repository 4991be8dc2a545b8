//! plan == naive, on random rules and random requests: folding, the batch, skips, removals and chains must leave
//! everything as the rules say.

use farmgate_waf::plan::PlanOptions;
use farmgate_waf::seclang::Source;
use farmgate_waf_suite::differential::Pair;
use farmgate_waf_suite::{engine, places};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestError, TestRunner};

/// Where values come from: what is known, what is written, and what a client says.
const TARGETS: [&str; 40] = [
    "TX:a",
    "TX:b",
    "TX:c",
    "&TX:a",
    "&TX:d",
    "TX:a|TX:b",
    "TX:/^[ab]$/",
    "TX:/^n_/",
    "&TX:/^n_/",
    "TX",
    "TX:0",
    "TX:1",
    "TX:blocking_paranoia_level",
    "TX:inbound_anomaly_score_threshold",
    "ARGS",
    "ARGS:q",
    "ARGS:/^q/",
    "ARGS|!ARGS:q",
    "ARGS|!ARGS:/2$/",
    "ARGS_GET",
    "ARGS_POST",
    "ARGS_NAMES",
    "ARGS_NAMES|ARGS|REQUEST_COOKIES",
    "&ARGS",
    "&ARGS:q",
    "&ARGS|!ARGS:q",
    "REQUEST_HEADERS:X-A",
    "REQUEST_HEADERS|!REQUEST_HEADERS:Host",
    "REQUEST_COOKIES",
    "&REQUEST_COOKIES:q",
    "REQUEST_URI",
    "REQUEST_METHOD",
    "REQUEST_BODY",
    "MATCHED_VAR",
    "MATCHED_VAR_NAME",
    "MATCHED_VARS",
    "MATCHED_VARS_NAMES",
    "&MATCHED_VARS",
    "HIGHEST_SEVERITY",
    "RESPONSE_STATUS",
];

const OPERATORS: [&str; 36] = [
    "@eq 0",
    "@eq 1",
    "@eq 2",
    "!@eq 1",
    "@ge 1",
    "@ge 2",
    "@lt 2",
    "@gt 0",
    "@le 1",
    "@gt %{tx.a}",
    "@lt %{tx.b}",
    "@eq %{tx.c}",
    "@streq abc",
    "!@streq abc",
    "@streq %{tx.a}",
    "@streq %{ARGS.q}",
    "@rx abc",
    "@rx ^abc$",
    "!@rx abc",
    "@rx (?i)(a)(b)?(c)",
    "@rx ^(.)(.*)$",
    "@rx .",
    "@rx ^$",
    "@rx ^[0-9]+$",
    "@rx (?:un|se)(i|l)",
    "@pm abc union",
    "@pm 1 2",
    "!@pm abc",
    "@contains b",
    "@contains %{tx.b}",
    "@within abc,1,2",
    "@beginsWith a",
    "@endsWith c",
    "@unconditionalMatch",
    "@noMatch",
    "!@noMatch",
];

const TRANSFORMATIONS: [&str; 9] = [
    "t:none",
    "t:lowercase",
    "t:uppercase",
    "t:urlDecodeUni",
    "t:removeNulls,t:lowercase",
    "t:length",
    "t:none,t:trim,t:compressWhitespace",
    "t:urlDecode,t:htmlEntityDecode,t:lowercase",
    "t:sha1,t:hexEncode",
];

const SETS: [&str; 24] = [
    "tx.a=1",
    "tx.a=2",
    "tx.a=abc",
    "tx.b=1",
    "tx.b=abc",
    "tx.c=0",
    "tx.d=1",
    "tx.a=+1",
    "tx.b=+%{tx.a}",
    "tx.c=+2",
    "tx.c=-1",
    "tx.b=%{tx.a}",
    "tx.c=%{tx.1}",
    "tx.d=%{MATCHED_VAR}",
    "tx.d=%{MATCHED_VAR_NAME}",
    "tx.d=%{tx.0}-%{tx.1}",
    "tx.n_%{MATCHED_VAR_NAME}=+1",
    "tx.n_%{MATCHED_VAR}=1",
    "tx.%{ARGS.q}=1",
    "tx.n_%{tx.a}=%{rule.id}",
    "!tx.a",
    "!tx.b",
    "tx.blocking_paranoia_level=2",
    "tx.inbound_anomaly_score_threshold=5",
];

const CTLS: [&str; 8] = [
    "ruleRemoveByTag=one",
    "ruleRemoveByMsg=m1",
    "ruleRemoveTargetByTag=one;ARGS:q",
    "ruleRemoveTargetByTag=two;TX:a",
    "ruleRemoveTargetByTag=two;ARGS",
    "ruleEngine=DetectionOnly",
    "ruleEngine=Off",
    "forceRequestBodyVariable=On",
];

/// A link of a chain.
#[derive(Clone, Debug)]
struct Link {
    target: &'static str,
    operator: &'static str,
    transformation: Option<&'static str>,
    sets: Vec<&'static str>,
    ctl: Option<String>,
    capture: bool,
    multi_match: bool,
    /// `SecAction`: no condition.
    free: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    phase: u8,
    links: Vec<Link>,
    disruptive: &'static str,
    log: &'static str,
    tag: Option<&'static str>,
    message: Option<&'static str>,
    severity: Option<u8>,
    flow: Option<&'static str>,
    data: Option<&'static str>,
}

fn link() -> impl Strategy<Value = Link> {
    // Bookkeeping is what folding is about: half of the conditions look at TX.
    let target = prop_oneof![select(&TARGETS[..14]), select(&TARGETS[14..])];
    let ctl = prop_oneof![
        4 => select(&CTLS[..]).prop_map(str::to_owned),
        2 => (1u8..14).prop_map(|id| format!("ruleRemoveById={id}")),
        1 => (1u8..14, 1u8..14).prop_map(|(a, b)| format!("ruleRemoveById={}-{}", a.min(b), a.max(b))),
        2 => (1u8..14, select(&["ARGS:q", "ARGS", "TX:a", "TX", "REQUEST_COOKIES"][..]))
            .prop_map(|(id, target)| format!("ruleRemoveTargetById={id};{target}")),
    ];
    let optional = |chance, text| proptest::option::weighted(chance, text);
    (
        (target, select(&OPERATORS[..])),
        optional(0.4, select(&TRANSFORMATIONS[..])),
        proptest::collection::vec(select(&SETS[..]), 0..3),
        proptest::option::weighted(0.1, ctl),
        proptest::bool::weighted(0.15),
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.15),
    )
        .prop_map(
            |((target, operator), transformation, sets, ctl, capture, multi_match, free)| Link {
                target,
                operator,
                transformation,
                sets,
                ctl,
                capture,
                multi_match,
                free,
            },
        )
}

fn rule() -> impl Strategy<Value = Rule> {
    let phase = prop_oneof![5 => Just(1u8), 4 => Just(2), 1 => Just(3), 1 => Just(4), 1 => Just(5)];
    let disruptive = prop_oneof![
        20 => Just("pass"),
        1 => select(&["deny,status:403", "drop", "redirect:'/x?%{tx.a}',status:302", "allow", "allow:phase",
            "allow:request"][..]),
    ];
    let flow = prop_oneof![4 => select(&["skipAfter:M1", "skipAfter:M2", "skipAfter:M3"][..]),
        1 => select(&["skip:1", "skip:2"][..])];
    let data = [
        "%{tx.a},%{tx.b},%{tx.c},%{tx.d}",
        "%{MATCHED_VAR_NAME}=%{MATCHED_VAR}",
        "%{tx.0}|%{tx.1}",
    ];
    (
        phase,
        proptest::collection::vec(link(), 1..4),
        disruptive,
        select(&["nolog", "nolog", "log", "log,noauditlog", "nolog,auditlog"][..]),
        proptest::option::weighted(0.5, select(&["one", "two", "t-%{tx.b}"][..])),
        proptest::option::weighted(0.4, select(&["m1", "m2 %{tx.a}", "%{MATCHED_VAR}"][..])),
        proptest::option::weighted(0.2, 0u8..8),
        proptest::option::weighted(0.25, flow),
        proptest::option::weighted(0.4, proptest::sample::select(data.to_vec())),
    )
        .prop_map(
            |(phase, links, disruptive, log, tag, message, severity, flow, data)| Rule {
                phase,
                links,
                disruptive,
                log,
                tag,
                message,
                severity,
                flow,
                data,
            },
        )
}

impl Rule {
    fn write(&self, id: usize, out: &mut String) {
        // One link in two rules of three.
        let most = if id.is_multiple_of(3) {
            self.links.len()
        } else {
            1
        };
        for (at, link) in self.links.iter().take(most).enumerate() {
            let last = at + 1 == most;
            let mut actions: Vec<String> = Vec::new();
            if at == 0 {
                actions.extend([
                    format!("id:{id}"),
                    format!("phase:{}", self.phase),
                    self.disruptive.into(),
                    self.log.into(),
                ]);
                actions.extend(self.tag.map(|tag| format!("tag:'{tag}'")));
                actions.extend(self.message.map(|text| format!("msg:'{text}'")));
                actions.extend(self.severity.map(|severity| format!("severity:{severity}")));
                actions.extend(self.data.map(|data| format!("logdata:'{data}'")));
                actions.extend(self.flow.map(str::to_owned));
            }
            actions.extend(link.sets.iter().map(|set| format!("setvar:'{set}'")));
            actions.extend(link.ctl.iter().map(|ctl| format!("ctl:{ctl}")));
            if !last {
                actions.push("chain".into());
            }
            if link.free {
                out.push_str(&format!("SecAction \"{}\"\n", actions.join(",")));
                continue;
            }
            actions.extend(link.transformation.map(str::to_owned));
            actions.extend(link.capture.then(|| "capture".to_owned()));
            actions.extend(link.multi_match.then(|| "multiMatch".to_owned()));
            let (target, operator) = (link.target, link.operator);
            out.push_str(&format!(
                "SecRule {target} \"{operator}\" \"{}\"\n",
                actions.join(",")
            ));
        }
    }
}

/// A program: rules with the markers that skips lead to, and a last rule that tells all of TX.
fn program() -> impl Strategy<Value = String> {
    let rules = proptest::collection::vec(rule(), 1..14);
    let updates = proptest::option::weighted(
        0.2,
        select(
            &[
                "SecRuleUpdateTargetById 2 \"!ARGS:q\"",
                "SecRuleUpdateTargetByTag one \"!TX:a\"",
                "SecRuleRemoveById 3",
            ][..],
        ),
    );
    (rules, any::<u32>(), updates).prop_map(|(rules, markers, update)| {
        let mut out = String::new();
        for (at, rule) in rules.iter().enumerate() {
            rule.write(at + 1, &mut out);
            let marker = markers >> (2 * at) & 7;
            if (1..4).contains(&marker) {
                out.push_str(&format!("SecMarker M{marker}\n"));
            }
        }
        // Every skip leads somewhere.
        out.push_str("SecMarker M1\nSecMarker M2\nSecMarker M3\n");
        out.push_str(
            "SecRule TX \"@unconditionalMatch\" \"id:99,phase:5,pass,log,\
             logdata:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'\"\n",
        );
        out.extend(update.filter(|text| {
            let id = text.split(' ').nth(1).and_then(|id| id.parse().ok());
            id.is_none_or(|id: usize| id <= rules.len())
        }));
        out.push('\n');
        out
    })
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let pair = (
        select(&["q", "q2", "a", "Q", ""][..]),
        select(
            &[
                "", "1", "2", "abc", "ABC", "%41bc", "union", "a", "select+1", "x%00abc", "d",
            ][..],
        ),
    );
    let pairs = move || {
        proptest::collection::vec(pair.clone(), 0..4).prop_map(|pairs| {
            pairs
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
        })
    };
    (
        pairs(),
        pairs(),
        proptest::option::of(pairs()),
        proptest::option::of(select(&["abc", "1", "ABC union"][..])),
    )
        .prop_map(|(query, cookies, form, field)| {
            let method = if form.is_some() { "POST" } else { "GET" };
            let mut out = format!("{method} /abc?{} HTTP/1.1\r\nHost: a\r\n", query.join("&"));
            if !cookies.is_empty() {
                out.push_str(&format!("Cookie: {}\r\n", cookies.join("; ")));
            }
            if let Some(field) = field {
                out.push_str(&format!("X-A: {field}\r\n"));
            }
            let body = form.map(|form| form.join("&")).unwrap_or_default();
            if !body.is_empty() {
                out.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
            }
            out.push_str(&format!("\r\n{body}"));
            out.into_bytes()
        })
}

#[test]
fn random_programs_mean_the_same_folded_and_naive() {
    let cases = match std::env::var("FARMGATE_LONG") {
        Ok(_) => 60_000,
        Err(_) => 1000,
    };
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let options = (
        proptest::option::of(1u8..4),
        proptest::option::of(1u8..4),
        proptest::option::of(1u32..7),
    );
    let requests = proptest::collection::vec(request(), 1..4);
    let result = TestRunner::new(config).run(
        &(program(), requests, options),
        |(text, requests, chosen)| {
            let source = Source::Text {
                name: "program".into(),
                text: text.clone(),
            };
            let rules = engine::load(&places::ours(), &[source])
                .map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            let options = PlanOptions {
                paranoia: chosen.0,
                detection_paranoia: chosen.1,
                inbound: chosen.2,
                outbound: None,
            };
            let pair = Pair::new(&rules, &options);
            for request in &requests {
                pair.compare(request)
                    .map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            }
            Ok(())
        },
    );
    if let Err(error) = result {
        // The reason has all of it, as text.
        match error {
            TestError::Fail(reason, (_, _, options)) => panic!("{options:?}\n{reason}"),
            TestError::Abort(reason) => panic!("{reason}"),
        }
    }
}
