//! The thread that bounds waits: it looks at running fills four times a second.

use std::sync::Weak;
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::head::Head;
use crate::store::Core;

/// How often it looks; waits are bounded to within this.
const TURN: Duration = Duration::from_millis(250);

/// Starts it; it ends when the store does. `None` when the system gives no thread.
pub(crate) fn start<H: Head>(core: Weak<Core<H>>) -> Option<Thread> {
    let run = move || {
        while let Some(core) = core.upgrade() {
            core.tick(Instant::now());
            drop(core);
            std::thread::park_timeout(TURN);
        }
    };
    let spawned = std::thread::Builder::new()
        .name("cache-keeper".into())
        .spawn(run);
    spawned.ok().map(|handle| handle.thread().clone())
}
