//! Decoding that does not stop at the first mistake.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::current::Run;
use super::deserializer::NodeDeserializer;
use super::diagnostic::Diagnostics;
use super::table::Table;

/// Most mistakes of one table that are reported.
const MAX_MISTAKES: usize = 100;

/// Decodes a table; every mistake in it goes to `diagnostics`, at its own key or value.
///
/// serde stops at the first mistake. So the entry that holds it is passed over and the table decoded
/// again, until it decodes or a mistake concerns all of it. What only follows from an entry that was
/// passed over (its key is missing now, a list is empty now) is not reported.
pub fn decode<T: DeserializeOwned>(table: &Table, diagnostics: &mut Diagnostics) -> Option<T> {
    let run = Rc::new(Run {
        source: Arc::clone(table.source()),
        skipped: Default::default(),
    });
    let node = table.node();
    let mut hurt = BTreeSet::new();
    let mut suggested = BTreeSet::new();
    let mut clean = true;
    for _ in 0..MAX_MISTAKES {
        let error = match T::deserialize(NodeDeserializer {
            run: &run,
            node: &node,
        }) {
            Ok(value) => return clean.then_some(value),
            Err(error) => error,
        };
        clean = false;
        let entry = error.entry();
        if let (Some(word), Some((_, holder))) = (error.meant(), entry) {
            suggested.insert((holder, word));
        }
        let follows = match (error.whole(), error.missing()) {
            (Some(whole), Some(key)) => {
                error.was_written() || suggested.contains(&(whole, key.to_owned()))
            }
            (Some(whole), None) => hurt.contains(&whole),
            (None, _) => false,
        };
        if !follows {
            let place = table.place_of(error.span().unwrap_or(node.span));
            diagnostics.push(error.report(&place));
        }
        let Some((entry, holder)) = entry else {
            break;
        };
        hurt.insert(holder);
        if !run.skipped.borrow_mut().insert(entry) {
            break;
        }
    }
    None
}
