//! The clients of HTTP/1.1. None asks twice for the same thing: what fails is counted, and the next
//! request is another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::http1::{After, Connection, Idle};
use super::kind::{Kind, order};
use super::tally::Failure;
use super::{AFTER_FAILURE, Shared};

/// Between two requests of a client with time to think.
const THINK: Duration = Duration::from_millis(600);
/// Between two connections of a client that opens one for each request.
const FRESH_PAUSE: Duration = Duration::from_millis(10);
/// How long any exchange may take; the slowest are made to take 2.25 s.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// One client, until time is over.
pub(super) async fn ask(shared: Arc<Shared>, kind: Kind, client: usize) {
    let tally = shared.tally(kind);
    let pause = match kind {
        Kind::Think => THINK,
        Kind::Fresh => FRESH_PAUSE,
        _ => shared.pause,
    };
    let mut kept: Option<Connection> = None;
    let mut number = client as u64 * 131;
    while !shared.is_over() {
        number += 1;
        match one(&shared, kind, client, number, kept.take()).await {
            Ok(open) => kept = open,
            Err(failure) => {
                tally.fail(&failure);
                shared.pause(AFTER_FAILURE).await;
                continue;
            }
        }
        let Some(mut connection) = kept.take() else {
            shared.pause(pause).await;
            continue;
        };
        let idle = tokio::select! {
            idle = connection.idle(Instant::now() + pause) => idle,
            () = shared.over() => return,
        };
        match idle {
            Idle::Open => kept = Some(connection),
            // On a network this close would have crossed our next request.
            Idle::Closed(before) if before <= shared.flight => {
                tally.fail(&Failure::broken("closed just as the next request was due"));
                shared.pause(AFTER_FAILURE).await;
            }
            Idle::Closed(before) => {
                tally.closed_idle();
                shared.pause(before).await;
            }
            Idle::Unasked(bytes) => {
                tally.fail(&Failure::broken(format!("nobody asked for: {bytes}")));
            }
        }
    }
}

/// One exchange, on the kept connection if there is one. Gives back the connection if it may be used again.
async fn one(
    shared: &Shared,
    kind: Kind,
    client: usize,
    number: u64,
    kept: Option<Connection>,
) -> Result<Option<Connection>, Failure> {
    let tally = shared.tally(kind);
    let (order, expected) = order(kind, &shared.host, number);
    let begin = Instant::now();
    let mut connection = match kept {
        Some(connection) => connection,
        None => {
            let connection = Connection::new(shared.http1.open(client).await?);
            tally.connected();
            connection
        }
    };
    let after = timeout(ANSWER_LIMIT, connection.exchange(&order, &expected))
        .await
        .map_err(|_| Failure::broken(format!("no whole answer in {ANSWER_LIMIT:?}")))?
        .map_err(Failure::Broken)?;
    tally.ok(begin.elapsed());
    Ok(match after {
        After::Open => Some(connection),
        After::Closing => None,
    })
}
