//! Requests of plugins' own: to `http` and `https` URLs and to configured upstreams.
//!
//! Everything runs on the control runtime, so that a connection outlives the request it was opened
//! for, whatever thread that ran on. No redirect is followed, nothing is decoded.

mod connection;
mod https;
mod pool;
#[cfg(test)]
mod tests;
mod upstream;
mod url;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farmgate_plugin_api::services::{HostFuture, HttpClient};
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::UpstreamSource;
use crate::upstream::retry::FailureClass;
use connection::{Connection, Ready};
use pool::{Key, Pool};

/// Questions of all plugins in work at once.
const MAX_REQUESTS: usize = 1_024;

/// Requests in work at once whose answers nobody reads.
const MAX_DISCARDED: usize = 1_024;

/// How long a used connection may take to become free again before it is closed instead of kept.
const SETTLE: Duration = Duration::from_millis(10);

/// What all clients share.
pub(super) struct Outgoing {
    runtime: Handle,
    places: Arc<Semaphore>,
    /// Places of their own: nobody waits for these, and they never keep a question waiting.
    discarded: Arc<Semaphore>,
    pool: Arc<Pool>,
    https: https::Https,
}

impl Outgoing {
    pub(super) fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            places: Arc::new(Semaphore::new(MAX_REQUESTS)),
            discarded: Arc::new(Semaphore::new(MAX_DISCARDED)),
            pool: Arc::default(),
            https: https::Https::default(),
        })
    }

    /// Closes the connections that nobody uses.
    pub(super) fn close_idle(&self) {
        self.pool.clear();
    }

    /// A client for `http` and `https` URLs.
    pub(super) fn url_client(self: &Arc<Self>) -> Arc<dyn HttpClient> {
        Arc::new(url::UrlClient(Arc::clone(self)))
    }

    /// A client to an upstream that is looked up in `source` at every request.
    pub(super) fn upstream_client(
        self: &Arc<Self>,
        name: &str,
        source: Arc<dyn UpstreamSource>,
    ) -> Arc<dyn HttpClient> {
        Arc::new(upstream::UpstreamClient {
            outgoing: Arc::clone(self),
            name: name.into(),
            source,
        })
    }

    /// Runs `work` on the control runtime for at most `limit`; dropping the future ends it.
    fn run<T: Send + 'static>(
        &self,
        wanted: Wanted,
        limit: Duration,
        work: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> HostFuture<Answer<T>> {
        let places = match wanted {
            Wanted::Body(_) => &self.places,
            Wanted::Head => &self.discarded,
        };
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            return refuse("too many requests of plugins are in work");
        };
        let runtime = self.runtime.clone();
        Box::pin(async move {
            let mut task = Abort(runtime.spawn(async move {
                let _place = place;
                match timeout(limit, work).await {
                    Ok(answer) => answer,
                    Err(_) => Err("timed out".to_owned()),
                }
            }));
            match (&mut task.0).await {
                Ok(answer) => answer,
                Err(_) => Err("the request was ended by the host".to_owned()),
            }
        })
    }
}

/// What a client gives back.
type Answer<T = Bytes> = Result<Response<T>, String>;

/// What is wanted of a response.
#[derive(Clone, Copy)]
enum Wanted {
    /// Everything; at most so many bytes of body.
    Body(usize),
    /// The head. The body is read to its end and thrown away.
    Head,
}

fn refuse<T: Send + 'static>(text: impl Into<String>) -> HostFuture<Answer<T>> {
    let text = text.into();
    Box::pin(async move { Err(text) })
}

/// Ends the task when nobody waits for it any more.
struct Abort<T>(JoinHandle<Answer<T>>);

impl<T> Drop for Abort<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request, kept until it is answered because it may be sent twice.
type Sendable = http::Request<Full<Bytes>>;

/// An attempt that came to nothing.
struct Failed {
    class: FailureClass,
    /// Some byte may have reached the other side.
    sent: bool,
    text: String,
}

/// A response whose body is still to be read.
struct Begun {
    response: Response<hyper::body::Incoming>,
    connection: Connection,
}

/// Sends a request on a pooled or a new connection and waits for the response's head. `request` makes it for HTTP/2
/// or for HTTP/1.1, which only the connection decides.
async fn begin(
    pool: &Arc<Pool>,
    key: &Key,
    connect: impl Future<Output = Result<Connection, String>>,
    request: impl FnOnce(bool) -> Result<Sendable, String>,
    first_byte: Duration,
) -> Result<Begun, Failed> {
    let unsent = |class, text| Failed {
        class,
        sent: false,
        text,
    };
    let (mut connection, reused) = match pool.take(key) {
        Some(connection) => (connection, true),
        None => match connect.await {
            Ok(connection) => (connection, false),
            Err(text) => return Err(unsent(FailureClass::Connect, text)),
        },
    };
    let request =
        request(connection.is_http2()).map_err(|text| unsent(FailureClass::Final, text))?;
    match timeout(first_byte, connection.send(request)).await {
        Ok(Ok(response)) => Ok(Begun {
            response,
            connection,
        }),
        Ok(Err(sent)) => Err(Failed {
            class: match reused {
                true => FailureClass::ReusedReset,
                false => FailureClass::ResetBeforeResponse,
            },
            sent,
            text: "the connection ended before the response".to_owned(),
        }),
        Err(_) => Err(Failed {
            class: FailureClass::Final,
            sent: true,
            text: "no response in time".to_owned(),
        }),
    }
}

/// Reads the body as it is wanted, and keeps the connection if it can be used again.
async fn finish(pool: &Arc<Pool>, key: &Key, begun: Begun, wanted: Wanted) -> Answer {
    let Begun {
        response,
        mut connection,
    } = begun;
    let (head, mut body) = response.into_parts();
    let body = match wanted {
        Wanted::Body(max_bytes) => match Limited::new(body, max_bytes).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(format!("the response is larger than {max_bytes} bytes"));
            }
            Err(_) => return Err("the response is cut".to_owned()),
        },
        Wanted::Head => {
            while let Some(frame) = body.frame().await {
                frame.map_err(|_| "the response is cut".to_owned())?;
            }
            Bytes::new()
        }
    };
    if let Ok(Ready::Again) = timeout(SETTLE, connection.settle()).await {
        pool.put(key.clone(), connection);
    }
    Ok(Response::from_parts(head, body))
}

/// Removes what belongs to the connection or is written anew (RFC 9110, section 7.6.1).
fn strip(headers: &mut HeaderMap) {
    let listed: Vec<_> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| header::HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::EXPECT,
        header::HeaderName::from_static("keep-alive"),
        header::HeaderName::from_static("proxy-connection"),
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
}
