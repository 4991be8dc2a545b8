//! Signals: HUP reloads, USR1 reopens logs, TERM and INT go down; a second one goes down at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Server;

/// The signals a node listens to. Made first of all: an unhandled SIGHUP would kill the process.
pub struct Signals {
    hup: Signal,
    usr1: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// Handles signals until one, or an operator, asks to stop.
    pub async fn run(&mut self, server: &Arc<Server>) {
        loop {
            tokio::select! {
                _ = self.hup.recv() => {
                    // The result is in the log, the metrics and `status`.
                    let _ = server.reload().await;
                }
                _ = self.usr1.recv() => {
                    if let Err(why) = reopen_logs(server) {
                        log::error!("{why}");
                    }
                }
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                () = server.stop.notified() => return,
            }
        }
    }

    /// Waits for a further request to stop.
    pub async fn again(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Opens log files again, after they were moved away.
///
/// # Errors
/// One could not be opened; the old one stays in use.
pub fn reopen_logs(server: &Server) -> Result<(), String> {
    let mut wrong = Vec::new();
    if let Some(log) = &*server.node.access_log.load()
        && let Err(error) = log.reopen(Duration::from_secs(2))
    {
        wrong.push(format!("the access log could not be reopened: {error}"));
    }
    if let Err(error) = server.host.reopen_logs(Duration::from_secs(2)) {
        wrong.push(format!("a plugin's log could not be reopened: {error}"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(wrong.join("; "))
}
