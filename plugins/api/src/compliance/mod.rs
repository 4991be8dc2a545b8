//! What every plugin kind must pass, and the fakes to test one with.
//!
//! A room's test is one line for all of it:
//!
//! ```text
//! assert_eq!(compliance::failures(KIND, &FakeServices::new), Vec::<String>::new());
//! ```

mod calls;
mod documents;
mod fake;
mod files;
mod host;
mod hostile;
mod json;
mod kept;
mod sent;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::decode::{Diagnostics, Node, SourceFile, Table, Value};
use crate::kind::{Built, Kind};
use crate::verdict::{Answer, Verdict};

pub use fake::{FakeHeaders, FakeRequest, FakeResponse, FakeUpstreamRequest};
pub use host::{FakeServices, ManualClock};
pub use json::Json;

/// Checks a kind against the rules that hold for all of them. Returns what is wrong; nothing when
/// the kind complies. `host` makes a host with the files and upstreams that the example names.
///
/// The rules: the name is snake_case. The example builds without a diagnostic. An unknown option is
/// an error at its place. The schema is JSON, refuses unknown options, describes each option and
/// has exactly those that the decoder knows. The README has its headings and names every option and
/// metric. The filter's phases never change. No call panics, whatever a client or an origin sends,
/// no reply and no edit touches a field that frames messages, and no target loses its slash. State that
/// goes along with an upgrade is saved within its bound, restored whole, and safe against any bytes.
pub fn failures(kind: &dyn Kind, host: &dyn Fn() -> FakeServices) -> Vec<String> {
    let mut wrong = Vec::new();
    let tables = match example_tables(kind.example(), kind.name()) {
        Ok(tables) => tables,
        Err(text) => {
            wrong.push(format!("the example is not TOML: {text}"));
            Vec::new()
        }
    };
    if tables.is_empty() {
        wrong.push("the example does not use the kind".to_owned());
    }
    documents::check(kind, &mut wrong);
    for table in &tables {
        let services = host();
        let mut diagnostics = Diagnostics::new();
        let built = kind.build("example", table, &services, &mut diagnostics);
        for diagnostic in &diagnostics {
            wrong.push(format!("the example is refused: {diagnostic}"));
        }
        documents::check_metrics(kind, &services.metrics(), &mut wrong);
        match built {
            Some(built) => {
                calls::check(&*built.filter, &mut wrong);
                let fresh = host();
                // Held until the end, as a snapshot holds it.
                let _other = kind.build("example", table, &fresh, &mut Diagnostics::new());
                kept::check(&services, &fresh, &mut wrong);
            }
            None => wrong.push("the example does not build".to_owned()),
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

/// Builds a plugin from the text of its table, as the tests of rooms do.
///
/// # Errors
/// What the decoder or the kind says of the table, warnings too.
pub fn build(kind: &dyn Kind, table: &str, services: &FakeServices) -> Result<Built, String> {
    let source = SourceFile::new("test.toml", table, "");
    let table = Table::parse(&source).map_err(|errors| errors.to_string())?;
    let mut diagnostics = Diagnostics::new();
    let built = kind.build("test", &table, services, &mut diagnostics);
    built
        .filter(|_| diagnostics.is_empty())
        .ok_or_else(|| diagnostics.to_string())
}

/// The verdict of an answer. A wait is driven here; one that stays pending is an error verdict,
/// since fakes are always ready.
pub fn verdict(answer: Answer<'_>) -> Verdict {
    match answer {
        Answer::Now(verdict) => verdict,
        Answer::Wait(future) => drive(future).unwrap_or_else(|| {
            Verdict::Error(crate::FilterError::new("the filter waits for ever"))
        }),
    }
}

/// Drives a future that only waits for fakes; none if it does not end.
fn drive<T>(future: impl Future<Output = T>) -> Option<T> {
    const MAX_POLLS: usize = 1000;
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..MAX_POLLS).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    })
}

/// The tables of this kind in a complete configuration: named ones, and those in lists of plugins.
fn example_tables(example: &str, kind: &str) -> Result<Vec<Table>, String> {
    let source = SourceFile::new("example.toml", example, "");
    let root = Table::parse(&source).map_err(|errors| errors.to_string())?;
    let mut found = Vec::new();
    for entry in root.entries() {
        collect(&root, &entry.node, kind, &mut found);
    }
    Ok(found)
}

fn collect(root: &Table, node: &Node, kind: &str, found: &mut Vec<Table>) {
    match &node.value {
        Value::Array(items) => {
            for item in items.iter() {
                collect(root, item, kind, found);
            }
        }
        Value::Table(entries) => {
            let of_kind = entries.iter().any(|entry| {
                let text =
                    matches!(&entry.node.value, Value::Text { value, .. } if **value == *kind);
                text && &*entry.key == "kind"
            });
            match Table::of(root.source().clone(), node) {
                Some(table) if of_kind => found.push(table.without(&["name", "kind", "fail"])),
                _ => {
                    for entry in entries.iter() {
                        collect(root, &entry.node, kind, found);
                    }
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
