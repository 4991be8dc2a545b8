//! Ctrl-C and SIGTERM: the run stops at its next wait, so that everything it started is ended.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: Mutex<bool> = Mutex::new(false);
static CAME: Condvar = Condvar::new();
/// How often a wait for another process looks at it.
const STEP: Duration = Duration::from_millis(20);

/// Watches for the signals from a thread of its own, for the life of the process.
pub(crate) fn watch() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| error.to_string())?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        let open = |kind| signal(kind).map_err(|error| error.to_string());
        (
            open(SignalKind::interrupt())?,
            open(SignalKind::terminate())?,
        )
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        *INTERRUPTED.lock().unwrap_or_else(PoisonError::into_inner) = true;
        CAME.notify_all();
    });
    Ok(())
}

/// Waits a step of a loop that waits for another process. Fails once a signal came.
pub(crate) fn pause() -> Result<(), String> {
    let came = INTERRUPTED.lock().unwrap_or_else(PoisonError::into_inner);
    let (came, _) = CAME
        .wait_timeout_while(came, STEP, |came| !*came)
        .unwrap_or_else(PoisonError::into_inner);
    if *came {
        return Err("interrupted".into());
    }
    Ok(())
}
