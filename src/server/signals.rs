//! Signals: HUP reloads, USR1 reopens logs, TERM and INT go down; a second one goes down at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::Server;

/// How an exit was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Finish what runs first.
    Gracefully,
    /// At once.
    Now,
}

/// Handles signals until one asks to stop.
///
/// # Errors
/// The handlers cannot be installed.
pub async fn run(server: &Arc<Server>) -> std::io::Result<Stop> {
    let mut hup = signal(SignalKind::hangup())?;
    let mut usr1 = signal(SignalKind::user_defined1())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = hup.recv() => {
                // The result is in the log, the metrics and `status`.
                let _ = server.reload().await;
            }
            _ = usr1.recv() => reopen_logs(server),
            _ = term.recv() => return Ok(Stop::Gracefully),
            _ = int.recv() => return Ok(Stop::Gracefully),
            () = server.stop.notified() => return Ok(Stop::Gracefully),
        }
    }
}

/// Waits for a second request to stop.
pub async fn again() {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Opens log files again, after they were moved away.
pub fn reopen_logs(server: &Server) {
    if let Some(log) = &*server.node.access_log.load()
        && let Err(error) = log.reopen(Duration::from_secs(2))
    {
        log::error!("the access log could not be reopened: {error}");
    }
    if let Err(error) = server.host.reopen_logs(Duration::from_secs(2)) {
        log::error!("a plugin's log could not be reopened: {error}");
    }
}
