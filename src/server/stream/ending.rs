//! The end of a connection whose drain is out of time: what the client of HTTP/1 is told, and how.
//!
//! The engine hears of it as of a failed client: it answers if it still can. What it cannot say is said here, when it
//! drops the stream.

use std::io;

use super::ClientStream;
use crate::protocol::websocket::going_away;
use crate::server::linger;
use crate::server::socket::Socket;
use crate::telemetry::Reason;

/// The answer to a request that nobody has answered.
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\ncache-control: no-store\r\n\
    proxy-status: farmgate; error=proxy_internal_response\r\nconnection: close\r\n\r\n";
/// What stands in a Close frame beside its code, for people.
const WHY: &str = "the proxy is going down";

/// The engine's error.
pub(super) fn over() -> io::Error {
    io::Error::other(Reason::Draining.as_str())
}

impl ClientStream {
    /// True if the engine is to hear of the end when it reads. A frame of a WebSocket that is under way towards the
    /// client may come to its end first.
    pub(super) fn reads_no_more(&self) -> bool {
        self.control.is_ended() && (!self.control.is_websocket() || self.frames.is_between())
    }

    /// As much of `data` as may still go to the client: all of it, or the rest of a frame.
    ///
    /// # Errors
    /// Nothing of it.
    pub(super) fn allowed<'d>(&self, data: &'d [u8]) -> io::Result<&'d [u8]> {
        if !self.control.is_ended() {
            return Ok(data);
        }
        if self.control.is_response_ended() {
            return Err(over());
        }
        if !self.control.is_tunnel() {
            // An answer that begins now, by which the engine says that it is over.
            return Ok(data);
        }
        match data.get(..self.frames.rest(data)) {
            Some(rest) if self.control.is_websocket() && !rest.is_empty() => Ok(rest),
            _ => Err(over()),
        }
    }

    /// Says the last word, if there is one, and lets the client hear it.
    pub(super) fn end(&mut self) {
        let control = &self.control;
        if self.must_reset() {
            return self.reset();
        }
        let said = self.outbox.split();
        let word = if control.is_websocket() && self.frames.is_between() {
            control.told_going();
            match self.frames.is_closing() {
                // The origin said it, and nothing may follow.
                true => Vec::new(),
                false => going_away(WHY),
            }
        } else if control.is_tunnel() || (control.is_head_sent() && !control.is_said()) {
            // Cut inside something: the end itself must not look like one.
            if let Some(socket) = self.socket.take() {
                linger::spawn_cut(socket);
            }
            return;
        } else if control.is_head_sent() {
            // The engine has answered.
            Vec::new()
        } else {
            UNAVAILABLE.into()
        };
        if let Some(socket) = self.socket.take() {
            linger::spawn_saying(socket, [&said, &word[..]].concat());
        }
    }

    /// True if the end of the connection would be taken for the end of a response that was cut.
    pub(super) fn must_reset(&self) -> bool {
        let control = &self.control;
        let cut = control.is_response_cut() || (control.is_ended() && !control.is_said());
        cut && control.is_ended_by_close()
    }

    /// Ends the connection by a reset. Over TLS the missing close_notify says the same, and what was sent is kept.
    pub(super) fn reset(&mut self) {
        match self.socket.take() {
            Some(Socket::Tcp(socket)) => {
                // Without it the end is not told from a whole response; there is no other way to tell.
                let _ = socket.set_zero_linger();
            }
            Some(socket) => linger::spawn_cut(socket),
            None => {}
        }
    }
}
