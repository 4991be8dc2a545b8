//! Configurations that are shown must parse, and a test must load them.

use super::Finding;
use super::tree::Tree;

/// Folders whose TOML files are shown to users.
fn is_shown(path: &str) -> bool {
    path.starts_with("conf/") && path.ends_with(".toml")
        || path.starts_with("plugins/") && path.ends_with("/example.toml")
}

pub(super) fn check(tree: &Tree, found: &mut Vec<Finding>) {
    // The whole-project tests; before they exist nothing can load the examples.
    let is_loaded_somewhere = tree.file("tests/main.rs").is_some();
    let tests: Vec<&str> = tree
        .rust()
        .filter(|file| file.path.starts_with("tests/"))
        .map(|file| file.text.as_str())
        .collect();
    for file in tree.files.iter().filter(|file| is_shown(&file.path)) {
        if let Err(error) = file.text.parse::<toml::Table>() {
            let at = error.span().map_or(0, |span| span.start);
            found.push(Finding::new(
                &file.path,
                super::code::line_of(&file.text, at),
                format!("not TOML: {}", error.message()),
                "an example must load as it stands",
            ));
        }
        if !is_loaded_somewhere {
            continue;
        }
        // A test names the file, or the folder or file name it walks over.
        let sweep = if file.path.starts_with("conf/examples/") {
            "conf/examples"
        } else if file.path.starts_with("plugins/") {
            "example.toml"
        } else {
            &file.path
        };
        if !tests
            .iter()
            .any(|test| test.contains(&file.path) || test.contains(sweep))
        {
            found.push(Finding::new(
                &file.path,
                1,
                "no test loads this file",
                format!("name it, or walk over `{sweep}`, in a test below tests/"),
            ));
        }
    }
}
