//! HTTP/2, agreed by ALPN or known before: streams become requests, each in its own task.

mod ended;
mod requests;
mod turns;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pingora_core::protocols::http::v2::server::{
    H2Accept, H2Options, HttpSession, default_h2_options, handshake,
};
use pingora_core::protocols::{Digest, Stream};
use tokio::time::{sleep_until, timeout};

use self::requests::{Active, Quiet, spawn};
use self::turns::Turns;
use super::Serving;
use super::stopping::Stopping;
use crate::protocol::http2::{Breach, Budget, FrameGuard};
use crate::proxy::control::Control;
use crate::proxy::finish;
use crate::proxy::id::RequestId;
use crate::server::socket::Socket;
use crate::server::stream::{ClientStream, Outlet, Watched, divide};
use crate::snapshot::Listener;
use crate::telemetry::{DrainCut, H2End, Reason};

/// Bytes of one response kept for a client that does not take them.
const SEND_BUFFER: usize = 64 * 1024;
/// What small DATA frames may cost while nobody reads them, as a multiple of the connection's window: a frame costs
/// the 256 bytes it occupies less its payload. A window full of messages of 16 bytes fits.
const SMALL_DATA: usize = 4;
/// How long a client is given to take note of a GOAWAY.
const GOODBYE: Duration = Duration::from_secs(5);
/// How often it is then looked whether something is still under way.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// How long requests may take to say that a drain cuts them, and how often it is looked whether they have.
const LAST_WORDS: Duration = Duration::from_millis(400);
const LAST_WORDS_LOOK: Duration = Duration::from_millis(10);
/// How long the connection may take to send its own last word after that.
const CUT_GOODBYE: Duration = Duration::from_millis(300);
/// Streams that were reset here and for which late frames are passed over in silence.
const RESET_STREAMS: usize = 1000;

type Connection = h2::server::Connection<Stream, Bytes>;

pub(super) async fn serve(
    serving: Serving,
    mut stopping: Stopping,
    socket: Socket,
    inbox: BytesMut,
) {
    let listener = Arc::clone(&serving.accepted_on);
    let control = Control::new(Instant::now());
    control.set_request(u64::MAX, listener.timeouts.body_idle, None);
    let watched = Arc::new(Watched::default());
    let mut stream = ClientStream::new(socket, inbox, Arc::clone(&control), None);
    let guard = FrameGuard::new(&listener.h2_limits.guard, Instant::now());
    stream.set_raw(guard, Arc::clone(&watched));
    let (stream, outlet) = divide(stream);
    let handshake = timeout(
        listener.timeouts.header,
        handshake(Box::new(stream), Some(options(&listener))),
    );
    let handshake = tokio::select! {
        biased;
        handshake = handshake => handshake,
        () = stopping.cut() => {
            serving.node.metrics.drain().cut(DrainCut::Handshake);
            return;
        }
    };
    let end = match handshake {
        Ok(Ok(connection)) => {
            outlet.hold();
            let work = Work {
                serving: &serving,
                watched: &watched,
                control: &control,
                active: Arc::default(),
                leaving: None,
                overdue: false,
            };
            work.run(connection, outlet, &mut stopping).await
        }
        _ => {
            listener.metrics.request_rejected(Reason::HeaderTimeout);
            H2End::Preface
        }
    };
    listener.metrics.h2_ended(end);
    if end.is_abuse() {
        ended::log(&listener, serving.connection.peer_ip(), end);
    }
}

/// A connection at work.
struct Work<'c> {
    serving: &'c Serving,
    watched: &'c Watched,
    control: &'c Control,
    active: Arc<Active>,
    /// The client was told to send no new requests, for this reason.
    leaving: Option<H2End>,
    /// It was given time enough to do so.
    overdue: bool,
}

/// What happened to a connection.
enum Event {
    Accepted(Box<pingora_core::Result<Option<H2Accept>>>),
    Breach(Breach),
    Idle,
    Stop,
    Cut,
    Time,
    /// A request said that the connection is to end with it.
    Close,
}

impl Work<'_> {
    /// Serves the connection to its end.
    async fn run(
        mut self,
        mut connection: Connection,
        outlet: Outlet,
        stopping: &mut Stopping,
    ) -> H2End {
        let listener = &self.serving.accepted_on;
        let digest = Arc::new(Digest::default());
        let (most, per) = listener.h2_limits.guard.resets;
        let mut malformed = Budget::new(u64::from(most), per, Instant::now());
        let keepalive = listener.timeouts.keepalive.max(Duration::from_millis(1));
        let mut quiet = Quiet::new(&self.active, keepalive);
        let max_age = listener.timeouts.max_age;
        // The connection's age, and from when it leaves the end of its time for that.
        let mut timed = max_age.is_some();
        let first = self.serving.connection.opened + max_age.unwrap_or_default();
        let mut clock = std::pin::pin!(sleep_until(first.into()));
        let mut turns = Turns::new(outlet, &self.active);
        loop {
            let next = async {
                tokio::select! {
                    biased;
                    event = stop(stopping, self.leaving.is_none()) => event,
                    accepted = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest)) => {
                        Event::Accepted(Box::new(accepted))
                    }
                    // Found while the connection was driven: nobody is woken for it.
                    breach = poll_fn(|_| self.breach()) => Event::Breach(breach),
                    () = poll_fn(|_| self.told_to_close()), if self.leaving.is_none() => Event::Close,
                    () = clock.as_mut(), if timed => Event::Time,
                    () = poll_fn(|cx| quiet.poll(cx)), if self.leaving.is_none() => Event::Idle,
                }
            };
            let Ok(event) = turns.run(next).await else {
                return self.lost();
            };
            let accepted = match event {
                Event::Accepted(accepted) => *accepted,
                Event::Breach(breach) => {
                    cast_out(&mut connection).await;
                    return ended::by(breach);
                }
                Event::Cut => {
                    self.cut(&mut connection, &mut turns).await;
                    return H2End::Drain;
                }
                // The end of a response is still on its way.
                Event::Idle if connection.has_streams() => {
                    quiet.again();
                    continue;
                }
                Event::Time if self.leaving.is_some() => {
                    if self.overdue && self.active.is_none() {
                        return self.leaving.unwrap_or(H2End::Closed);
                    }
                    self.overdue = true;
                    clock.as_mut().reset((Instant::now() + LAST_LOOK).into());
                    continue;
                }
                event => {
                    // GOAWAY now; streams under way end in their own time, and then the connection does.
                    connection.graceful_shutdown();
                    self.leaving = Some(match event {
                        Event::Time => H2End::MaxAge,
                        Event::Stop => H2End::Drain,
                        Event::Close => H2End::Overload,
                        _ => H2End::Idle,
                    });
                    timed = true;
                    clock.as_mut().reset((Instant::now() + GOODBYE).into());
                    continue;
                }
            };
            match accepted {
                Ok(Some(H2Accept::Session(session))) if !self.overdue => {
                    spawn(self.serving, session, &self.active);
                }
                // Nothing was done for it, and it is told so: who did not take note may ask elsewhere.
                Ok(Some(H2Accept::Session(mut session))) => {
                    session.shutdown_with_reason(h2::Reason::REFUSED_STREAM);
                }
                Ok(Some(H2Accept::Rejected)) => {
                    self.rejected();
                    if !malformed.charge(1, Instant::now) {
                        cast_out(&mut connection).await;
                        return H2End::Malformed;
                    }
                }
                Ok(None) => return self.leaving.unwrap_or(H2End::Closed),
                Err(error) => return self.failed(&error),
            }
        }
    }

    /// Ends what is under way: requests are told and say so to the client, then the connection ends.
    async fn cut(&self, connection: &mut Connection, turns: &mut Turns) {
        let idle = self.active.is_none() && !connection.has_streams();
        if idle {
            let drain = self.serving.node.metrics.drain();
            drain.cut(DrainCut::Http2Idle);
        }
        self.active.end();
        if self.leaving.is_none() {
            connection.graceful_shutdown();
        }
        let end = Instant::now() + LAST_WORDS;
        let digest = Arc::new(Digest::default());
        while Instant::now() < end && (!self.active.is_none() || connection.has_streams()) {
            let accepted = HttpSession::from_h2_conn(connection, Arc::clone(&digest));
            let Ok(looked) = turns.run(timeout(LAST_WORDS_LOOK, accepted)).await else {
                return;
            };
            match looked {
                // Nothing was done for it: the client may ask elsewhere.
                Ok(Ok(Some(H2Accept::Session(mut session)))) => {
                    session.shutdown_with_reason(h2::Reason::REFUSED_STREAM);
                }
                Ok(Ok(Some(H2Accept::Rejected))) | Err(_) => {}
                Ok(Ok(None) | Err(_)) => return,
            }
        }
        // What could not say so is not reset but ends with the connection: that is what tells a client of gRPC that
        // the service is not available.
        connection.abrupt_shutdown(h2::Reason::NO_ERROR);
        // A client that takes nothing is not told.
        let closed = timeout(CUT_GOODBYE, poll_fn(|cx| connection.poll_closed(cx)));
        let _ = turns.run(closed).await;
    }

    fn breach(&self) -> Poll<Breach> {
        self.watched.breach().map_or(Poll::Pending, Poll::Ready)
    }

    fn told_to_close(&self) -> Poll<()> {
        match self.serving.connection.must_close() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// A malformed request was answered or reset by the engine; nothing of it is told.
    fn rejected(&self) {
        let listener = &self.serving.accepted_on;
        listener.metrics.request_rejected(Reason::BadRequest);
        finish::early(
            &self.serving.node,
            listener,
            self.serving.connection.peer_ip(),
            &RequestId::new(),
            Reason::BadRequest,
            b"",
        );
    }

    /// The client took nothing for too long, or is gone.
    fn lost(&self) -> H2End {
        match self.control.cut() {
            Some(_) => H2End::Stalled,
            None => self.leaving.unwrap_or(H2End::Closed),
        }
    }

    fn failed(&self, error: &pingora_core::Error) -> H2End {
        if self.control.cut().is_some() {
            return H2End::Stalled;
        }
        let abuse = ended::by_engine(error, self.watched.said());
        abuse.unwrap_or_else(|| self.lost())
    }
}

/// The listener goes, where that is news; or the time is over.
async fn stop(stopping: &mut Stopping, is_news: bool) -> Event {
    if is_news {
        stopping.leaving().await;
        if !stopping.is_cut() {
            return Event::Stop;
        }
    }
    stopping.cut().await;
    Event::Cut
}

/// Tells the client to calm down and drops what it has under way.
async fn cast_out(connection: &mut Connection) {
    connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
    // A client that takes nothing is not told.
    let _ = timeout(GOODBYE, poll_fn(|cx| connection.poll_closed(cx))).await;
}

fn options(listener: &Listener) -> H2Options {
    let limits = &listener.h2_limits;
    let (resets, _) = limits.guard.resets;
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(limits.streams)
        .initial_window_size(limits.window)
        .initial_connection_window_size(limits.connection_window)
        .data_frame_budget(size(limits.connection_window).saturating_mul(SMALL_DATA))
        .max_header_list_size(u32::try_from(listener.head.header_bytes).unwrap_or(64 * 1024))
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(size(limits.streams).min(RESET_STREAMS))
        // Resets are counted over time, by the guard; the engine counts them over the connection's whole life, and
        // would close old and busy ones.
        .max_pending_accept_reset_streams(size(resets).saturating_mul(2).max(100))
        .max_local_error_reset_streams(None);
    options
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
