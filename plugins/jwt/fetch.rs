//! Fetching keys, in the background only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use farmgate_plugin_api::services::{ClientRequest, Clock, HttpClient, Offload};
use http::{HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;

use super::disk::{Saved, Shelf};
use super::jwks::MAX_DOCUMENT_BYTES;
use super::metrics::{Board, Metrics};
use super::store::Store;
use super::url::{Trust, key_url};

/// How often the task that fetches looks around, at least; the metrics are as old as this.
pub(super) const TURN: Duration = Duration::from_millis(100);
/// Longest pause between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Where keys come from.
pub(super) enum Origin {
    /// From here.
    Url(Uri),
    /// From where this document says; it must name the issuer.
    Discovery { document: Uri, issuer: Box<str> },
}

/// Why a fetch failed: the label `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No answer, a cut or too large one, or none in time.
    Transport,
    /// Another status than 200.
    Status,
    /// Not what should be there.
    Document,
    /// The discovery document names another issuer.
    Issuer,
}

impl Failure {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::Status => "status",
            Self::Document => "document",
            Self::Issuer => "issuer",
        }
    }
}

/// Fetches the keys of one provider for as long as the configuration lives.
pub(super) struct Fetcher {
    pub(super) store: Arc<Store>,
    pub(super) origin: Origin,
    pub(super) trust: Trust,
    pub(super) client: Arc<dyn HttpClient>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) offload: Arc<dyn Offload>,
    pub(super) shelf: Option<Shelf>,
    /// The disk was looked at.
    pub(super) looked: AtomicBool,
    pub(super) refresh: Duration,
    pub(super) stale: Duration,
    pub(super) timeout: Duration,
    pub(super) metrics: Metrics,
    pub(super) board: Arc<Board>,
}

/// The members of a discovery document that are read (OpenID Connect Discovery, section 3).
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// One turn: waits until keys are wanted or a while has passed, and fetches if it is time.
    pub(super) async fn turn(&self) {
        if !self.looked.load(Ordering::Relaxed) {
            self.look_on_disk().await;
        }
        let pause = self.pause();
        if !pause.is_zero() {
            tokio::select! {
                biased;
                () = self.store.asked() => {}
                () = self.clock.sleep(pause.min(LOOK)) => {}
            }
        }
        if self.pause().is_zero() {
            self.fetch().await;
        }
        self.board.publish(self.clock.now());
    }

    fn pause(&self) -> Duration {
        let now = self.clock.now();
        let keys = self.store.keys();
        let has_keys = keys
            .as_ref()
            .is_some_and(|held| held.age(now) <= self.stale);
        self.store.pause(self.refresh, has_keys)
    }

    async fn fetch(&self) {
        // Another generation of the configuration may be at it.
        let Some(flight) = self.store.begin() else {
            return;
        };
        let asked = self.clock.wall();
        let fetched = match self.ask().await {
            Ok(document) => match self.store.take(&document, Duration::ZERO) {
                Ok(()) => Ok(document),
                Err(_) => Err(Failure::Document),
            },
            Err(failure) => Err(failure),
        };
        let result = fetched.as_ref().map_or_else(|why| why.word(), |_| "ok");
        self.metrics.fetches.add(result, 1);
        flight.ends(fetched.is_ok());
        if let Ok(document) = fetched {
            self.write_to_disk(document, asked).await;
        }
    }

    /// The document of keys.
    async fn ask(&self) -> Result<Bytes, Failure> {
        match &self.origin {
            Origin::Url(url) => self.get(url.clone()).await,
            Origin::Discovery { document, issuer } => {
                let found = self.get(document.clone()).await?;
                let found: Discovered =
                    serde_json::from_slice(&found).map_err(|_| Failure::Document)?;
                if *found.issuer != **issuer {
                    return Err(Failure::Issuer);
                }
                let url = key_url(&found.jwks_uri, self.trust).map_err(|_| Failure::Document)?;
                self.get(url).await
            }
        }
    }

    async fn get(&self, url: Uri) -> Result<Bytes, Failure> {
        let head = http::Request::get(url)
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .header(header::USER_AGENT, HeaderValue::from_static("farmgate"))
            .body(())
            .map_err(|_| Failure::Document)?;
        let answer = self.client.send(ClientRequest {
            head,
            body: Bytes::new(),
            timeout: self.timeout,
            max_response_bytes: MAX_DOCUMENT_BYTES,
        });
        let answer = answer.await.map_err(|_| Failure::Transport)?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            _ => Err(Failure::Status),
        }
    }

    /// Takes keys of an earlier process, if there are none yet.
    async fn look_on_disk(&self) {
        let Some(shelf) = self.shelf.clone().filter(|_| self.store.keys().is_none()) else {
            self.looked.store(true, Ordering::Relaxed);
            return;
        };
        let found = self
            .offload
            .run(Box::new(move || Box::new(shelf.read())))
            .await;
        // Too much to do elsewhere: the next turn tries again.
        let Ok(found) = found else { return };
        self.looked.store(true, Ordering::Relaxed);
        match found
            .downcast::<Result<Option<Saved>, String>>()
            .map(|found| *found)
        {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(saved))) => {
                let age = self.clock.wall().duration_since(saved.confirmed);
                // A stamp from the future: the clock was set back meanwhile.
                let age = age.unwrap_or_default();
                if age <= self.stale && self.store.take(&saved.document, age).is_err() {
                    self.metrics.state_errors.add(1);
                }
            }
            Ok(Err(_)) | Err(_) => self.metrics.state_errors.add(1),
        }
    }

    async fn write_to_disk(&self, document: Bytes, confirmed: SystemTime) {
        let Some(shelf) = self.shelf.clone() else {
            return;
        };
        let write =
            move || Box::new(shelf.write(&document, confirmed)) as Box<dyn std::any::Any + Send>;
        let written = self.offload.run(Box::new(write)).await;
        let written = written.map(|written| written.downcast::<std::io::Result<()>>());
        if !matches!(written, Ok(Ok(written)) if written.is_ok()) {
            self.metrics.state_errors.add(1);
        }
    }
}
