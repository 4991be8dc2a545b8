//! Snippets with what becomes of them (`cases.txt`), whole rule sets, and any bytes at all.

mod dump;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use dump::dump;

/// The file of cases: `=== name`, the rules, `---`, then the program or the problems. Other files
/// begin with `>>> name`. `FARMGATE_GOLDEN=write` writes what was found.
const CASES: &str = "src/seclang/tests/cases.txt";

fn load_text(text: &[u8], others: BTreeMap<PathBuf, Vec<u8>>) -> Result<Loaded, Vec<Problem>> {
    let mut files = MapFiles(others);
    files.0.insert("case.conf".into(), text.to_vec());
    load(&[Source::Pattern("case.conf".into())], &files)
}

fn lines(problems: &[Problem], kind: &str) -> String {
    problems
        .iter()
        .map(|problem| format!("{kind}{problem}\n"))
        .collect()
}

#[test]
fn every_snippet_becomes_what_is_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CASES);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut written = String::new();
    let mut cases = 0;
    for case in text.split("=== ").skip(1) {
        let (name, rest) = case.split_once('\n').unwrap();
        let (input, _) = rest.split_once("---\n").unwrap();
        let mut parts = input.split(">>> ");
        let first = parts.next().unwrap();
        let others = parts
            .map(|part| part.split_once('\n').unwrap())
            .map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec()))
            .collect();
        let found = match load_text(first.as_bytes(), others) {
            Ok(loaded) => {
                let again = dump(&loaded.program);
                let reloaded = load_text(&again, BTreeMap::new()).unwrap();
                assert_eq!(dump(&reloaded.program), again, "{name}");
                lines(&loaded.warnings, "warning ") + &String::from_utf8_lossy(&again)
            }
            Err(problems) => lines(&problems, "error "),
        };
        written += &format!("=== {name}\n{input}---\n{}\n\n", found.trim_end());
        cases += 1;
    }
    assert!(cases > 60, "{cases} cases");
    let written = format!("{}\n", written.trim_end());
    if std::env::var_os("FARMGATE_GOLDEN").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    for (found, expected) in written.split("=== ").zip(text.split("=== ")) {
        assert_eq!(found.trim_end(), expected.trim_end());
    }
}

fn rules(program: &Program) -> Vec<&Rule> {
    let mut rules = Vec::new();
    for item in &program.items {
        if let Item::Rule(rule) = item {
            rules.push(&**rule);
        }
    }
    rules
}

fn shown(problems: &[Problem]) -> String {
    lines(problems, "")
}

#[test]
fn the_core_rule_set_loads() {
    let Some(root) = std::env::var_os("FARMGATE_CRS_DIR") else {
        eprintln!("CRS: not compared (FARMGATE_CRS_DIR is not set)");
        return;
    };
    let files = DiskFiles { root: root.into() };
    let sources = [
        Source::Pattern("crs-setup.conf.example".into()),
        Source::Pattern("rules/*.conf".into()),
    ];
    let loaded = load(&sources, &files).unwrap_or_else(|problems| panic!("{}", shown(&problems)));
    let program = &loaded.program;
    let found = rules(program);
    let links: usize = found.iter().map(|rule| rule.conditions.len()).sum();
    let phases = Phase::ALL.map(|phase| found.iter().filter(|rule| rule.phase == phase).count());
    let markers = program.items.len() - found.len();
    // Counted in the files of version 4.28 by hand.
    assert_eq!((found.len(), links, markers), (630, 703, 30));
    assert_eq!(phases, [173, 292, 43, 109, 13]);
    let chained = found.iter().filter(|rule| rule.conditions.len() > 1);
    assert_eq!(chained.count(), 55);
    assert_eq!(program.settings.components.len(), 1);
    assert_eq!(loaded.files.len(), 28);
    let updated = found.iter().flat_map(|rule| &rule.conditions);
    let patterns = updated
        .flat_map(|condition| &condition.targets)
        .filter(|target| target.excluded && target.variable == Variable::RequestCookies);
    // Of 55 `SecRuleUpdateTargetById`, one is about ARGS_NAMES.
    assert_eq!(patterns.count(), 54);
    // The two `initcol` of a rule that is off unless it is asked for: the same is said once.
    assert_eq!(loaded.warnings.len(), 1, "{}", shown(&loaded.warnings));

    let again = dump(program);
    let reloaded = load_text(&again, BTreeMap::new());
    let reloaded = reloaded.unwrap_or_else(|problems| panic!("{}", shown(&problems)));
    assert_eq!(dump(&reloaded.program), again);
}

#[test]
fn a_host_configuration_loads() {
    let text = include_bytes!("tests/host.conf");
    let loaded = load_text(text, BTreeMap::new());
    let loaded = loaded.unwrap_or_else(|problems| panic!("{}", shown(&problems)));
    assert_eq!(rules(&loaded.program).len(), 7);
    assert_eq!(loaded.program.settings.arguments, 900);
    assert!(loaded.warnings.iter().all(|warning| warning.help.is_some()));
}

/// Debian's own, where one of its packages is installed.
#[test]
fn debians_host_configuration_loads() {
    let names = [
        "/etc/modsecurity/modsecurity.conf-recommended",
        "/usr/share/nginx/docs/modsecurity/modsecurity.conf",
        "/etc/nginx/modsecurity.conf",
    ];
    let mut compared = 0;
    for name in names.iter().filter(|name| Path::new(name).is_file()) {
        let files = DiskFiles { root: "/".into() };
        let loaded = load(&[Source::Pattern((*name).into())], &files);
        let loaded = loaded.unwrap_or_else(|problems| panic!("{}", shown(&problems)));
        assert!(rules(&loaded.program).len() >= 6, "{name}");
        assert_eq!(
            loaded.program.settings.engine,
            Some(EngineMode::DetectionOnly)
        );
        compared += 1;
    }
    if compared == 0 {
        eprintln!("Debian's host configuration: not compared (not installed)");
    }
}

#[test]
fn includes_are_followed_in_order_and_each_file_is_named_once() {
    let files = MapFiles(BTreeMap::from([
        (
            "a.conf".into(),
            b"SecMarker 1\nInclude sub/*.conf\nSecMarker 4".to_vec(),
        ),
        ("sub/b.conf".into(), b"SecMarker 2".to_vec()),
        (
            "sub/c.conf".into(),
            b"SecMarker 3\nIncludeOptional none/*.conf".to_vec(),
        ),
    ]));
    let loaded = load(&[Source::Pattern("a.conf".into())], &files).unwrap();
    assert_eq!(
        dump(&loaded.program),
        b"SecMarker \"1\"\nSecMarker \"2\"\nSecMarker \"3\"\nSecMarker \"4\"\n"
    );
    let expected: [PathBuf; 3] = ["a.conf".into(), "sub/b.conf".into(), "sub/c.conf".into()];
    assert_eq!(loaded.files, expected);
}

/// Each level includes the next one twice: without a bound these would be 2^15 files.
#[test]
fn the_number_of_files_is_bounded() {
    let mut files = MapFiles::default();
    for level in 0..15 {
        let text = format!("Include {0}.conf\nInclude {0}.conf\n", level + 1);
        files.0.insert(format!("{level}.conf").into(), text.into());
    }
    files.0.insert("15.conf".into(), Vec::new());
    let problems = load(&[Source::Pattern("0.conf".into())], &files).unwrap_err();
    assert!(
        shown(&problems).contains("more than 4096 files"),
        "{}",
        shown(&problems)
    );
}

/// Updates of everything by everything: an error instead of minutes.
#[test]
fn the_work_of_updates_is_bounded() {
    let mut text = String::new();
    for id in 1..=3000 {
        text += &format!("SecRule ARGS x \"id:{id},tag:a\"\n");
    }
    for _ in 0..700 {
        text += "SecRuleUpdateTargetByTag a !ARGS:x\n";
    }
    let problems = load_text(text.as_bytes(), BTreeMap::new()).unwrap_err();
    assert!(
        shown(&problems).contains("2 million"),
        "{}",
        shown(&problems)
    );
}

#[test]
fn the_list_of_problems_is_bounded() {
    let problems = load_text(&b"Nope\n".repeat(5000), BTreeMap::new()).unwrap_err();
    assert_eq!(problems.len(), 1001);
}

/// Every word of the language is explained to operators, and the example loads.
#[test]
fn the_page_on_rules_names_every_word_and_its_example_loads() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/operate/waf-rules.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example = page.split("```apache\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let example = load_text(example.as_bytes(), BTreeMap::new());
    let example = example.unwrap_or_else(|problems| panic!("{}", shown(&problems)));
    assert_eq!(rules(&example.program).len(), 2);
    // It updates rules of the Core Rule Set, which is not there.
    assert_eq!(example.warnings.len(), 1);

    let mut missing = Vec::new();
    let mut all: Vec<&str> = Vec::new();
    all.extend(Variable::ALL.iter().map(|(_, word)| *word));
    all.extend(OperatorName::ALL.iter().map(|(_, word)| *word));
    all.extend(
        crate::transform::Transformation::ALL
            .iter()
            .map(|(_, word)| *word),
    );
    all.extend(words::WORDS.iter().map(|(_, word)| *word));
    all.extend(read::action_names());
    all.extend(read::ctl_names());
    for word in all {
        if !page.contains(&format!("`{word}`")) {
            missing.push(word);
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// Pieces of which rules are made, and what breaks them.
const SOUP: &[&str] = &[
    "SecRule ",
    "SecAction ",
    "SecMarker ",
    "SecDefaultAction ",
    "SecRuleRemoveById ",
    "SecRuleUpdateTargetById ",
    "SecRuleUpdateTargetByTag ",
    "SecRuleUpdateActionById ",
    "\n",
    "\n",
    "\n",
    " ",
    "\"",
    "\"",
    "ARGS",
    "|",
    "!",
    "&",
    "TX:a",
    "XML:/*",
    "XML://@*",
    "ARGS:/^x$/",
    "@rx ",
    "@streq ",
    "@pm ",
    "a b",
    "%{TX.a}",
    "%{",
    "}",
    "id:1",
    "id:2",
    ",",
    ":",
    "=",
    "phase:1",
    "deny",
    "block",
    "chain",
    "t:none",
    "t:lowercase",
    "msg:x",
    "setvar:tx.a=+1",
    "ctl:ruleRemoveById=1-2",
    "skipAfter:E",
    "E",
    "1",
    "1:1",
    "nolog",
    "log",
    "Include ",
    "case.conf",
    "#",
];

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(text: Vec<u8>) {
        let _ = load_text(&text, BTreeMap::new());
    }

    #[test]
    fn any_soup_of_words_is_read_and_what_loads_is_written_again(
        words in prop::collection::vec(prop::sample::select(SOUP), 0..60),
    ) {
        if let Ok(loaded) = load_text(words.concat().as_bytes(), BTreeMap::new()) {
            let again = dump(&loaded.program);
            let reloaded = load_text(&again, BTreeMap::new());
            let reloaded = reloaded.map_err(|p| TestCaseError::fail(shown(&p)))?;
            prop_assert_eq!(dump(&reloaded.program), again);
        }
    }

    /// Rules that are right but for their odd order and repetition.
    #[test]
    fn any_sound_rule_is_written_and_read_again(
        targets in prop::collection::vec(
            prop::sample::select(&["ARGS", "!ARGS:a", "&TX:b", "XML:/*", "REQUEST_COOKIES:/^x\\/y$/"]),
            1..6,
        ),
        operator in prop::sample::select(&["@rx a\\\"b", "!@eq 1", "x", "!x", "@pm a b", "@streq %{TX.x}"]),
        actions in prop::collection::vec(
            prop::sample::select(&[
                "deny", "drop", "allow:phase", "block", "msg:'it\\'s %{MATCHED_VAR}'", "tag:'a,b'",
                "severity:CRITICAL", "nolog", "log", "auditlog", "t:trim", "t:none", "capture",
                "multiMatch", "setvar:'tx.a_%{MATCHED_VAR_NAME}=-1'", "setvar:!tx.a", "status:404",
                "ctl:ruleRemoveTargetById=1-5;ARGS:x", "redirect:'http://a/%{REMOTE_ADDR}'",
                "sanitiseMatchedBytes:1/2", "rev:1", "maturity:3", "skip:2", "logdata:x",
            ]),
            0..12,
        ),
    ) {
        let text = format!(
            "SecDefaultAction phase:2,deny,t:lowercase\nSecRule {} \"{operator}\" \"id:7,{}\"",
            targets.join("|"),
            actions.join(","),
        );
        let loaded = load_text(text.as_bytes(), BTreeMap::new());
        let loaded = loaded.map_err(|p| TestCaseError::fail(format!("{text}\n{}", shown(&p))))?;
        let again = dump(&loaded.program);
        let reloaded = load_text(&again, BTreeMap::new());
        let reloaded = reloaded.map_err(|p| TestCaseError::fail(shown(&p)))?;
        prop_assert_eq!(dump(&reloaded.program), again);
    }
}
