//! `run` and `origin`: the commands that serve.

use std::path::PathBuf;

use super::exit;
use super::origin::{OriginOptions, serve};
use crate::server::bootstrap::{self, Ended};
use crate::telemetry::events;

pub(super) fn run(config: Vec<PathBuf>, last_good: bool) -> u8 {
    events::install();
    match bootstrap::run(config, last_good) {
        Ended::Drained => exit::OK,
        Ended::BadConfig(diagnostics) => {
            for diagnostic in diagnostics.iter() {
                events::last_words(&diagnostic.to_string());
            }
            exit::CONFIG
        }
        Ended::Failed(why) => {
            events::last_words(&format!("farmgate: {why}"));
            exit::FAILED
        }
    }
}

pub(super) fn origin(options: OriginOptions) -> u8 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(options)));
    match served {
        Ok(()) => exit::OK,
        Err(error) => {
            err!("farmgate origin: {error}");
            exit::FAILED
        }
    }
}
