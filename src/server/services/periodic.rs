//! Tasks that the host runs again and again for a plugin.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use farmgate_plugin_api::services::{Counter, HostFuture};
use futures_util::FutureExt;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::upstream::balance::random::{below, next_u64};

/// Shorter periods count as this long.
const SHORTEST: Duration = Duration::from_millis(10);

/// Longer periods count as this long: a year.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// The first turns of many tasks are spread over at most this time.
const LONGEST_SPREAD: Duration = Duration::from_secs(1);

/// Runs `task` until it is aborted. The first turn comes when the configuration is published, or
/// after one period if nobody says so; the next ones a period after the one before began, a tenth
/// more or less, so that many nodes do not ask one server at the same moment. A turn that takes
/// longer than the period delays the next: two never overlap. A panic ends its turn only.
pub(super) async fn run(
    plugin: Arc<str>,
    period: Duration,
    task: Box<dyn Fn() -> HostFuture<()> + Send + Sync>,
    mut published: Receiver<u64>,
    panics: Arc<dyn Counter>,
) {
    let period = period.clamp(SHORTEST, LONGEST);
    let _ = timeout(period, published.changed()).await;
    sleep(share((period / 10).min(LONGEST_SPREAD))).await;
    loop {
        let next = Instant::now() + period - period / 10 + share(period / 5);
        let turn = match catch_unwind(AssertUnwindSafe(&task)) {
            Ok(turn) => AssertUnwindSafe(turn).catch_unwind().await,
            Err(panic) => Err(panic),
        };
        if turn.is_err() {
            panics.add(1);
            log::error!("a periodic task of plugin {plugin} panicked");
        }
        sleep_until(next).await;
    }
}

/// A random part of `whole`.
fn share(whole: Duration) -> Duration {
    let ns = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(below(next_u64(), ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::sync::watch;

    #[derive(Default)]
    struct Count(AtomicU64);

    impl Counter for Count {
        fn add(&self, n: u64) {
            self.0.fetch_add(n, Ordering::Relaxed);
        }
    }

    const PERIOD: Duration = Duration::from_secs(60);

    /// Runs for `whole`; gives when turns began, in seconds, and the panics.
    async fn turns(turn: Duration, publish: bool, whole: Duration) -> (Vec<f64>, u64) {
        let began = Instant::now();
        let seen: Arc<Mutex<Vec<f64>>> = Arc::default();
        let panics = Arc::new(Count::default());
        let sender = watch::Sender::new(0);
        let task = {
            let seen = Arc::clone(&seen);
            move || -> HostFuture<()> {
                let count = {
                    let mut seen = seen.lock();
                    seen.push(began.elapsed().as_secs_f64());
                    seen.len()
                };
                assert_ne!(count, 2, "the second turn fails before it waits");
                Box::pin(async move {
                    sleep(turn).await;
                    assert_ne!(count, 3, "the third turn fails after it");
                })
            }
        };
        let run = run(
            "p".into(),
            PERIOD,
            Box::new(task),
            sender.subscribe(),
            Arc::clone(&panics) as Arc<dyn Counter>,
        );
        if publish {
            sender.send_modify(|count| *count += 1);
        }
        let _ = timeout(whole, run).await;
        let seen = seen.lock().clone();
        (seen, panics.0.load(Ordering::Relaxed))
    }

    fn pauses(seen: &[f64]) -> Vec<f64> {
        seen.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_about_every_period_and_survive_panics() {
        let (seen, panics) = turns(Duration::from_secs(1), true, PERIOD * 20).await;
        assert!(seen[0] <= 1.1, "{seen:?}");
        assert!((18..=23).contains(&seen.len()), "{seen:?}");
        let pauses = pauses(&seen);
        assert!(
            pauses.iter().all(|p| (53.9..=66.1).contains(p)),
            "{pauses:?}"
        );
        assert!(
            pauses.windows(2).any(|pair| pair[0] != pair[1]),
            "no jitter"
        );
        assert_eq!(panics, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_runs_before_publication_but_it_does_not_wait_for_ever() {
        let (seen, _) = turns(Duration::ZERO, false, PERIOD / 2).await;
        assert!(seen.is_empty());
        let (seen, _) = turns(Duration::ZERO, false, PERIOD + LONGEST_SPREAD * 2).await;
        assert_eq!(seen.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_never_overlap() {
        let (seen, _) = turns(PERIOD * 3, true, PERIOD * 12).await;
        // The second turn ended at once, in its panic. Timers count whole milliseconds.
        let pauses = pauses(&seen);
        assert!(pauses[0] >= 179.9 && pauses[2] >= 179.9, "{pauses:?}");
    }
}
