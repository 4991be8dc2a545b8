//! Text in, diagnostics out.

use serde::Deserialize;

use super::{
    Diagnostics, Located, RelPath, Secret, SourceFile, Table, decode, did_you_mean, nearest,
};
use crate::units::{ByteRate, Cidr, Duration, Rate, Size};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    name: Located<String>,
    #[serde(default)]
    wait: Option<Located<Duration>>,
    #[serde(default)]
    size: Option<Size>,
    #[serde(default)]
    count: Option<u8>,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    nets: Vec<Located<Cidr>>,
    #[serde(default)]
    inner: Option<Inner>,
    #[serde(default)]
    rate: Option<Rate>,
    #[serde(default)]
    bytes: Option<ByteRate>,
    #[serde(default)]
    secret: Option<Secret>,
    #[serde(default)]
    path: Option<RelPath>,
    #[serde(default)]
    until: Option<toml::value::Datetime>,
    #[serde(default)]
    raw: Option<Table>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    LeastRequest,
    RoundRobin,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    port: u16,
    #[serde(default)]
    items: Vec<Inner>,
}

fn read(text: &str) -> Result<Words, String> {
    let source = SourceFile::new("a.toml", text, "/etc/farmgate");
    let table = Table::parse(&source).map_err(|e| e.to_string())?;
    let mut diagnostics = Diagnostics::new();
    match decode(&table, &mut diagnostics) {
        Some(words) => {
            assert!(diagnostics.is_empty(), "{diagnostics}");
            Ok(words)
        }
        None => {
            assert!(diagnostics.has_errors());
            diagnostics.sort_by_files(&[]);
            Err(diagnostics.to_string())
        }
    }
}

fn errors(text: &str) -> String {
    read(text).expect_err("an error").trim_end().to_owned()
}

/// The places and codes only.
fn places(text: &str) -> Vec<String> {
    let lines = errors(text);
    let lines = lines.lines().filter(|line| !line.starts_with(' '));
    lines
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn good_words_are_read() {
    let words = read(
        r#"
name = "a"
wait = "1h30m"
size = "1KiB"
count = 3
mode = "least_request"
nets = ["10.0.0.0/8", "::1"]
rate = { rate = 5, per = "1m" }
bytes = { rate = "1KiB", per = "1s" }
path = "run/x"
until = 2027-01-01T00:00:00Z
raw = { a = 1, b = [true, 1.5] }
[inner]
port = 0x1F
[[inner.items]]
port = 2
"#,
    )
    .expect("good");
    assert_eq!(
        (words.name.as_str(), words.size, words.count),
        ("a", Some(Size::kib(1)), Some(3))
    );
    assert_eq!(words.name.place.to_string(), "a.toml:2:8");
    assert_eq!(words.wait.expect("written").as_ms(), 5_400_000);
    assert_eq!(words.mode, Some(Mode::LeastRequest));
    assert_eq!(words.nets[1].place.to_string(), "a.toml:7:23");
    assert_eq!(
        words.path.expect("written").path().to_str(),
        Some("/etc/farmgate/run/x")
    );
    assert_eq!(
        words.until.expect("written").to_string(),
        "2027-01-01T00:00:00Z"
    );
    let inner = words.inner.expect("written");
    assert_eq!((inner.port, inner.items[0].port), (31, 2));
    assert!(words.raw.expect("written").has("b"));
    assert_eq!(words.bytes.expect("written").rate.bytes(), 1024);
    assert!((words.rate.expect("written").per_second() - 5.0 / 60.0).abs() < 1e-9);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let text = errors("name = \"a\"\nsise = \"1KiB\"\n");
    assert!(
        text.starts_with(
            "a.toml:2:1: E-CONF-001 unknown key \"sise\"\n  help: did you mean \"size\"? Valid here: name, wait"
        ),
        "{text}"
    );
}

#[test]
fn all_mistakes_of_a_table_are_placed() {
    let text = "name = 5\nwait = 3\nsize = \"x\"\ncount = 300\nmode = \"least_reqest\"\nnets = [\"10.0.0.1/8\", \"::1\", true]\nwhat = 1\nrate = { rate = 0, per = \"1s\" }\nuntil = \"x\"\n[inner]\nprt = 1\n[[inner.items]]\nport = -1\n";
    assert_eq!(
        places(text),
        [
            "a.toml:1:8: E-CONF-002",
            "a.toml:2:8: E-CONF-005",
            "a.toml:3:8: E-CONF-005",
            "a.toml:4:9: E-CONF-005",
            "a.toml:5:8: E-CONF-004",
            "a.toml:6:9: E-CONF-005",
            "a.toml:6:30: E-CONF-002",
            "a.toml:7:1: E-CONF-001",
            "a.toml:8:8: E-CONF-005",
            "a.toml:9:9: E-CONF-002",
            "a.toml:11:1: E-CONF-001",
            "a.toml:13:8: E-CONF-005",
        ]
    );
}

#[test]
fn types_are_named_and_values_are_not() {
    for (text, message) in [
        ("name = 5", "expected a text, found an integer"),
        ("name = [\"a\"]", "expected a text, found a list"),
        (
            "name = \"a\"\ncount = \"5\"",
            "expected an integer from 0 to 255, found a text",
        ),
        (
            "name = \"a\"\ncount = 1.5",
            "expected an integer from 0 to 255, found a number with a fraction",
        ),
        (
            "name = \"a\"\ncount = 99999999999999999999",
            "found an integer beyond 64 bits",
        ),
        (
            "name = \"a\"\nnets = \"::1\"",
            "expected a list, found a text",
        ),
        (
            "name = \"a\"\ninner = 1",
            "expected a table, found an integer",
        ),
        (
            "name = \"a\"\nmode = 1",
            "expected a text, found an integer",
        ),
        (
            "name = \"a\"\nwait = 2027-01-01",
            "expected a time (\"5s\"), found a date",
        ),
        (
            "name = \"a\"\nwait = 5",
            "a time needs its unit\n  help: write \"5s\" for seconds",
        ),
        ("name = \"a\"\nsize = 5", "help: write \"5B\" for bytes"),
        (
            "name = \"a\"\nsecret = 12345",
            "expected a text (a secret, \"${NAME}\" or \"file:PATH\"), found an integer",
        ),
    ] {
        let found = errors(text);
        assert!(found.contains(message), "{text}: {found}");
        assert!(!found.contains("12345"), "{found}");
    }
}

#[test]
fn a_missing_key_is_reported_once_and_not_after_a_wrong_one() {
    assert_eq!(places("count = 1"), ["a.toml:1:1: E-CONF-003"]);
    assert_eq!(
        places("count = true"),
        ["a.toml:1:1: E-CONF-003", "a.toml:1:9: E-CONF-002"]
    );
    assert_eq!(places("name = true"), ["a.toml:1:8: E-CONF-002"]);
    assert_eq!(places("nme = \"a\""), ["a.toml:1:1: E-CONF-001"]);
    assert_eq!(
        places("name = \"a\"\n[inner]\nitems = [{ port = 1 }, {}]"),
        ["a.toml:2:1: E-CONF-003", "a.toml:3:24: E-CONF-003"]
    );
}

#[test]
fn an_inline_table_and_a_sub_table_say_the_same() {
    let inline = read("name = \"a\"\nraw = { x = 1, y = { z = [1, 2] } }").expect("good");
    let sub = read("name = \"a\"\n[raw]\ny.z = [1, 2]\nx = 1").expect("good");
    assert_eq!(inline.raw, sub.raw);
    assert_eq!(
        places("name = \"a\"\ninner = { port = 1, x = 2 }"),
        ["a.toml:2:21: E-CONF-001"]
    );
    assert_eq!(
        places("name = \"a\"\n[inner]\nport = 1\nx = 2"),
        ["a.toml:4:1: E-CONF-001"]
    );
}

#[test]
fn columns_count_characters_and_lines_any_ending() {
    assert_eq!(
        places("name = \"a\"\r\n\tsize = \"x\"\r\n"),
        ["a.toml:2:9: E-CONF-005"]
    );
    assert_eq!(
        places("name = \"a\"\ninner = { port = 1, \"ключ\" = 2, b = 3 }"),
        ["a.toml:2:21: E-CONF-001", "a.toml:2:33: E-CONF-001"]
    );
    let source = SourceFile::new("x", "\u{feff}a\né!", ".");
    let at = |offset| source.place(offset).to_string();
    assert_eq!(
        [at(3), at(4), at(5), at(7), at(99)],
        ["x:1:1", "x:1:2", "x:2:1", "x:2:2", "x:2:3"]
    );
}

#[test]
fn what_stands_behind_a_variable_is_never_shown() {
    let text = "name = \"a\"\nwait = \"${WAIT}\"\nmode = \"${WAIT}\"\nnets = [\"${WAIT}\"]\ncount = \"${WAIT}\"\nsecret = \"file:${WAIT}\"\n";
    let source = SourceFile::new("a.toml", text, "/nowhere");
    let mut table = Table::parse(&source).expect("parses");
    table.replace_texts(&mut |text, _| {
        text.contains("${")
            .then(|| text.replace("${WAIT}", "hunter2"))
    });
    let mut diagnostics = Diagnostics::new();
    assert!(decode::<Words>(&table, &mut diagnostics).is_none());
    let all = diagnostics.to_string();
    assert_eq!(diagnostics.error_count(), 5, "{all}");
    assert!(!all.contains("hunter2"), "{all}");
    assert!(
        all.contains("the value of \"${WAIT}\" is not allowed here"),
        "{all}"
    );
}

#[test]
fn secrets_are_read_and_hidden() {
    let folder = std::env::temp_dir().join(format!("farmgate-secret-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("key"), "s3cret\r\n").expect("a file");
    let decode_in = |text: &str| {
        let table =
            Table::parse(&SourceFile::new("a.toml", text, folder.as_path())).expect("parses");
        let mut diagnostics = Diagnostics::new();
        let words: Option<Words> = decode(&table, &mut diagnostics);
        words.and_then(|w| w.secret).ok_or(diagnostics.to_string())
    };
    let secret = decode_in("name = \"a\"\nsecret = \"file:key\"").expect("read");
    assert_eq!(
        (secret.reveal(), secret.reference()),
        ("s3cret", Some("file:key"))
    );
    assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    let plain = decode_in("name = \"a\"\nsecret = \"abc\"").expect("read");
    assert_eq!((plain.reveal(), plain.reference()), ("abc", None));
    let missing = decode_in("name = \"a\"\nsecret = \"file:none\"").expect_err("missing");
    assert!(
        missing.starts_with("a.toml:2:10: E-CONF-005 the secret's file "),
        "{missing}"
    );
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn syntax_errors_are_placed() {
    let text = errors("name = \"a\"\ncount = \nmode = \"x\"\nname = 2\n");
    assert!(
        text.starts_with("a.toml:2:9: E-CONF-006 not TOML: "),
        "{text}"
    );
    assert!(
        text.contains("a.toml:4:1: E-CONF-006 not TOML: duplicate key"),
        "{text}"
    );
}

#[test]
fn depth_and_mistakes_are_bounded() {
    assert!(read(&format!("name = {}", "[".repeat(100_000))).is_err());
    let many: String = (0..500).map(|n| format!("x{n} = 1\n")).collect();
    assert_eq!(places(&format!("name = \"a\"\n{many}")).len(), 100);
    let mut diagnostics = Diagnostics::new();
    for _ in 0..2000 {
        diagnostics.error("E-X-001", &super::Place::none(), "x");
    }
    assert_eq!(
        (
            diagnostics.iter().len(),
            diagnostics.error_count(),
            diagnostics.dropped()
        ),
        (1000, 2000, 1000)
    );
}

#[test]
fn the_nearest_word() {
    let words = ["connections", "connect", "headers", "least_request"];
    for (typed, near) in [
        ("conections", Some("connections")),
        ("Connect", Some("connect")),
        ("conncet", Some("connect")),
        ("least-request", Some("least_request")),
        ("haeders", Some("headers")),
        ("zzz", None),
        ("", None),
    ] {
        assert_eq!(nearest(typed, &words), near, "{typed}");
    }
    assert_eq!(nearest(&"x".repeat(1000), &words), None);
    assert_eq!(
        did_you_mean("q", &["a"]),
        "did you mean \"a\"? Valid here: a"
    );
    assert_eq!(did_you_mean("q", &[] as &[&str]), "");
}

#[test]
fn diagnostics_print_and_serialise_flat() {
    let place = SourceFile::new("f.toml", "a\nb", ".").place(2);
    let one = super::Diagnostic::error("E-X-001", &place, "wrong").with_help("do it right");
    assert_eq!(
        one.to_string(),
        "f.toml:2:1: E-X-001 wrong\n  help: do it right"
    );
    let warning = super::Diagnostic::warning("E-X-002", &super::Place::file("f.toml"), "odd");
    assert_eq!(warning.to_string(), "f.toml: warning E-X-002 odd");
    assert_eq!(
        toml::to_string(&one).expect("serialises"),
        "code = \"E-X-001\"\nseverity = \"error\"\nfile = \"f.toml\"\nline = 2\ncolumn = 1\nmessage = \"wrong\"\nhelp = \"do it right\"\n"
    );
}
