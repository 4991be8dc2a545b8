//! Signals: HUP reloads, USR1 reopens logs, USR2 upgrades, TERM and INT go down; a second one goes down at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Server;
use super::drain::Occasion;
use super::upgrade::upgrade;

/// The signals a node listens to. Made first of all: an unhandled SIGHUP would kill the process.
pub struct Signals {
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
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
            usr2: signal(SignalKind::user_defined2())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// Handles signals until one, or an operator, asks to stop, or another process has taken over.
    pub async fn run(&mut self, server: &Arc<Server>) -> Occasion {
        loop {
            tokio::select! {
                _ = self.hup.recv() => {
                    let server = Arc::clone(server);
                    tokio::spawn(async move {
                        // The result is in the log, the metrics and `status`.
                        let _ = server.reload().await;
                    });
                }
                _ = self.usr1.recv() => {
                    if let Err(why) = reopen_logs(server) {
                        log::error!("{why}");
                    }
                }
                _ = self.usr2.recv() => {
                    let server = Arc::clone(server);
                    // The result is in the log, the metrics and `status`.
                    tokio::spawn(async move { upgrade(&server).await });
                }
                _ = self.term.recv() => return Occasion::Stop,
                _ = self.int.recv() => return Occasion::Stop,
                () = server.stop.notified() => return Occasion::Stop,
                () = server.upgrades.handed_over.notified() => return Occasion::Upgraded,
            }
        }
    }

    /// Waits for a further request to stop. A process that drains writes logs too, so it opens them again when asked.
    pub async fn again(&mut self, server: &Server) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.usr1.recv() => {
                    if let Err(why) = reopen_logs(server) {
                        log::error!("{why}");
                    }
                }
            }
        }
    }
}

/// Opens log files again, after they were moved away; here and in old processes that drain.
///
/// # Errors
/// One could not be opened; the old one stays in use.
pub fn reopen_logs(server: &Server) -> Result<(), String> {
    server.upgrades.elders.reopen_logs();
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
