//! An attempt in flight, counted at its endpoint from the choice to the end of the response.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::endpoint::Endpoint;
use super::limits::Gate;
use super::shared::UpstreamState;

/// A failed attempt counts in the latency average as at least this long. Otherwise an endpoint
/// that refuses at once would look like the fastest one.
const FAILURE_LATENCY: Duration = Duration::from_secs(1);

/// Counts one attempt as in flight until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the attempt"]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
    /// Only policies that bound the load need the sum over the upstream.
    sum: Option<Arc<UpstreamState>>,
    /// Who waits for a place at an endpoint is told that this one is free.
    gate: Option<Arc<Gate>>,
}

impl InFlight {
    /// Counts an attempt that starts now. `sum` also counts for the whole upstream.
    pub fn start(endpoint: Arc<Endpoint>, sum: Option<Arc<UpstreamState>>) -> Self {
        endpoint.state.start();
        if let Some(upstream) = &sum {
            upstream.add_in_flight();
        }
        Self {
            endpoint,
            sum,
            gate: None,
        }
    }

    /// With those who wait here for its end.
    pub fn with_gate(mut self, gate: &Arc<Gate>) -> Self {
        self.gate = Some(Arc::clone(gate));
        self
    }

    /// As [`start`](Self::start), unless `limit` attempts are in flight to the endpoint. Exact:
    /// however many threads ask, no more than `limit` guards that were made with it exist at once.
    pub fn try_start(
        endpoint: &Arc<Endpoint>,
        sum: Option<&Arc<UpstreamState>>,
        limit: Option<u32>,
    ) -> Option<Self> {
        match limit {
            Some(limit) if !endpoint.state.try_start(limit) => return None,
            Some(_) => {}
            None => endpoint.state.start(),
        }
        if let Some(upstream) = sum {
            upstream.add_in_flight();
        }
        Some(Self {
            endpoint: Arc::clone(endpoint),
            sum: sum.map(Arc::clone),
            gate: None,
        })
    }

    /// Records that the response's head came `elapsed` after the attempt began.
    pub fn answered(&self, now: Instant, elapsed: Duration) {
        self.endpoint.state.latency.observe(now, elapsed);
    }

    /// Records that the attempt failed after `elapsed`.
    pub fn failed(&self, now: Instant, elapsed: Duration) {
        let state = &self.endpoint.state;
        state.fail();
        state.latency.observe(now, elapsed.max(FAILURE_LATENCY));
    }

    /// The endpoint the attempt goes to.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.state.end();
        if let Some(upstream) = &self.sum {
            upstream.sub_in_flight();
        }
        if let Some(gate) = &self.gate {
            gate.freed();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn endpoint() -> Arc<Endpoint> {
        Arc::new(Endpoint {
            address: "10.0.0.1:80".parse().unwrap(),
            configured: "10.0.0.1:80".into(),
            weight: 1,
            priority: 0,
            zone: None,
            state: Arc::default(),
        })
    }

    #[test]
    fn the_guard_counts_and_uncounts() {
        let endpoint = endpoint();
        let state = &endpoint.state;
        let upstream = Arc::new(UpstreamState::default());
        let first = InFlight::start(endpoint.clone(), Some(upstream.clone()));
        let second = InFlight::start(endpoint.clone(), None);
        assert_eq!((state.in_flight(), upstream.in_flight()), (2, 1));
        drop(first);
        drop(second);
        assert_eq!((state.in_flight(), upstream.in_flight()), (0, 0));
        assert_eq!(state.requests_total(), 2);
    }

    #[test]
    fn a_quick_failure_does_not_look_fast() {
        let endpoint = endpoint();
        let state = &endpoint.state;
        let guard = InFlight::start(endpoint.clone(), None);
        let now = Instant::now();
        guard.answered(now, Duration::from_millis(5));
        guard.failed(now, Duration::from_micros(80));
        assert_eq!(state.latency_seconds(now), 1.0);
        assert_eq!(state.failures_total(), 1);
    }

    #[test]
    fn the_limit_is_exact_over_threads() {
        const LIMIT: u32 = 3;
        let endpoint = endpoint();
        let (held, most, refused) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut kept = Vec::new();
                    for turn in 0..50_000 {
                        match InFlight::try_start(&endpoint, None, Some(LIMIT)) {
                            Some(guard) => {
                                // Counted after the place is taken and uncounted before it is
                                // given back: never more than the guards that exist.
                                let now = held.fetch_add(1, Ordering::SeqCst) + 1;
                                most.fetch_max(now, Ordering::SeqCst);
                                kept.push(guard);
                            }
                            None => {
                                refused.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                        if turn % 3 == 0
                            && let Some(guard) = kept.pop()
                        {
                            held.fetch_sub(1, Ordering::SeqCst);
                            drop(guard);
                        }
                    }
                    held.fetch_sub(kept.len() as u32, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), LIMIT, "reached and not passed");
        assert!(refused.into_inner() > 0);
        assert_eq!(endpoint.state.in_flight(), 0);
        let all: Vec<_> = (0..9)
            .map_while(|_| InFlight::try_start(&endpoint, None, Some(LIMIT)))
            .collect();
        assert_eq!(all.len(), LIMIT as usize, "a place given back can be taken");
        assert!(InFlight::try_start(&endpoint, None, Some(0)).is_none());
    }
}
