//! What an audit log teaches: which rules match where, and how often.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};

use serde::Deserialize;

use super::path::{general, is_plain, target};

/// Proposals that are counted; what is seen for the first time later is not.
const MAX_ENTRIES: usize = 20_000;
/// Clients of a proposal that are told apart.
const MAX_CLIENTS: usize = 256;
/// Plugins of a log that are told apart.
const MAX_PLUGINS: usize = 100;
/// Most characters of a rule's message.
const MESSAGE_CHARS: usize = 120;

/// A line, as far as it is of use.
#[derive(Deserialize)]
struct Line {
    time: String,
    plugin: String,
    client: String,
    path: String,
    mode: String,
    verdict: String,
    rules: Vec<Matched>,
}

#[derive(Deserialize)]
struct Matched {
    id: u64,
    #[serde(default)]
    phase: u8,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    variable: String,
}

/// What is to be left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    rule: u64,
    target: String,
    /// None: on all paths.
    path: Option<String>,
}

#[derive(Default)]
struct Seen {
    requests: u64,
    refused: u64,
    clients: HashSet<u64>,
    message: String,
}

#[derive(Default)]
struct OfPlugin {
    lines: u64,
    seen: HashMap<Key, Seen>,
}

/// The counts of a log.
pub(super) struct Table {
    all: bool,
    plugins: BTreeMap<String, OfPlugin>,
    hasher: RandomState,
    entries: usize,
    lines: u64,
    passed_over: u64,
    unreadable: u64,
    left_out: u64,
    first: String,
    last: String,
}

impl Table {
    /// With `all`, lines of plugins that are on count too.
    pub(super) fn new(all: bool) -> Self {
        Self {
            all,
            plugins: BTreeMap::new(),
            hasher: RandomState::new(),
            entries: 0,
            lines: 0,
            passed_over: 0,
            unreadable: 0,
            left_out: 0,
            first: String::new(),
            last: String::new(),
        }
    }

    /// Takes a line of the log.
    pub(super) fn line(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            self.unreadable += 1;
            return;
        };
        if !self.all && line.mode != "detection_only" {
            self.passed_over += 1;
            return;
        }
        if !self.plugins.contains_key(&line.plugin) && self.plugins.len() >= MAX_PLUGINS {
            self.left_out += 1;
            return;
        }
        self.lines += 1;
        if self.first.is_empty() {
            self.first.clone_from(&line.time);
        }
        self.last = line.time;
        let client = self.hasher.hash_one(&line.client);
        let refused = line.verdict != "passed";
        let path = is_plain(&line.path).then(|| general(&line.path));
        let plugin = self.plugins.entry(line.plugin).or_default();
        plugin.lines += 1;
        let mut once = HashSet::new();
        for matched in line.rules {
            // Answers are not mended by leaving out what a request says.
            let Some(target) = target(&matched.variable).filter(|_| matched.phase != 5) else {
                continue;
            };
            let key = Key {
                rule: matched.id,
                target,
                path: path.clone(),
            };
            if !once.insert(key.clone()) {
                continue;
            }
            let seen = match plugin.seen.get_mut(&key) {
                Some(seen) => seen,
                None if self.entries >= MAX_ENTRIES => {
                    self.left_out += 1;
                    continue;
                }
                None => {
                    self.entries += 1;
                    plugin.seen.entry(key).or_default()
                }
            };
            seen.requests += 1;
            seen.refused += u64::from(refused);
            if seen.clients.len() < MAX_CLIENTS {
                seen.clients.insert(client);
            }
            if seen.message.is_empty() {
                let printable = matched.msg.chars().filter(|c| !c.is_control());
                seen.message = printable.take(MESSAGE_CHARS).collect();
            }
        }
    }

    /// The proposals for a plugin: TOML that goes into its table.
    pub(super) fn render(&self, plugin: Option<&str>, least: u64, most: usize) -> String {
        let mut out = String::new();
        let chosen = match plugin {
            Some(name) => self.plugins.get_key_value(name),
            None => self.plugins.iter().max_by_key(|(_, one)| one.lines),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "# From {} lines{}.",
            self.lines,
            match self.first.is_empty() {
                true => String::new(),
                false => format!(" of {} to {}", self.first, self.last),
            }
        );
        for (count, what) in [
            (
                self.passed_over,
                "lines of plugins that are on were passed over; --all takes them",
            ),
            (self.unreadable, "lines are none of an audit log"),
            (self.left_out, "matches were left out: the table is full"),
        ] {
            if count > 0 {
                let _ = writeln!(out, "# {count} {what}.");
            }
        }
        let Some((name, chosen)) = chosen else {
            out.push_str("# Nothing to propose.\nexclude = []");
            return out;
        };
        let others: Vec<_> = self.plugins.keys().filter(|one| *one != name).collect();
        let _ = writeln!(
            out,
            "# For plugin {name:?}. Look at each before you take it: an attack matches, too."
        );
        if !others.is_empty() {
            let _ = writeln!(out, "# Also in this log, see --plugin: {others:?}.");
        }
        let mut proposals: Vec<_> = chosen
            .seen
            .iter()
            .filter(|(_, seen)| seen.requests >= least)
            .collect();
        proposals.sort_by(|(key, seen), (other, than)| {
            than.requests
                .cmp(&seen.requests)
                .then_with(|| key.cmp(other))
        });
        let more = proposals.len().saturating_sub(most);
        out.push_str("exclude = [\n");
        for (key, seen) in proposals.into_iter().take(most) {
            let clients = match seen.clients.len() {
                MAX_CLIENTS => format!("{MAX_CLIENTS} or more"),
                count => count.to_string(),
            };
            let _ = writeln!(
                out,
                "  # {} requests of {clients} clients, {} of them refused or to be refused: {}",
                seen.requests, seen.refused, seen.message
            );
            let paths = match &key.path {
                Some(path) => format!(", paths = [{}]", quoted(path)),
                None => String::new(),
            };
            let _ = writeln!(
                out,
                "  {{ rule = {}, target = {}{paths} }},",
                key.rule,
                quoted(&key.target)
            );
        }
        out.push(']');
        if more > 0 {
            let _ = write!(out, "\n# {more} more were seen less often; see --most.");
        }
        out
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(mode: &str, path: &str, client: u32, rules: &str) -> String {
        format!(
            r#"{{"time":"2026-01-01T00:00:00.000Z","request_id":"x","plugin":"waf","client":"192.0.2.{client}","path":"{path}","mode":"{mode}","verdict":"would_block","rules":[{rules}]}}"#
        )
    }

    const SQLI: &str = r#"{"id":942100,"phase":2,"msg":"SQL","variable":"ARGS:q"}"#;
    const SCORE: &str = r#"{"id":949110,"phase":2,"variable":"TX:blocking_inbound_anomaly_score"}"#;

    #[test]
    fn the_most_frequent_comes_first_and_it_is_toml() {
        let mut table = Table::new(false);
        for n in 0..3 {
            let twice = format!("{SQLI},{SQLI},{SCORE}");
            table.line(line("detection_only", &format!("/items/{n}"), n % 2, &twice).as_bytes());
        }
        let other = r#"{"id":1,"phase":1,"variable":"ARGS:a\\b"}"#;
        table.line(line("detection_only", "/a", 9, other).as_bytes());
        table.line(line("on", "/b", 9, SQLI).as_bytes());
        table.line(b"no line\n");
        let text = table.render(None, 1, 10);
        let parsed: toml::Table = text.parse().unwrap();
        let proposals = parsed["exclude"].as_array().unwrap();
        assert_eq!(proposals.len(), 2, "{text}");
        assert_eq!(proposals[0]["rule"].as_integer(), Some(942100));
        assert_eq!(proposals[0]["target"].as_str(), Some("ARGS:q"));
        assert_eq!(proposals[0]["paths"][0].as_str(), Some("/items/{id}"));
        assert_eq!(proposals[1]["target"].as_str(), Some("ARGS"));
        assert!(
            text.contains("3 requests of 2 clients, 3 of them"),
            "{text}"
        );
        assert!(
            text.contains("1 lines of plugins that are on") && text.contains("1 lines are none"),
            "{text}"
        );
        let cut = table.render(Some("waf"), 1, 1);
        assert!(cut.contains("# 1 more were seen"), "{cut}");
        assert!(!table.render(None, 2, 10).contains("rule = 1,"));
        let all = table.render(Some("other"), 1, 1);
        assert!(all.contains("exclude = []"), "{all}");
    }

    #[test]
    fn tables_are_bounded() {
        let mut table = Table::new(false);
        for n in 0..MAX_ENTRIES + 10 {
            let rule = format!(r#"{{"id":{n},"phase":2,"variable":"ARGS:q"}}"#);
            table.line(line("detection_only", "/", 1, &rule).as_bytes());
        }
        assert_eq!(table.entries, MAX_ENTRIES);
        assert_eq!(table.left_out, 10);
    }
}
