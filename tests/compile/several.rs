//! What needs several files, or files that are no text.

use std::path::Path;

use crate::harness::cli::{Ran, command, farmgate};

const LISTENER: &str = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n";
const UPSTREAM: &str = "[[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:9001\"]\n";
const ROUTE: &str = "[[route]]\nname = \"any\"\nupstream = \"app\"\n";

/// Runs `check` in a folder on these paths.
fn check(folder: &Path, paths: &[&str]) -> Ran {
    let mut command = command();
    command.current_dir(folder).arg("check");
    for path in paths {
        command.args(["--config", path]);
    }
    let output = command.output().expect("run the binary");
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).expect("write");
    }
    folder
}

fn says(ran: &Ran, text: &str) {
    assert!(ran.out.contains(text), "no {text:?} in:\n{}", ran.out);
}

#[test]
fn files_and_folders_load_together() {
    let site = [LISTENER, UPSTREAM].concat();
    let files: [(&str, &[u8]); 4] = [
        ("a.toml", site.as_bytes()),
        ("b.toml", ROUTE.as_bytes()),
        (".hidden.toml", b"nonsense"),
        ("notes.txt", b"nonsense"),
    ];
    let folder = folder(&files);
    std::fs::create_dir(folder.path().join("below.toml")).expect("a folder");
    check(folder.path(), &["."]).expect(0);
    check(folder.path(), &["a.toml", "b.toml"]).expect(0);
    check(folder.path(), &["b.toml", "a.toml"]).expect(0);
    // Alone each misses the other's names.
    let ran = check(folder.path(), &["b.toml"]).expect(78);
    says(&ran, "E-ROUTE-001");
    says(&ran, "E-LISTEN-002");
}

#[test]
fn names_and_tables_stand_once_over_all_files() {
    let server = b"[server]\nthreads = 1\n";
    let site = [LISTENER, UPSTREAM, ROUTE].concat();
    let files: [(&str, &[u8]); 4] = [
        ("a.toml", site.as_bytes()),
        ("b.toml", server),
        ("c.toml", server),
        ("d.toml", UPSTREAM.as_bytes()),
    ];
    let folder = folder(&files);
    let ran = check(folder.path(), &["."]).expect(78);
    says(
        &ran,
        "c.toml:1:2: E-CONF-017 [server] stands in ./b.toml:1:2 already",
    );
    says(&ran, "d.toml:2:8: E-CONF-018");
    let ran = check(folder.path(), &["a.toml", "./a.toml"]).expect(78);
    says(&ran, "E-CONF-014");
}

#[test]
fn what_cannot_be_read_is_said() {
    let files: [(&str, &[u8]); 2] = [
        ("latin.toml", b"# caf\xe9\n"),
        ("large.toml", &vec![b'#'; (16 << 20) + 1]),
    ];
    let folder = folder(&files);
    std::fs::create_dir(folder.path().join("empty")).expect("a folder");
    let ran = check(
        folder.path(),
        &["missing.toml", "latin.toml", "large.toml", "empty"],
    )
    .expect(78);
    for text in [
        "missing.toml: E-CONF-010",
        "latin.toml:1:6: E-CONF-011",
        "large.toml: E-CONF-012",
        "empty: E-CONF-013",
    ] {
        says(&ran, text);
    }
    let ran = farmgate(&["check", "--config", "/nonexistent/farmgate"]).expect(78);
    says(&ran, "E-CONF-010");
}

#[test]
fn relative_paths_start_at_the_folder_of_their_file() {
    let folder = folder(&[]);
    let below = folder.path().join("below");
    std::fs::create_dir(&below).expect("a folder");
    let route =
        "[[route]]\nname = \"any\"\nplugins = [{ kind = \"respond\", file = \"page.html\" }]\n";
    std::fs::write(below.join("site.toml"), [LISTENER, route].concat()).expect("write");
    let ran = check(folder.path(), &["below/site.toml"]).expect(78);
    says(&ran, "page.html");
    std::fs::write(below.join("page.html"), "<p>").expect("write");
    check(folder.path(), &["below/site.toml"]).expect(0);
}

#[test]
fn json_and_denied_warnings() {
    let unused = [
        LISTENER,
        UPSTREAM,
        "[[route]]\nname = \"x\"\nplugins = [{ kind = \"respond\" }]\n",
    ];
    let folder = folder(&[("a.toml", unused.concat().as_bytes())]);
    let path = folder.path().join("a.toml");
    let path = path.to_str().expect("a path");
    let ran = farmgate(&["check", "--config", path]).expect(0);
    says(&ran, "warning E-UPSTREAM-004");
    farmgate(&["check", "--config", path, "--deny-warnings"]).expect(78);
    let report = farmgate(&["check", "--config", path, "--json"])
        .expect(0)
        .json();
    assert_eq!(
        (&report["ok"], &report["errors"]),
        (&true.into(), &0.into())
    );
    let found = report["diagnostics"].as_array().expect("a list");
    let unused = found
        .iter()
        .find(|d| d["code"] == "E-UPSTREAM-004")
        .expect("the warning");
    assert_eq!(
        (&unused["line"], &unused["severity"]),
        (&5.into(), &"warning".into())
    );
}

/// Literals and `{name}` at the same places in all combinations: a lookup would visit many places.
#[test]
fn routes_that_are_costly_or_too_many_are_said() {
    let mut text = [LISTENER, UPSTREAM].concat();
    // A pattern has at most eight captures.
    for combination in (0..1024_u32).filter(|bits| bits.count_ones() >= 2) {
        let path: String = (0..10)
            .map(|bit| {
                if combination >> bit & 1 == 1 {
                    "/a"
                } else {
                    "/{x}"
                }
            })
            .enumerate()
            .map(|(at, part)| part.replace('x', &format!("x{at}")))
            .collect();
        text += &format!(
            "[[route]]\nname = \"r{combination}\"\npaths = [\"{path}\"]\nupstream = \"app\"\n"
        );
    }
    let folder = folder(&[("costly.toml", text.as_bytes())]);
    let ran = check(folder.path(), &["costly.toml"]).expect(0);
    says(&ran, "E-ROUTE-010");
    let mut text = [LISTENER, UPSTREAM].concat();
    let list = |range: std::ops::Range<u32>, of: &dyn Fn(u32) -> String| {
        let items: Vec<String> = range.map(|n| format!("\"{}\"", of(n))).collect();
        items.join(",")
    };
    // No two hosts have the same routes, so each host needs a table of its own.
    for route in 0..100 {
        let hosts = list(route..100, &|n| format!("h{n}.test"));
        let paths = list(0..500, &|n| format!("/r{route}/p{n}"));
        text += &format!(
            "[[route]]\nname = \"r{route}\"\nhosts = [{hosts}]\npaths = [{paths}]\nupstream = \"app\"\n"
        );
    }
    std::fs::write(folder.path().join("many.toml"), text).expect("write");
    let ran = check(folder.path(), &["many.toml"]).expect(78);
    says(&ran, "E-ROUTE-011");
}

#[test]
fn secrets_are_never_printed() {
    let text = [
        LISTENER,
        "[[route]]\nname = \"any\"\nupstream = \"${FARMGATE_TEST_SECRET}\"\n",
    ];
    let folder = folder(&[("a.toml", text.concat().as_bytes())]);
    let mut command = command();
    let output = command
        .current_dir(folder.path())
        .env("FARMGATE_TEST_SECRET", "topsecret")
        .args(["check", "--config", "a.toml"])
        .output()
        .expect("run the binary");
    assert_eq!(output.status.code(), Some(78));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(!text.contains("topsecret"), "{text}");
}

/// Where nothing can be written the node would serve from memory: a warning, as for certificates that are ordered.
#[test]
fn a_cache_folder_that_cannot_be_written_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let cache =
        "[cache]\nmemory = \"64MiB\"\ndisk = [{ path = \"closed/cache\", size = \"64MiB\" }]\n";
    let text = [cache, LISTENER, UPSTREAM, ROUTE].concat();
    let folder = folder(&[("a.toml", text.as_bytes())]);
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).expect("a folder");
    let ran = check(folder.path(), &["a.toml"]).expect(0);
    assert!(!ran.out.contains("E-CACHE-006"), "{}", ran.out);
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).expect("closed");
    // The superuser may write everywhere, unless this is taken from him.
    let output = std::process::Command::new("setpriv")
        .args(["--bounding-set=-dac_override", "--"])
        .arg(command().get_program())
        .args(["check", "--config", "a.toml"])
        .current_dir(folder.path())
        .output();
    let output = output.expect("setpriv of util-linux");
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    let line = out.lines().find(|line| line.contains("E-CACHE-006"));
    let line = line.unwrap_or_else(|| panic!("no warning in: {out}"));
    assert!(
        line.starts_with("a.toml:3:18: warning") && line.contains("in memory alone"),
        "{line}"
    );
    assert!(!closed.join("cache").exists());
}
