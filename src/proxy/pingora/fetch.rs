//! A fetch for the cache, carried by Pingora's proxy: a session without a client, whose response goes into the store.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Method};
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::server::ShutdownWatch;
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::sync::watch;

use super::{Error, Proxy, Result};
use crate::proxy::caching::fetch::{Fetch, Unwanted};
use crate::proxy::caching::order::Order;
use crate::proxy::start::with_context;
use crate::telemetry::Reason;

/// Makes the fetch, in a task of its own. `request` is the head of the request it is made for.
pub(super) fn spawn(proxy: &Arc<Proxy>, request: &RequestHeader, order: Order) {
    let mut head = request.clone();
    head.set_method(Method::GET);
    for (name, value) in order.edits {
        // The only failure is a map of 32,768 fields.
        let _ = match value {
            Some(value) => head.insert_header(name, value).is_ok(),
            None => head.remove_header(&name).is_some(),
        };
    }
    let session = FetchSession {
        head,
        fetch: order.fetch,
        written: None,
        bytes: 0,
    };
    let proxy = Arc::clone(proxy);
    let note = order.note;
    let deadline = tokio::time::Instant::from_std(order.context.deadline());
    tokio::spawn(async move {
        let session = ServerSession::new_custom(Box::new(session));
        let fetching = proxy.process_new_http(session, never());
        // However slowly an origin drips the head of its answer, those who wait for it are told in time.
        let late = async {
            tokio::time::sleep_until(deadline).await;
            if note.is_headed() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            _ = with_context(order.context, fetching) => {}
            () = late => note.ended(Reason::RequestTimeout),
        }
    });
}

/// What Pingora is given as its own sign of an end. It never comes: connections are told to close by ours, and Pingora's
/// way drops requests that are being sent.
pub fn never() -> &'static ShutdownWatch {
    static NEVER: OnceLock<ShutdownWatch> = OnceLock::new();
    NEVER.get_or_init(|| watch::channel(false).1)
}

struct FetchSession {
    head: RequestHeader,
    fetch: Fetch,
    written: Option<ResponseHeader>,
    bytes: usize,
}

fn unwanted(_: Unwanted) -> Error {
    pingora_core::Error::new_down(pingora_core::ErrorType::ConnectionClosed)
}

impl FetchSession {
    async fn respond(&mut self, response: &ResponseHeader, end: bool) -> Result<()> {
        let told = self
            .fetch
            .head(response.status, response.headers.clone())
            .await;
        self.written = Some(response.clone());
        told.map_err(unwanted)?;
        if end {
            self.fetch.end(None);
        }
        Ok(())
    }

    async fn piece(&mut self, piece: Bytes, end: bool) -> Result<()> {
        self.bytes += piece.len();
        if !piece.is_empty() {
            self.fetch.piece(piece).await.map_err(unwanted)?;
        }
        if end {
            self.fetch.end(None);
        }
        Ok(())
    }
}

#[async_trait]
impl CustomSession for FetchSession {
    fn req_header(&self) -> &RequestHeader {
        &self.head
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.head
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        Ok(None)
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write_response_header(&mut self, resp: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.respond(&resp, end).await
    }

    async fn write_response_header_ref(&mut self, resp: &ResponseHeader, end: bool) -> Result<()> {
        self.respond(resp, end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.piece(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.fetch.end(Some(trailers));
        Ok(())
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut over = false;
        for task in tasks {
            over = match task {
                HttpTask::Header(head, end) => {
                    self.respond(&head, end).await?;
                    end
                }
                HttpTask::Body(data, end) | HttpTask::UpgradedBody(data, end) => {
                    self.piece(data.unwrap_or_default(), end).await?;
                    end
                }
                HttpTask::Trailer(trailers) => {
                    self.fetch.end(trailers.map(|trailers| *trailers));
                    true
                }
                HttpTask::Done => {
                    self.fetch.end(None);
                    true
                }
                HttpTask::Failed(error) => return Err(error),
            };
        }
        Ok(over)
    }

    fn set_read_timeout(&mut self, _: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, _: Option<Duration>) {}

    fn get_write_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_total_drain_timeout(&mut self, _: Option<Duration>) {}

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        None
    }

    fn request_summary(&self) -> String {
        "fetch for the cache".to_owned()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_ref()
    }

    async fn shutdown(&mut self, _: u32, _: &str) {}

    fn is_body_done(&mut self) -> bool {
        true
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn is_body_empty(&mut self) -> bool {
        true
    }

    /// There is no client who could go away.
    async fn read_body_or_idle(&mut self, _: bool) -> Result<Option<Bytes>> {
        std::future::pending().await
    }

    fn body_bytes_sent(&self) -> usize {
        self.bytes
    }

    fn body_bytes_read(&self) -> usize {
        0
    }

    fn digest(&self) -> Option<&Digest> {
        None
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        None
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        None
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        Bytes::new()
    }

    fn enable_retry_buffering(&mut self) {}

    fn retry_buffer_truncated(&self) -> bool {
        false
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        None
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
