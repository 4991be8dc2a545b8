//! What clients send, read strictly (and where the frames of a WebSocket end that they are sent): pure decisions over bytes, shared by every engine.
//!
//! A leaf: it imports nothing of ours, so that listeners, the request path and `explain` can all
//! read the same way.

pub mod client;
pub mod http1;
pub mod http2;
pub mod proxy_protocol;
pub mod uri;
pub mod websocket;
