//! Blocking and heavy work, off the threads that serve.

use std::any::Any;
use std::sync::Arc;
use std::thread::available_parallelism;

use farmgate_plugin_api::services::{self, Busy, HostFuture, Work};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Work that may run at once, for each core.
const RUNNING_PER_CORE: usize = 2;

/// Work that may wait, for each core. More would be answered later than anybody waits.
const WAITING_PER_CORE: usize = 64;

/// A bounded pool over the runtime's blocking threads.
pub(super) struct Offload {
    runtime: Handle,
    /// Running and waiting together.
    places: Arc<Semaphore>,
    threads: Arc<Semaphore>,
}

impl Offload {
    pub(super) fn new(runtime: Handle) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self::with(runtime, cores * RUNNING_PER_CORE, cores * WAITING_PER_CORE)
    }

    fn with(runtime: Handle, running: usize, waiting: usize) -> Self {
        Self {
            runtime,
            places: Arc::new(Semaphore::new(running + waiting)),
            threads: Arc::new(Semaphore::new(running)),
        }
    }

    /// Takes a place now and runs when a thread is free. Dropping the future gives the place back
    /// if the work has not begun; work that has begun runs to its end. A panic of the work goes on
    /// in the caller.
    fn start(&self, work: Work) -> HostFuture<Result<Box<dyn Any + Send>, Busy>> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Box::pin(async { Err(Busy) });
        };
        let threads = Arc::clone(&self.threads);
        let runtime = self.runtime.clone();
        Box::pin(async move {
            let Ok(thread) = threads.acquire_owned().await else {
                return Err(Busy);
            };
            let running = runtime.spawn_blocking(move || {
                let done = work();
                drop((place, thread));
                done
            });
            match running.await {
                Ok(done) => Ok(done),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime ends.
                    Err(_) => Err(Busy),
                },
            }
        })
    }
}

impl services::Offload for Offload {
    fn run(&self, work: Work) -> HostFuture<Result<Box<dyn Any + Send>, Busy>> {
        self.start(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farmgate_plugin_api::services::Offload as _;
    use futures_util::FutureExt;
    use std::panic::AssertUnwindSafe;
    use std::sync::mpsc;

    #[tokio::test]
    async fn work_runs_elsewhere_and_a_panic_comes_back() {
        let offload = Offload::with(Handle::current(), 1, 1);
        let here = std::thread::current().id();
        let there = offload.run(Box::new(|| Box::new(std::thread::current().id())));
        let there = there.await.unwrap().downcast().unwrap();
        assert_ne!(here, *there);
        let panics = offload.run(Box::new(|| std::panic::resume_unwind(Box::new("no"))));
        assert!(AssertUnwindSafe(panics).catch_unwind().await.is_err());
        // The places were given back.
        for n in 0..4 {
            let work = offload.run(Box::new(move || Box::new(n)));
            assert_eq!(work.await.unwrap().downcast_ref(), Some(&n));
        }
    }

    #[tokio::test]
    async fn more_than_fits_is_busy_and_a_dropped_wait_frees_its_place() {
        let offload = Offload::with(Handle::current(), 1, 1);
        let (go, wait) = mpsc::channel::<()>();
        let first = tokio::spawn(offload.run(Box::new(move || Box::new(wait.recv().is_ok()))));
        let second = offload.run(Box::new(|| Box::new(2)));
        assert_eq!(
            offload.run(Box::new(|| Box::new(3))).await.err(),
            Some(Busy)
        );
        drop(second);
        let third = offload.run(Box::new(|| Box::new(3)));
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap().downcast_ref(), Some(&true));
        assert_eq!(third.await.unwrap().downcast_ref(), Some(&3));
    }
}
