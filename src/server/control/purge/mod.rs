//! Purges: what an operator orders, and the stream of them between nodes.

mod names;
mod stream;

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Server;
use super::commands::{parse, refused};
use super::{Answer, json as reply};
use crate::cache::shared::{Kind, Scope};
use names::Names;
pub(super) use stream::{apply, since};

/// Most marks that one order sets.
const MOST: usize = 4_096;

/// An order: one kind of selector, with one name or several.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default)]
    url: Vec<String>,
    #[serde(default)]
    prefix: Vec<String>,
    #[serde(default)]
    host: Vec<String>,
    #[serde(default)]
    tag: Vec<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    soft: bool,
}

/// What is purged, as the operator named it and as the store knows it.
type Selected = (Vec<String>, Vec<Scope>);

/// Purges, and answers once that survives a crash.
pub(super) async fn order(server: &Server, body: &[u8]) -> Answer {
    let order: Order = match parse(body) {
        Ok(order) => order,
        Err(answer) => return *answer,
    };
    let snapshot = server.node.current.load();
    let (told, scopes) = match select(&order, &Names::of(&snapshot)) {
        Ok(selected) => selected,
        Err(why) => return refused(400, &why),
    };
    let Some(shared) = snapshot.cache.as_deref() else {
        return none();
    };
    let kind = if order.soft { Kind::Soft } else { Kind::Hard };
    let begun = Instant::now();
    let Ok(ordered) = shared.purge_all(&scopes, kind).await else {
        return refused(503, "another process takes over just now: ask again");
    };
    let mut answer = json!({
        "purged": scopes.len(),
        "kind": if order.soft { "soft" } else { "hard" },
        "scopes": told,
        "number": ordered.number,
        "ms": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "objects": shared.store().objects(),
    });
    log::info!("an operator purged {}", told.join(", "));
    match (ordered.journal, ordered.others) {
        (Ok(()), Ok(())) => reply(200, &answer),
        (Err(error), _) => {
            answer["error"] = not_journalled(error);
            reply(500, &answer)
        }
        (_, Err(why)) => {
            answer["error"] = json!(format!(
                "in force in this process, and perhaps not in another one: {why}; purge again"
            ));
            reply(500, &answer)
        }
    }
}

/// In force, and perhaps not for long.
fn not_journalled(error: farmgate_store::purge::TicketError) -> Value {
    json!(format!(
        "{error}: a crash may undo it; look at the cache's first folder, then purge again"
    ))
}

/// There is nothing to purge.
fn none() -> Answer {
    refused(
        409,
        "this node has no cache: there is no [cache] in its configuration, or it could not be opened (`farmgate status` says why)",
    )
}

fn select(order: &Order, names: &Names<'_>) -> Result<Selected, String> {
    let kinds: [(&str, &[String]); 4] = [
        ("url", &order.url),
        ("prefix", &order.prefix),
        ("host", &order.host),
        ("tag", &order.tag),
    ];
    let mut given = kinds.iter().filter(|(_, list)| !list.is_empty());
    let (kind, list) = match (given.next(), given.next(), order.all) {
        (None, None, true) => return Ok((vec!["everything".to_owned()], vec![Scope::All])),
        (Some((kind, list)), None, false) => (*kind, *list),
        (None, _, _) => {
            return Err("say what to purge: one of url, prefix, host, tag, all".to_owned());
        }
        _ => {
            return Err(
                "one order has one kind of selector: url, prefix, host, tag or all".to_owned(),
            );
        }
    };
    let mut scopes = Vec::new();
    let mut told = Vec::with_capacity(list.len());
    for text in list {
        let found = match kind {
            "url" => names.url(text),
            "prefix" => names.prefix(text),
            "host" => names.host(text),
            _ => names::tag(text),
        };
        for scope in found? {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        told.push(format!("{kind} {text}"));
        if scopes.len() > MOST {
            return Err(format!("too much for one order: more than {MOST} marks"));
        }
    }
    Ok((told, scopes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> Order {
        serde_json::from_str(text).expect("an order")
    }

    fn refusal(text: &str) -> String {
        select(&order(text), &Names::default()).expect_err("refused")
    }

    #[test]
    fn an_order_has_one_kind_of_selector() {
        assert!(refusal("{}").starts_with("say what to purge"));
        assert!(refusal(r#"{"soft":true}"#).starts_with("say what to purge"));
        for two in [
            r#"{"all":true,"tag":["a"]}"#,
            r#"{"host":["a.test"],"tag":["a"]}"#,
            r#"{"url":["http://a.test/"],"prefix":["a.test/"],"all":true}"#,
        ] {
            assert!(refusal(two).starts_with("one order has one kind"), "{two}");
        }
        let (told, scopes) =
            select(&order(r#"{"all":true}"#), &Names::default()).expect("everything");
        assert_eq!(
            (told, scopes),
            (vec!["everything".to_owned()], vec![Scope::All])
        );
    }

    #[test]
    fn several_of_one_kind_are_one_order() {
        let several = order(r#"{"tag":["a","b","a"]}"#);
        let (told, scopes) = select(&several, &Names::default()).expect("tags");
        assert_eq!(told, ["tag a", "tag b", "tag a"]);
        assert_eq!(scopes.len(), 2);
    }

    #[test]
    fn an_order_is_bounded() {
        let many: Vec<String> = (0..=MOST).map(|n| format!("\"{n}\"")).collect();
        let text = format!("{{\"tag\":[{}]}}", many.join(","));
        assert!(refusal(&text).starts_with("too much for one order"));
    }
}
