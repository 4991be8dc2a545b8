//! `xtask new-plugin NAME`: a room of six files that compiles and passes, and its line in the list.

use std::fs;
use std::path::Path;

use crate::tidy::rooms::{LIST, ROOM};

/// The text of each file, in the order of [`ROOM`]. `{{kind}}` is `rate_limit`, `{{Kind}}` is
/// `RateLimit`, `{{header}}` is `rate-limit`.
const TEMPLATES: [&str; 6] = [
    include_str!("../templates/mod.rs.txt"),
    include_str!("../templates/config.rs.txt"),
    include_str!("../templates/filter.rs.txt"),
    include_str!("../templates/tests.rs.txt"),
    include_str!("../templates/README.md.txt"),
    include_str!("../templates/example.toml.txt"),
];

/// Names that would collide with something else in `plugins/` or in Rust.
const TAKEN: [&str; 12] = [
    "api", "src", "tests", "lib", "target", "mod", "type", "match", "use", "self", "super", "crate",
];

/// Makes the room and says what comes next.
pub(crate) fn command(root: &Path, kind: &str) -> Result<(), String> {
    check_name(kind)?;
    let list = root.join(LIST);
    let text = fs::read_to_string(&list).map_err(|e| format!("{LIST}: {e}"))?;
    let text = with_line(&text, kind)?;
    let room = root.join("plugins").join(kind);
    if room.exists() {
        return Err(format!("plugins/{kind} is there already"));
    }
    fs::create_dir_all(&room).map_err(|e| format!("plugins/{kind}: {e}"))?;
    for (name, template) in ROOM.iter().zip(TEMPLATES) {
        fs::write(room.join(name), fill(template, kind))
            .map_err(|e| format!("plugins/{kind}/{name}: {e}"))?;
    }
    fs::write(&list, text).map_err(|e| format!("{LIST}: {e}"))?;
    println!(
        "made plugins/{kind}/ and its line in {LIST}\n\n\
         next:\n\
         \x20 1. cargo test -p farmgate-plugins {kind}     it passes as it is\n\
         \x20 2. config.rs     the words an operator writes, each with its meaning and default\n\
         \x20 3. filter.rs     the phases you need and what happens in them\n\
         \x20 4. tests.rs      every word, every bad word, every phase\n\
         \x20 5. README.md and example.toml, which the reference shows and a test loads\n\
         \x20 6. cargo build && cargo xtask gen            renews docs/reference\n\
         docs/plugins.md explains phases, services and the rules."
    );
    Ok(())
}

fn check_name(kind: &str) -> Result<(), String> {
    let is_snake = kind.starts_with(|c: char| c.is_ascii_lowercase())
        && kind
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !kind.ends_with('_')
        && !kind.contains("__");
    if !is_snake || kind.len() > 40 {
        return Err(format!(
            "`{kind}` is no kind: write a snake_case noun of the effect, such as rate_limit"
        ));
    }
    if TAKEN.contains(&kind) {
        return Err(format!("`{kind}` is taken; choose another name"));
    }
    Ok(())
}

/// The list with one line more, in alphabetical order.
fn with_line(text: &str, kind: &str) -> Result<String, String> {
    const CALL: &str = "plugins! {";
    let at = text
        .match_indices(CALL)
        .map(|(at, _)| at)
        .find(|at| *at == 0 || text[..*at].ends_with('\n'))
        .ok_or_else(|| format!("{LIST}: no line begins with `{CALL}`"))?;
    let open = at + CALL.len();
    let length = text[open..]
        .find('}')
        .ok_or_else(|| format!("{LIST}: the list has no end"))?;
    let body = &text[open..open + length];
    if body.contains("//") {
        return Err(format!("{LIST}: a comment inside the list would be lost"));
    }
    let mut names: Vec<&str> = body
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if names.contains(&kind) {
        return Err(format!("{LIST}: `{kind}` is in the list already"));
    }
    names.push(kind);
    names.sort_unstable();
    let lines: String = names.iter().map(|name| format!("    {name},\n")).collect();
    Ok(format!(
        "{}\n{lines}{}",
        &text[..open],
        &text[open + length..]
    ))
}

/// `RateLimit` for `rate_limit`.
fn camel_case(kind: &str) -> String {
    kind.split('_')
        .map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        })
        .collect()
}

fn fill(template: &str, kind: &str) -> String {
    template
        .replace("{{kind}}", kind)
        .replace("{{Kind}}", &camel_case(kind))
        .replace("{{header}}", &kind.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_made_whole_and_listed_in_order() {
        let root = std::env::temp_dir().join(format!("farmgate-new-plugin-{}", std::process::id()));
        fs::create_dir_all(root.join("plugins")).unwrap();
        let list = "//! Kinds.\n\nplugins! {\n    headers,\n    respond,\n}\n";
        fs::write(root.join(LIST), list).unwrap();
        let made = command(&root, "quiet_hours");
        let again = command(&root, "quiet_hours");
        let list = fs::read_to_string(root.join(LIST)).unwrap();
        let texts: Vec<String> = ROOM
            .iter()
            .map(|name| fs::read_to_string(root.join("plugins/quiet_hours").join(name)).unwrap())
            .collect();
        fs::remove_dir_all(&root).unwrap();
        made.unwrap();
        assert!(again.unwrap_err().contains("already"));
        assert_eq!(
            list,
            "//! Kinds.\n\nplugins! {\n    headers,\n    quiet_hours,\n    respond,\n}\n"
        );
        assert!(texts[0].contains("QuietHours"));
        assert!(texts.iter().all(|text| !text.contains("{{")), "{texts:?}");
    }

    #[test]
    fn names_are_snake_case_nouns() {
        for good in ["cors", "rate_limit", "oauth2"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Cors",
            "rate-limit",
            "_x",
            "x_",
            "a__b",
            "2fast",
            "../x",
            "api",
            "type",
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_list_may_stand_on_one_line_and_a_macro_is_not_the_list() {
        let text = "macro_rules! plugins {\n    () => {};\n}\nplugins! { b, a }\n";
        let want =
            "macro_rules! plugins {\n    () => {};\n}\nplugins! {\n    a,\n    b,\n    c,\n}\n";
        assert_eq!(with_line(text, "c").unwrap(), want);
    }
}
