//! The one-way flow: which part of `src/` may name which, and where Pingora's types may stand.

use super::Finding;
use super::code::{is_word, line_of, words};
use super::tree::{SourceFile, Tree};

/// Crates of this repository that `src/` can name.
const API: &str = "farmgate_plugin_api";
const PLUGINS: &str = "farmgate_plugins";
const STORE: &str = "farmgate_store";

/// A part of `src/` and what it may import. A part that is not listed may import nothing of ours.
struct Layer {
    name: &'static str,
    may: &'static [&'static str],
}

/// The table, in the order of the flow. `config` shares the decoder with the plugins, so it names
/// the plugin API; that API in turn names nothing of ours.
const LAYERS: [Layer; 10] = [
    Layer {
        name: "telemetry",
        may: &[],
    },
    Layer {
        name: "protocol",
        may: &[],
    },
    Layer {
        name: "config",
        may: &[API],
    },
    Layer {
        name: "upstream",
        may: &["telemetry"],
    },
    Layer {
        name: "cache",
        may: &["telemetry", STORE],
    },
    Layer {
        name: "tls",
        may: &["telemetry"],
    },
    Layer {
        name: "state",
        may: &["upstream", "cache", "tls", "telemetry", STORE],
    },
    Layer {
        name: "snapshot",
        may: &[
            "upstream",
            "cache",
            "tls",
            "protocol",
            "telemetry",
            "state",
            API,
        ],
    },
    Layer {
        name: "compile",
        may: &[
            "config",
            "protocol",
            "snapshot",
            "state",
            "upstream",
            "cache",
            "tls",
            "telemetry",
            API,
            PLUGINS,
        ],
    },
    Layer {
        name: "proxy",
        may: &[
            "protocol",
            "snapshot",
            "state",
            "upstream",
            "cache",
            "tls",
            "telemetry",
            API,
        ],
    },
];

/// These wire everything; still only `cli` may name `server`.
const WIRING: [&str; 2] = ["server", "cli"];

/// Where Pingora's types may stand: path prefixes, each with its reason.
const ADAPTERS: [(&str, &str); 3] = [
    ("src/proxy/pingora", "the ProxyHttp implementation"),
    ("src/server/", "accept loops and the process"),
    ("src/tls/pingora", "Pingora's TLS callbacks"),
];

pub(super) fn imports(tree: &Tree, found: &mut Vec<Finding>) {
    let parts: Vec<&str> = tree
        .folders
        .iter()
        .chain(tree.files.iter().map(|file| &file.path))
        .filter_map(|path| path.strip_prefix("src/"))
        .filter(|path| !path.contains('/'))
        .map(|path| path.trim_end_matches(".rs"))
        .collect();
    for file in tree.rust() {
        if let Some(part) = part_of(&file.path) {
            check_part(file, part, &parts, found);
        } else if file.path.starts_with("plugins/") || file.path.starts_with("store/") {
            refuse(file, &["farmgate"], "the application", found);
        }
        if file.path.starts_with("plugins/api/") {
            refuse(file, &[PLUGINS, STORE], "anything of ours", found);
        }
    }
}

/// `proxy` of `src/proxy/...` and of `src/proxy.rs`; none for `src/main.rs` and `src/lib.rs`.
fn part_of(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    let part = rest.split('/').next()?.trim_end_matches(".rs");
    (part != "main" && part != "lib").then_some(part)
}

fn refuse(file: &SourceFile, crates: &[&str], whose: &str, found: &mut Vec<Finding>) {
    for (line, code) in file.code.lines() {
        for name in crates {
            if words(code, name).any(|at| code[at + name.len()..].starts_with("::")) {
                found.push(Finding::new(
                    &file.path,
                    line,
                    format!("`{name}`: this package may not know {whose}"),
                    "lend what you need through the plugin API",
                ));
            }
        }
    }
}

fn check_part(file: &SourceFile, part: &str, parts: &[&str], found: &mut Vec<Finding>) {
    let text = file.code.shipped_text();
    let mut names = names_behind(&text, "crate");
    names.extend(names_behind_super(&text, depth(&file.path)));
    for name in [API, PLUGINS, STORE] {
        names.extend(words(&text, name).map(|at| (at, name.to_owned())));
    }
    for (at, name) in names {
        let ours = parts.contains(&name.as_str()) || [API, PLUGINS, STORE].contains(&name.as_str());
        if !ours || name == part {
            continue;
        }
        let allowed = if WIRING.contains(&part) {
            name != "server" || part == "cli"
        } else {
            LAYERS
                .iter()
                .find(|layer| layer.name == part)
                .is_some_and(|layer| layer.may.contains(&name.as_str()))
        };
        if !allowed {
            found.push(Finding::new(
                &file.path,
                line_of(&text, at),
                format!("`{part}` may not import `{name}`"),
                "move the type to the part both may see, or pass the value in; \
                 the table stands in xtask/src/tidy/layers.rs",
            ));
        }
    }
}

/// How many `super::` lead from the file's module to the crate's root.
fn depth(path: &str) -> usize {
    let steps = path.split('/').count() - 1;
    if path.ends_with("/mod.rs") {
        steps - 1
    } else {
        steps
    }
}

/// The first names behind `root::`, also in a group: `root::{a, b::c}` gives `a` and `b`.
fn names_behind(text: &str, root: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for at in words(text, root) {
        if let Some(rest) = text[at + root.len()..].strip_prefix("::") {
            names.extend(first_names(rest).into_iter().map(|name| (at, name)));
        }
    }
    names
}

fn names_behind_super(text: &str, depth: usize) -> Vec<(usize, String)> {
    let chain = "super::".repeat(depth);
    text.match_indices(&chain)
        .filter(|(at, _)| !text[..*at].ends_with("super::"))
        .flat_map(|(at, _)| {
            first_names(&text[at + chain.len()..])
                .into_iter()
                .map(move |name| (at, name))
        })
        .collect()
}

fn first_names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![rest.chars().take_while(|c| is_word(*c)).collect()];
    };
    let mut names = Vec::new();
    let mut depth = 0;
    let mut name = String::new();
    let mut is_first = true;
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(std::mem::take(&mut name));
                is_first = true;
            }
            c if depth == 0 && is_first && is_word(c) => name.push(c),
            c if depth == 0 && !c.is_whitespace() => is_first = false,
            _ => {}
        }
    }
    names.push(name);
    names
}

pub(super) fn pingora_adapters(tree: &Tree, found: &mut Vec<Finding>) {
    for file in tree.rust().filter(|file| file.path.starts_with("src/")) {
        if ADAPTERS
            .iter()
            .any(|(prefix, _)| file.path.starts_with(prefix))
        {
            continue;
        }
        for (line, code) in file.code.shipped() {
            if let Some(at) = code.match_indices("pingora").map(|(at, _)| at).find(|at| {
                let before = code[..*at].chars().next_back();
                let after = code[at + "pingora".len()..].trim_start_matches(is_word);
                // Our own `proxy::pingora` is a module of ours, not the framework.
                !before.is_some_and(|c| is_word(c) || c == ':') && after.starts_with("::")
            }) {
                let name: String = code[at..].chars().take_while(|c| is_word(*c)).collect();
                found.push(Finding::new(
                    &file.path,
                    line,
                    format!("`{name}`: Pingora's types stand in the adapter files only"),
                    "decide on plain values here and let src/proxy/pingora or src/server translate",
                ));
            }
        }
    }
}
