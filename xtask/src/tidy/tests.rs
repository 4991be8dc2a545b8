//! The repository itself, and each rule against a small tree that breaks it.

use std::path::Path;

use super::tree::Tree;
use super::{check, findings, rooms, third_party};

#[test]
fn repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (found, _) = check(&root).expect("the repository can be read");
    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(
        found.is_empty(),
        "{} findings\n{}",
        found.len(),
        text.join("\n")
    );
}

/// `file:line what` of everything the rules find in these files.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    findings(&Tree::of(files))
        .into_iter()
        .map(|finding| format!("{}:{} {}", finding.file, finding.line, finding.what))
        .collect()
}

#[test]
fn a_part_may_not_import_against_the_flow() {
    let compile = ("src/compile/mod.rs", "");
    let config = ("src/config/mod.rs", "");
    let bad = "use crate::{\n    compile::plan,\n    snapshot::Route,\n};\nfn f() { super::super::config::x() }\n";
    assert_eq!(
        found(&[
            compile,
            config,
            ("src/snapshot/mod.rs", ""),
            ("src/proxy/pipeline.rs", bad)
        ]),
        [
            "src/proxy/pipeline.rs:1 `proxy` may not import `compile`",
            "src/proxy/pipeline.rs:5 `proxy` may not import `config`",
        ]
    );
}

#[test]
fn comments_strings_and_tests_do_not_import() {
    let text = "// crate::compile\nconst A: &str = \"crate::compile\";\nconst B: &str = r#\"crate::compile\"#;\n\
                fn f<'a>(x: &'a str) -> char { '\"' }\n/* crate::compile /* */ crate::compile */\n\
                #[cfg(test)]\nmod tests {\n    use crate::compile;\n}\n";
    assert!(found(&[("src/compile.rs", ""), ("src/proxy/a.rs", text)]).is_empty());
}

#[test]
fn only_cli_names_the_server_and_plugins_never_the_application() {
    assert_eq!(
        found(&[
            ("src/server/mod.rs", ""),
            ("src/cli/run.rs", "use crate::server::run;\n"),
            ("src/upstream/a.rs", "use crate::server::run;\n"),
            ("plugins/lib.rs", "use farmgate::proxy;\n"),
        ]),
        [
            "plugins/lib.rs:1 `farmgate`: this package may not know the application",
            "src/upstream/a.rs:1 `upstream` may not import `server`",
        ]
    );
}

#[test]
fn pingora_stands_in_the_adapters_only() {
    let text = "use pingora_http::RequestHeader;\n";
    assert_eq!(
        found(&[
            ("src/proxy/pingora/headers.rs", text),
            ("src/server/accept.rs", text),
            ("src/proxy/route.rs", text),
            (
                "src/proxy/mod.rs",
                "mod pingora;\nuse crate::proxy::pingora::Adapter;\n"
            ),
        ]),
        ["src/proxy/route.rs:1 `pingora_http`: Pingora's types stand in the adapter files only"]
    );
}

#[test]
fn the_request_path_does_not_panic() {
    let text = "fn f(x: &[u8], a: [u8; 2], k: &'static [u8]) -> u8 {\n    let y = vec![1];\n    x.first().unwrap();\n    \
                x[0]\n}\n#[cfg(test)]\nmod tests {\n    fn g() { Some(1).unwrap(); }\n}\n";
    assert_eq!(
        found(&[("src/proxy/a.rs", text), ("src/compile/a.rs", text)]),
        [
            "src/proxy/a.rs:3 `.unwrap()` on the request path",
            "src/proxy/a.rs:4 indexing on the request path may panic",
        ]
    );
    let proved =
        "fn f(x: &[u8; 2]) -> u8 {\n    // tidy: in bounds: the array has two\n    x[0]\n}\n";
    assert!(found(&[("src/snapshot/a.rs", proved)]).is_empty());
}

#[test]
fn test_modules_in_files_of_their_own_are_tests() {
    let parent = "#[cfg(test)]\nmod cases;\n";
    let cases = "fn f() { panic!(\"in a test\") }\n";
    assert!(
        found(&[
            ("src/proxy/mod.rs", parent),
            ("src/proxy/cases.rs", cases),
            ("src/proxy/cases/more.rs", cases),
            ("src/proxy/uri/tests.rs", cases),
        ])
        .is_empty()
    );
}

#[test]
fn unsafe_needs_a_place_and_a_proof() {
    let bare = "fn f() { unsafe { g() } }\n";
    let proved = "// SAFETY: the descriptor is ours.\nfn f() { unsafe { g() } }\n";
    assert_eq!(
        found(&[
            ("src/proxy/a.rs", proved),
            ("tests/counting_alloc.rs", bare),
            ("src/lib.rs", "#![deny(unsafe_code)]\n"),
        ]),
        [
            "src/proxy/a.rs:2 `unsafe` outside the listed files",
            "tests/counting_alloc.rs:1 `unsafe` without a proof",
        ]
    );
    assert!(found(&[("tests/counting_alloc.rs", proved)]).is_empty());
}

#[test]
fn tests_do_not_sleep_and_hope() {
    let text = "fn f() {\n    std::thread::sleep(d);\n    // tidy: waits for a condition\n    tokio::time::sleep(d).await;\n}\n";
    assert_eq!(
        found(&[("tests/reload.rs", text), ("src/cli/top.rs", text)]),
        ["tests/reload.rs:2 a test that sleeps and hopes"]
    );
}

#[test]
fn files_are_short_well_named_and_finished() {
    let long = "//\n".repeat(501);
    let note = concat!("// TO", "DO: later\n");
    assert_eq!(
        found(&[
            ("src/upstream/set.rs", &long),
            ("src/state/utils.rs", ""),
            ("src/tls/common/mod.rs", ""),
            ("dev", note),
        ]),
        [
            concat!("dev:1 unfinished: `TO", "DO`"),
            "src/state/utils:1 `utils` says nothing about what is inside",
            "src/tls/common:1 `common` says nothing about what is inside",
            "src/upstream/set.rs:501 501 lines; the limit is 500",
        ]
    );
}

fn room(names: &[String]) -> Vec<(&str, &str)> {
    names.iter().map(|name| (name.as_str(), "")).collect()
}

#[test]
fn rooms_are_whole_listed_and_strangers() {
    let whole = |name: &str| {
        rooms::ROOM
            .map(|file| format!("plugins/{name}/{file}"))
            .to_vec()
    };
    let names = [whole("alpha"), whole("beta")].concat();
    let mut files = room(&names);
    files.push(("plugins/lib.rs", "plugins! {\n    alpha,\n    beta,\n}\n"));
    files.push(("plugins/api/src/lib.rs", ""));
    assert!(found(&files).is_empty());

    files.retain(|(path, _)| *path != "plugins/beta/README.md" && *path != "plugins/lib.rs");
    files.push(("plugins/lib.rs", "plugins! { gamma, alpha }\n"));
    files.push(("plugins/alpha/deep/a.rs", "use crate::beta::B;\n"));
    assert_eq!(
        found(&files),
        [
            "plugins/alpha/deep/a.rs:1 the room `alpha` knows the room `beta`",
            "plugins/beta/README.md:1 the room `beta` has no README.md",
            "plugins/lib.rs:1 `alpha` stands behind `gamma`",
            "plugins/lib.rs:1 `gamma` is listed but plugins/gamma/ does not exist",
            "plugins/lib.rs:1 the room `beta` is not in the list",
        ]
    );
}

#[test]
fn examples_parse_and_are_loaded_by_a_test() {
    let config = ("conf/examples/a.toml", "[[route]]\nname = \"a\"\n");
    let walk = ("tests/main.rs", "const FOLDER: &str = \"conf/examples\";\n");
    assert!(found(&[config]).is_empty());
    assert!(found(&[config, walk]).is_empty());
    assert_eq!(
        found(&[config, ("tests/main.rs", "")]),
        ["conf/examples/a.toml:1 no test loads this file"]
    );
    let broken = found(&[("conf/farmgate.toml", "a = 1\nb =\n")]);
    assert_eq!(broken.len(), 1);
    assert!(
        broken[0].starts_with("conf/farmgate.toml:2 not TOML"),
        "{broken:?}"
    );
}

#[test]
fn a_patch_belongs_to_one_crate() {
    let file = "pingora-proxy-0001-timeouts.patch";
    assert!(third_party::is_patch_of("pingora-proxy", file));
    assert!(!third_party::is_patch_of("pingora", file));
}

#[test]
fn only_changed_lines_of_a_patch_count() {
    let patch = "--- a/src/lib.rs\n+++ b/src/lib.rs\n@@ -1,3 +1,3 @@\n same\n-old\n+new\n";
    assert_eq!(third_party::changed_lines(patch), 2);
}
