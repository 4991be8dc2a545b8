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
