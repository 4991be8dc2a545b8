//! The folders of the cache in an upgrade: one process writes them at any time.
//!
//! The old process lets them go before the new one is told to serve, and serves on from its memory and from what is on
//! disk. When nothing comes of the new one, it takes them again.

use std::sync::Arc;
use std::time::Duration;

use crate::server::Server;

/// How long the folders may take to be let go: the bound of writing what waits, and a little.
const RELEASE: Duration = Duration::from_secs(5);
/// How long the old process's lock may last beyond its word, or its end.
const TAKE: Duration = Duration::from_secs(2);
/// How long a new process that was killed may take to be gone.
const TAKE_BACK: Duration = Duration::from_secs(5);

/// Old process, before the other one is to serve. The cache never fails an upgrade: with folders that do not answer the
/// new process is one without them.
pub(super) async fn release(server: &Arc<Server>) {
    let released = blocking(server, Server::hand_over_folders);
    if tokio::time::timeout(RELEASE, released).await.is_err() {
        // A device may hang in the middle of a write. The thread that waits for it is left to itself.
        log::error!("the cache's folders do not answer: the new process begins without them");
    }
}

/// New process, before its first client. `elder`: the old one lives, and reads on.
pub(super) async fn take(server: &Arc<Server>, elder: bool) {
    blocking(server, move |server| server.take_folders(elder, TAKE)).await;
}

/// Old process: the other one does not serve, and was killed.
pub(super) async fn take_back(server: &Arc<Server>) {
    blocking(server, |server| {
        let elder = server.upgrades.elders.count() > 0;
        server.take_folders(elder, TAKE_BACK);
    })
    .await;
}

/// Has the folders be reclaimed as usual once no old process reads them.
pub(super) fn follow_elders(server: &Arc<Server>) {
    let server = Arc::clone(server);
    tokio::spawn(async move {
        loop {
            server.upgrades.elders.last_ended().await;
            server.folders_alone();
        }
    });
}

async fn blocking(server: &Arc<Server>, work: impl FnOnce(&Server) + Send + 'static) {
    let server = Arc::clone(server);
    let done = tokio::task::spawn_blocking(move || work(&server)).await;
    if let Err(error) = done {
        log::error!("the cache's folders: {error}");
    }
}
