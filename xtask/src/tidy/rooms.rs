//! Plugin rooms: six files each, listed once, and none knows another.

use super::Finding;
use super::code::{is_word, line_of, words};
use super::tree::Tree;

/// What every room holds.
pub(crate) const ROOM: [&str; 6] = [
    "mod.rs",
    "config.rs",
    "filter.rs",
    "tests.rs",
    "README.md",
    "example.toml",
];

/// Folders of `plugins/` that are packages or tests, not rooms.
const NOT_ROOMS: [&str; 3] = ["api", "src", "tests"];

/// The file with the list.
pub(crate) const LIST: &str = "plugins/lib.rs";

pub(super) fn check(tree: &Tree, found: &mut Vec<Finding>) {
    let rooms: Vec<&str> = tree
        .folders
        .iter()
        .filter_map(|folder| folder.strip_prefix("plugins/"))
        .filter(|folder| !folder.contains('/') && !NOT_ROOMS.contains(folder))
        .collect();
    for room in &rooms {
        for name in ROOM {
            let path = format!("plugins/{room}/{name}");
            if tree.file(&path).is_none() {
                found.push(Finding::new(
                    &path,
                    1,
                    format!("the room `{room}` has no {name}"),
                    "every room has the six files; `cargo xtask new-plugin` makes them",
                ));
            }
        }
        check_neighbours(tree, room, &rooms, found);
    }
    check_list(tree, &rooms, found);
}

fn check_neighbours(tree: &Tree, room: &str, rooms: &[&str], found: &mut Vec<Finding>) {
    let folder = format!("plugins/{room}/");
    for file in tree.rust().filter(|file| file.path.starts_with(&folder)) {
        let text = file.code.shipped_text();
        for other in rooms.iter().filter(|other| **other != room) {
            let path = format!("crate::{other}");
            if let Some(at) = words(&text, &path).next() {
                found.push(Finding::new(
                    &file.path,
                    line_of(&text, at),
                    format!("the room `{room}` knows the room `{other}`"),
                    "move what both need to plugins/api, or to a file of its own in plugins/",
                ));
            }
        }
    }
}

fn check_list(tree: &Tree, rooms: &[&str], found: &mut Vec<Finding>) {
    let Some(file) = tree.file(LIST) else {
        return;
    };
    let text = file.code.shipped_text();
    let Some((line, names)) = listed(&text) else {
        if !rooms.is_empty() {
            found.push(Finding::new(
                LIST,
                1,
                "no `plugins! { ... }` list",
                "list every room there, one line each, in alphabetical order",
            ));
        }
        return;
    };
    for pair in names.windows(2) {
        if let [first, second] = pair
            && first >= second
        {
            found.push(Finding::new(
                LIST,
                line,
                format!("`{second}` stands behind `{first}`"),
                "keep the list alphabetical, each name once",
            ));
        }
    }
    for room in rooms
        .iter()
        .filter(|room| !names.iter().any(|name| name == *room))
    {
        found.push(Finding::new(
            LIST,
            line,
            format!("the room `{room}` is not in the list"),
            format!("add the line `{room},` in its alphabetical place"),
        ));
    }
    for name in names.iter().filter(|name| !rooms.contains(&name.as_str())) {
        found.push(Finding::new(
            LIST,
            line,
            format!("`{name}` is listed but plugins/{name}/ does not exist"),
            "remove the line, or make the room with `cargo xtask new-plugin`",
        ));
    }
}

/// The line of the `plugins! { ... }` call and the rooms in it.
pub(crate) fn listed(code: &str) -> Option<(usize, Vec<String>)> {
    // The macro's definition reads `macro_rules! plugins {`; only the call has the `!` behind it.
    let (at, call) = code.match_indices("plugins! {").next()?;
    let body = code[at + call.len()..].split('}').next()?;
    let names = body
        .split(',')
        .map(|name| {
            name.trim()
                .chars()
                .take_while(|c| is_word(*c))
                .collect::<String>()
        })
        .filter(|name| !name.is_empty())
        .collect();
    Some((line_of(code, at), names))
}
