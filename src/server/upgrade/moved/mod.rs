//! The state that moves: what the old process knows and the new one goes on with.
//!
//! [`parts`] has what moves and what is freed, [`records`] the form. `docs/internals/upgrade-state.md` says why each
//! thing moves or stays.

mod guards;
pub mod parts;
pub mod records;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::Value;

use crate::proxy::connection::Node;
use crate::server::history::History;
use crate::server::services::Host;
use crate::server::{Server, allocator};
use crate::state::State;
use crate::telemetry::metrics::{self, Counts, Metrics};
use crate::upstream::discovery::Resolver;
use parts::{COUNTERS, PARTS};
use records::{Chunk, Given, Incoming, Records};

/// Most bytes of counts in one message.
const COUNTS_BYTES: usize = 192 * 1024;
/// Most bytes of counts in one record: what one that cannot be read costs.
const RECORD_BYTES: usize = 64 * 1024;

/// What parts may look at.
#[derive(Clone, Copy)]
pub struct World<'w> {
    /// What requests use.
    pub node: &'w Node,
    /// State by identity.
    pub state: &'w State,
    /// Names.
    pub resolver: &'w Resolver,
    /// Earlier configurations.
    pub history: &'w Mutex<History>,
    /// Plugin services.
    pub host: &'w Host,
}

impl<'w> World<'w> {
    /// That of a running node.
    pub fn of(server: &'w Server) -> Self {
        Self {
            node: &server.node,
            state: &server.state,
            resolver: &server.resolver,
            history: &server.history,
            host: &server.host,
        }
    }
}

/// What was counted before, so that only what came after is told.
#[derive(Default)]
pub struct Tally(metrics::Tally);

impl Tally {
    /// What was counted since the last time, in pieces that fit a message; `Null` when it was nothing.
    pub fn since(&mut self, metrics: &Metrics) -> Vec<Value> {
        let pieces = self.0.since(metrics, COUNTS_BYTES).into_iter();
        // Numbers and text always have a form.
        let pieces = pieces.map(|counts| serde_json::to_value(counts).unwrap_or_default());
        let pieces: Vec<_> = pieces.collect();
        if pieces.is_empty() {
            vec![Value::Null]
        } else {
            pieces
        }
    }
}

/// The state of this process, at this moment. It may take a while: not for threads that serve.
pub fn take(world: &World<'_>) -> (Vec<Chunk>, Tally) {
    let mut records = Records::default();
    let mut tally = Tally::default();
    for part in PARTS {
        records.begin(part.name(), part.version());
        if part.name() == COUNTERS {
            let counted = tally.0.since(world.node.metrics.as_ref(), RECORD_BYTES);
            counted.iter().for_each(|counts| records.put(counts));
        } else {
            part.take(world, &mut records);
        }
    }
    let (chunks, left_out) = records.done();
    if !left_out.is_empty() {
        let told: Vec<_> = left_out
            .iter()
            .map(|(part, n)| format!("{part} {n}"))
            .collect();
        log::warn!(
            "upgrade: state that has no room stays behind: {}",
            told.join(", ")
        );
    }
    (chunks, tally)
}

/// Takes over the state of an old process, before the first client. Returns what came of it, for the log.
pub fn give(world: &World<'_>, mut moved: Incoming) -> String {
    let age = moved.age(Instant::now());
    let (mut taken, mut skipped) = (Vec::new(), Vec::new());
    for part in PARTS {
        let name = part.name();
        let Some(stream) = moved.take(name) else {
            continue;
        };
        if stream.version > part.version() {
            let (theirs, ours) = (stream.version, part.version());
            skipped.push(format!("{name}: version {theirs}, {ours} is known here"));
            continue;
        }
        let mut given = Given::new(&stream.text.0, age);
        part.give(world, &mut given);
        let (took, left) = given.report(name);
        taken.extend(took);
        skipped.extend(left);
    }
    let (unknown, bytes) = moved.rest();
    skipped.extend(unknown.iter().map(|name| format!("{name}: unknown here")));
    if bytes > 0 {
        skipped.push(format!("{bytes} bytes over the bound"));
    }
    let told = |list: Vec<String>| match list.is_empty() {
        true => "nothing".to_owned(),
        false => list.join(", "),
    };
    let (taken, skipped) = (told(taken), told(skipped));
    format!("taken over from the old process: {taken}; not taken over: {skipped}")
}

/// The other process serves: frees what requests under way do not need.
pub fn let_go(world: &World<'_>) {
    for part in PARTS {
        part.let_go(world);
    }
    allocator::give_back();
    allocator::give_back_by_itself();
}

/// Adds what an old process has counted.
pub fn add_counted(metrics: &Arc<Metrics>, counted: Value) {
    if counted.is_null() {
        return;
    }
    match serde_json::from_value::<Counts>(counted) {
        Ok(counts) => {
            let added = metrics.add(&counts);
            if added.dropped > 0 {
                // Said once already, when the state was taken over.
                log::debug!(
                    "{} series of an old process are not counted here",
                    added.dropped
                );
            }
        }
        Err(_) => log::warn!("what an old process counted is not readable here and is lost"),
    }
}
