//! The stream of purges between nodes: numbered, and replayed as often as one likes.
//!
//! `GET /v1/purges?from=N` gives this node's own purges from number N on (1 without it), 256 at most:
//!
//! ```json
//! {"node": "6f0c…", "purges": [{"number": 7, "scope": {"tag": "01ab…"}, "kind": "hard", "at_ms": 1767225600000}], "next": 8}
//! ```
//!
//! That is what `POST /v1/purges` of another node takes. It answers how many were `new` and how many `known`, and
//! `missing_from`, the number to ask for next where there is a gap. A scope is `"all"` or one of `host`, `tag`, `url`,
//! `prefix`; names are marks (64 bits, 16 hexadecimal digits), equal on all nodes. 410 says that the number is not
//! kept any more: whoever was away so long purges everything, and goes on from `first`.

use std::fmt;

use farmgate_store::purge::Gone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::json;

use super::super::commands::{parse, refused};
use super::super::{Answer, json as reply};
use super::{none, not_journalled};
use crate::cache::shared::{Kind, Numbered, Purge, Scope};
use crate::server::Server;

/// Purges of one answer: as many as one command may bring to another node.
const MOST: usize = 256;

/// 64 bits as 16 hexadecimal digits: numbers of JSON have 53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark(u64);

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u64::from_str_radix(&text, 16) {
            Ok(value) if digits => Ok(Self(value)),
            _ => Err(de::Error::custom(format_args!(
                "{text:?} is not a mark: 16 hexadecimal digits"
            ))),
        }
    }
}

/// A scope, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ScopeWord {
    All,
    Host(Mark),
    Prefix { host: Mark, bytes: u32, hash: Mark },
    Tag(Mark),
    Url(Mark),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindWord {
    Hard,
    Soft,
}

/// A purge, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    number: u64,
    scope: ScopeWord,
    kind: KindWord,
    at_ms: u64,
}

impl Item {
    fn of(numbered: &Numbered) -> Self {
        let purge = &numbered.purge;
        Self {
            number: numbered.number,
            scope: match purge.scope {
                Scope::All => ScopeWord::All,
                Scope::Host(host) => ScopeWord::Host(Mark(host)),
                Scope::Prefix { host, len, hash } => ScopeWord::Prefix {
                    host: Mark(host),
                    bytes: len,
                    hash: Mark(hash),
                },
                Scope::Tag(tag) => ScopeWord::Tag(Mark(tag)),
                Scope::Url(url) => ScopeWord::Url(Mark(url)),
            },
            kind: match purge.kind {
                Kind::Hard => KindWord::Hard,
                Kind::Soft => KindWord::Soft,
            },
            at_ms: purge.at_ms,
        }
    }

    fn read(&self, node: Mark) -> Numbered {
        Numbered {
            node: node.0,
            number: self.number,
            purge: Purge {
                scope: match self.scope {
                    ScopeWord::All => Scope::All,
                    ScopeWord::Host(host) => Scope::Host(host.0),
                    ScopeWord::Prefix { host, bytes, hash } => Scope::Prefix {
                        host: host.0,
                        len: bytes,
                        hash: hash.0,
                    },
                    ScopeWord::Tag(tag) => Scope::Tag(tag.0),
                    ScopeWord::Url(url) => Scope::Url(url.0),
                },
                kind: match self.kind {
                    KindWord::Hard => Kind::Hard,
                    KindWord::Soft => Kind::Soft,
                },
                at_ms: self.at_ms,
            },
        }
    }
}

/// A part of a stream.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    node: Mark,
    purges: Vec<Item>,
    /// What the other node would give next; of no use here.
    #[serde(default, rename = "next")]
    _next: Option<u64>,
}

/// This node's own purges from a number on.
pub(in crate::server::control) fn since(server: &Server, query: Option<&str>) -> Answer {
    let from = match query.map(|query| query.strip_prefix("from=").map(str::parse)) {
        None => 1,
        Some(Some(Ok(from))) if from > 0 => from,
        Some(_) => return refused(400, "the query is from=N, a number from 1"),
    };
    let snapshot = server.node.current.load();
    let Some(shared) = snapshot.cache.as_deref() else {
        return none();
    };
    let node = Mark(shared.stream());
    match shared.purges_since(from, MOST) {
        Ok(purges) => {
            let next = purges.last().map_or(from, |last| last.number + 1);
            let purges: Vec<Item> = purges.iter().map(Item::of).collect();
            reply(
                200,
                &json!({ "node": node, "purges": purges, "next": next }),
            )
        }
        Err(Gone { first }) => reply(
            410,
            &json!({
                "error": format!("purges before number {first} are not kept: purge everything, and go on from there"),
                "node": node,
                "first": first,
            }),
        ),
    }
}

/// Applies purges of another node.
pub(in crate::server::control) async fn apply(server: &Server, body: &[u8]) -> Answer {
    let part: Part = match parse(body) {
        Ok(part) => part,
        Err(answer) => return *answer,
    };
    let snapshot = server.node.current.load();
    let Some(shared) = snapshot.cache.as_deref() else {
        return none();
    };
    if part.node.0 == shared.stream() {
        return refused(409, "these are this node's own purges");
    }
    let ordered = part
        .purges
        .windows(2)
        .all(|two| matches!(two, [one, next] if one.number < next.number));
    // 0 is this node in the journal.
    if part.node.0 == 0 || !ordered || part.purges.iter().any(|item| item.number == 0) {
        return refused(
            400,
            "purges have numbers from 1, each greater than the one before, and their node is not 0",
        );
    }
    let purges: Vec<Numbered> = part
        .purges
        .iter()
        .map(|item| item.read(part.node))
        .collect();
    let replayed = shared.replay(&purges).await;
    let mut answer = json!({
        "new": replayed.new,
        "known": replayed.known,
        "missing_from": replayed.missing_from,
        "too_many_nodes": replayed.too_many_nodes,
    });
    match replayed.journal {
        Ok(()) => reply(200, &answer),
        Err(error) => {
            answer["error"] = not_journalled(error);
            reply(500, &answer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_is_the_same_behind_its_words() {
        let scopes = [
            Scope::All,
            Scope::Host(1),
            Scope::Prefix {
                host: u64::MAX,
                len: 8,
                hash: 3,
            },
            Scope::Tag(4),
            Scope::Url(5),
        ];
        for (number, scope) in (1..).zip(scopes) {
            for kind in [Kind::Hard, Kind::Soft] {
                let numbered = Numbered {
                    node: 9,
                    number,
                    purge: Purge {
                        scope,
                        kind,
                        at_ms: 1_767_225_600_000,
                    },
                };
                let text = serde_json::to_string(&Item::of(&numbered)).expect("JSON");
                let item: Item = serde_json::from_str(&text).expect(&text);
                assert_eq!(item.read(Mark(9)), numbered, "{text}");
            }
        }
    }

    #[test]
    fn a_mark_has_sixteen_digits() {
        let read = |text: &str| serde_json::from_str::<Mark>(text);
        assert_eq!(read("\"00000000000000ff\"").ok(), Some(Mark(255)));
        for wrong in ["\"ff\"", "\"+0000000000000ff\"", "255", "\"\""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
