//! Work of plugins that no request waits for.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use farmgate_plugin_api::services::{self, Busy, Counter, HostFuture, MAX_BACKGROUND_TIME};
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Tasks of all plugins that run at once.
const MAX_TASKS: usize = 4_096;

/// The places of all background tasks of the process.
pub(super) struct Tasks {
    runtime: Handle,
    places: Arc<Semaphore>,
}

impl Tasks {
    pub(super) fn new(runtime: Handle) -> Arc<Self> {
        Self::with(runtime, MAX_TASKS)
    }

    fn with(runtime: Handle, most: usize) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            places: Arc::new(Semaphore::new(most)),
        })
    }
}

/// One plugin's end of them.
pub(super) struct Background {
    pub(super) tasks: Arc<Tasks>,
    pub(super) plugin: Arc<str>,
    pub(super) panics: Arc<dyn Counter>,
}

impl services::Background for Background {
    fn run(&self, task: HostFuture<()>) -> Result<(), Busy> {
        let place = Arc::clone(&self.tasks.places).try_acquire_owned();
        let place = place.map_err(|_| Busy)?;
        let (plugin, panics) = (Arc::clone(&self.plugin), Arc::clone(&self.panics));
        self.tasks.runtime.spawn(async move {
            let _place = place;
            match timeout(MAX_BACKGROUND_TIME, AssertUnwindSafe(task).catch_unwind()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    panics.add(1);
                    log::error!("a background task of plugin {plugin} panicked");
                }
                Err(_) => log::warn!("a background task of plugin {plugin} took too long"),
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farmgate_plugin_api::services::Background as _;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::sync::oneshot;

    #[derive(Default)]
    struct Count(AtomicU64);

    impl Counter for Count {
        fn add(&self, n: u64) {
            self.0.fetch_add(n, Ordering::Relaxed);
        }
    }

    fn background(most: usize) -> (Background, Arc<Count>) {
        let panics = Arc::new(Count::default());
        let background = Background {
            tasks: Tasks::with(Handle::current(), most),
            plugin: "p".into(),
            panics: Arc::clone(&panics) as Arc<dyn Counter>,
        };
        (background, panics)
    }

    #[tokio::test]
    async fn more_than_fits_is_refused_and_a_panic_gives_its_place_back() {
        let (background, panics) = background(1);
        let (go, wait) = oneshot::channel::<()>();
        let (done, over) = oneshot::channel::<()>();
        let task: HostFuture<()> = Box::pin(async move {
            let _ = wait.await;
            let _done = done;
            std::panic::resume_unwind(Box::new("no"));
        });
        assert_eq!(background.run(task), Ok(()));
        assert_eq!(background.run(Box::pin(async {})), Err(Busy));
        go.send(()).unwrap();
        assert!(over.await.is_err());
        // The task's end gives the place back: this waits for that and for nothing else.
        let place = background.tasks.places.acquire().await.unwrap();
        assert_eq!(panics.0.load(Ordering::Relaxed), 1);
        drop(place);
        assert_eq!(background.run(Box::pin(async {})), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_never_ends_is_ended() {
        let (background, _) = background(1);
        let forever: HostFuture<()> = Box::pin(std::future::pending());
        assert_eq!(background.run(forever), Ok(()));
        let begun = tokio::time::Instant::now();
        let _place = background.tasks.places.acquire().await.unwrap();
        assert!(begun.elapsed() >= MAX_BACKGROUND_TIME);
    }
}
