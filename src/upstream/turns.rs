//! Who opens the next HTTP/2 connection to an endpoint, so that a burst of requests shares one.
//!
//! Requests that find no connection with room come here. While a connection is being made that will have room for
//! them, they wait for it; when it stands they look again, and when it fails each goes on by itself, so that a dead
//! endpoint costs nobody more than two connect times.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::endpoint::EndpointState;

/// The turns of one endpoint.
#[derive(Debug, Default)]
pub struct Turns {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Connections being made by requests that have a turn.
    connecting: usize,
    /// Requests that wait for one of them.
    waiting: usize,
    /// Connections that stand, of requests whose turn has not ended.
    standing: usize,
    /// Turns that ended without a connection.
    failed: u64,
    /// The last connection agreed on HTTP/1.1, on which nothing can be shared.
    http1: bool,
}

/// Leave to connect. Dropped when the connection can be found by others, or has failed.
#[derive(Debug)]
pub struct Turn {
    endpoint: Option<Arc<EndpointState>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.turns.end();
        }
    }
}

impl Turns {
    /// A connection was made; `http2` says what it speaks.
    pub fn connected(&self, http2: bool) {
        let mut state = self.state.lock();
        state.http1 = !http2;
        if state.standing < state.connecting {
            state.standing += 1;
        }
    }

    /// A turn ends: its connection can be found now, or there is none.
    fn end(&self) {
        let mut state = self.state.lock();
        state.connecting -= 1;
        match state.standing.checked_sub(1) {
            Some(less) => state.standing = less,
            None => state.failed += 1,
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

impl EndpointState {
    /// Waits, until `end` at most, for a connection that somebody else makes. `None`: one was made, look whether it
    /// has room. `Some`: connect. A connection carries `streams` requests.
    pub async fn turn(self: &Arc<Self>, streams: usize, end: Instant) -> Option<Turn> {
        let turns = &self.turns;
        let changed = turns.changed.notified();
        let mut changed = std::pin::pin!(changed);
        // Before the look at the state: nothing that happens in between is missed.
        changed.as_mut().enable();
        let take = |state: &mut State| {
            state.connecting += 1;
            let endpoint = Some(Arc::clone(self));
            Some(Turn { endpoint })
        };
        let failed = {
            let mut state = turns.state.lock();
            if state.http1 {
                return Some(Turn { endpoint: None });
            }
            if state.waiting >= state.connecting.saturating_mul(streams) {
                return take(&mut state);
            }
            state.waiting += 1;
            state.failed
        };
        let waiting = Waiting(turns);
        let in_time = tokio::time::timeout_at(end.into(), changed).await.is_ok();
        drop(waiting);
        let mut state = turns.state.lock();
        if in_time && state.failed == failed {
            return None;
        }
        take(&mut state)
    }
}

/// Counts a request that waits, also when it goes away.
struct Waiting<'t>(&'t Turns);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// Starts a request and runs it until it waits or has its turn.
    async fn asking(
        endpoint: &Arc<EndpointState>,
        streams: usize,
    ) -> tokio::task::JoinHandle<Option<Turn>> {
        let endpoint = Arc::clone(endpoint);
        let task = tokio::spawn(async move { endpoint.turn(streams, soon()).await });
        tokio::task::yield_now().await;
        task
    }

    #[tokio::test]
    async fn one_connects_and_the_others_share() {
        let endpoint = Arc::new(EndpointState::default());
        let first = endpoint.turn(2, soon()).await.expect("the first connects");
        let second = asking(&endpoint, 2).await;
        let third = asking(&endpoint, 2).await;
        let fourth = endpoint
            .turn(2, soon())
            .await
            .expect("no room for it on the first");
        endpoint.turns.connected(true);
        drop(first);
        assert!(second.await.unwrap().is_none(), "it looks again");
        assert!(third.await.unwrap().is_none());
        drop(fourth);
        let state = endpoint.turns.state.lock();
        assert_eq!((state.connecting, state.waiting), (0, 0));
    }

    #[tokio::test]
    async fn after_a_failure_nobody_waits_in_line() {
        let endpoint = Arc::new(EndpointState::default());
        let first = endpoint
            .turn(100, soon())
            .await
            .expect("the first connects");
        let second = asking(&endpoint, 100).await;
        let third = asking(&endpoint, 100).await;
        drop(first);
        let (second, third) = (second.await.unwrap(), third.await.unwrap());
        assert!(second.is_some() && third.is_some(), "both connect at once");
    }

    #[tokio::test]
    async fn http1_is_never_waited_for() {
        let endpoint = Arc::new(EndpointState::default());
        endpoint.turns.connected(false);
        let _first = endpoint.turn(100, soon()).await.expect("connects");
        let _second = endpoint
            .turn(100, soon())
            .await
            .expect("connects beside it");
        assert_eq!(endpoint.turns.state.lock().connecting, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_and_a_request_that_goes_away_is_not_counted() {
        let endpoint = Arc::new(EndpointState::default());
        let _first = endpoint
            .turn(100, soon())
            .await
            .expect("the first connects");
        assert!(endpoint.turn(100, Instant::now()).await.is_some());
        let gone = asking(&endpoint, 100).await;
        gone.abort();
        assert!(gone.await.is_err());
        assert_eq!(endpoint.turns.state.lock().waiting, 0);
    }
}
