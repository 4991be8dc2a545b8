//! Hits and misses: each connection asks for its next object when it has the last one.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::ask::{Connection, Fault};
use super::{PAUSE, Shared, WARM_PASSES, asked};
use crate::case::Asks;
use crate::client::ANSWER_LIMIT;

/// A connection and where it is on its walk through the objects.
pub(super) struct Walk {
    connection: Option<Connection>,
    next: u32,
}

impl Walk {
    /// The name of the next object.
    fn name(&mut self, shared: &Shared) -> String {
        let Asks::Hits { objects } = shared.asks else {
            return shared.new_name();
        };
        let name = (self.next % objects).to_string();
        self.next = (self.next + 1) % objects;
        name
    }
}

/// Opens the case's connections and sends a first request on each: neither connecting nor first buffers are part of
/// what a request on a kept connection costs.
pub(super) async fn open_all(shared: &Shared) -> Vec<Walk> {
    let mut walks = Vec::new();
    for at in 0..shared.load.connections {
        let next = match shared.asks {
            // They start apart, so that they do not all want the same object.
            Asks::Hits { objects } => at * objects / shared.load.connections.max(1),
            Asks::Misses {} | Asks::Groups { .. } => 0,
        };
        let connection = shared.open().await.map(Connection::new);
        let mut walk = Walk { connection, next };
        if !matches!(ask(shared, &mut walk).await, Some(Ok(Ok(())))) {
            walk.connection = None;
            shared.tally().connect_errors += 1;
        }
        walks.push(walk);
    }
    walks
}

/// Asks on all connections until the run is over.
pub(super) async fn run(shared: &Arc<Shared>, walks: Vec<Walk>) {
    let mut loops = JoinSet::new();
    for walk in walks {
        loops.spawn(keep_asking(Arc::clone(shared), walk));
    }
    while loops.join_next().await.is_some() {}
}

/// One connection, opened again when it breaks.
async fn keep_asking(shared: Arc<Shared>, mut walk: Walk) {
    while !shared.is_over() {
        let begin = Instant::now();
        let Some(answer) = ask(&shared, &mut walk).await else {
            walk.connection = shared.open().await.map(Connection::new);
            if walk.connection.is_none() {
                shared.tally().connect_errors += 1;
                // Not a wait for anything: it only bounds the rate.
                sleep(PAUSE).await;
            }
            continue;
        };
        let latency = begin.elapsed();
        let mut tally = shared.tally();
        match answer {
            Ok(Ok(())) => {
                tally.add(latency, shared.load.response_bytes);
                continue;
            }
            Ok(Err(Fault::Bad(_))) => {
                tally.add(latency, 0);
                tally.bad_answers += 1;
            }
            Ok(Err(Fault::Broken(_))) => tally.read_errors += 1,
            Err(_) => tally.timeouts += 1,
        }
        walk.connection = None;
    }
}

/// Asks for the next object of `walk`. None without a connection.
async fn ask(
    shared: &Shared,
    walk: &mut Walk,
) -> Option<Result<Result<(), Fault>, tokio::time::error::Elapsed>> {
    let name = walk.name(shared);
    let connection = walk.connection.as_mut()?;
    let asking = connection.ask(
        &shared.requests,
        &name,
        shared.load.response_bytes,
        &shared.bodies,
    );
    Some(timeout(ANSWER_LIMIT, asking).await)
}

/// Walks through all objects until the cache answers a whole walk alone. Fails when it does not learn to.
pub(super) async fn warm(shared: &Shared) -> Result<(), String> {
    let Asks::Hits { objects } = shared.asks else {
        return Ok(());
    };
    let mut fetched = 0;
    for _ in 0..WARM_PASSES {
        let before = asked(shared.origin).await?;
        for object in 0..objects {
            // A new connection each: the whole body is looked at.
            let connection = shared.open().await.map(Connection::new);
            let mut walk = Walk {
                connection,
                next: object,
            };
            match ask(shared, &mut walk).await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(fault))) => return Err(format!("object {object}: {fault}")),
                Some(Err(_)) => {
                    return Err(format!(
                        "object {object}: no answer within {ANSWER_LIMIT:?}"
                    ));
                }
                None => return Err("no connection".into()),
            }
        }
        fetched = asked(shared.origin).await?.saturating_sub(before);
        if fetched == 0 {
            return Ok(());
        }
    }
    Err(format!(
        "after {WARM_PASSES} walks the origin is still asked for {fetched} of {objects} objects"
    ))
}
