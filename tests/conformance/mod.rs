//! What strict readers must do, on real sockets.

mod framing;
mod responses;
mod waf;
