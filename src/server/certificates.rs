//! Follows the files of `[[tls]]`: looked at again and again, read again when they change.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Server;

/// How often the files are looked at, where that is quick.
const LOOK: Duration = Duration::from_secs(1);
/// Looking takes this part of the time at most: a hundred thousand files are looked at more seldom.
const PART: u32 = 20;

/// Looks for ever.
pub async fn run(server: Arc<Server>) {
    let mut pause = LOOK;
    loop {
        tokio::time::sleep(pause).await;
        let server = Arc::clone(&server);
        let looking = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            for edge in server.node.current.load().tls.values() {
                edge.refresh(&server.state.tls, SystemTime::now());
            }
            began.elapsed()
        });
        // An error means that the runtime ends, and this task with it.
        let took = looking.await.unwrap_or_default();
        pause = LOOK.max(took * PART);
    }
}
