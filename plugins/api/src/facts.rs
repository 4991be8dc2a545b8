//! What is known of a request or a connection: read by the router, by sources, templates and filters.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, Method};

/// Read-only facts of a request. One trait for every reader, so that a route match, a rate-limit
/// key and a redirect template can never see different values.
pub trait Facts {
    /// Slot of the listener that took the request (stable while the listener's address is bound).
    fn listener(&self) -> u16;
    /// The listener's name.
    fn listener_name(&self) -> &str;
    /// The request's method.
    fn method(&self) -> &Method;
    /// `http` or `https`, as the client spoke to us.
    fn scheme(&self) -> &'static str;
    /// The requested host in lower case, without port and without a trailing dot; may be empty.
    fn host(&self) -> &str;
    /// The normalised path, always beginning with `/` (or `*`).
    fn path(&self) -> &str;
    /// The query without `?`, as received but for escaped illegal bytes.
    fn query(&self) -> Option<&str>;
    /// All header fields of the request.
    fn headers(&self) -> &HeaderMap;
    /// The client's address: the peer, or what trusted proxies say of it.
    fn client_ip(&self) -> IpAddr;
    /// What the route's path pattern captured under this name.
    fn capture(&self, name: &str) -> Option<&str>;
    /// The names of the client's verified certificate, DNS names in lower case first, then URIs; empty without one.
    fn client_sans(&self) -> &[String] {
        &[]
    }
    /// The TLS version of the client's connection to us, `TLSv1.3` or `TLSv1.2`; none in the clear.
    fn tls_version(&self) -> Option<&str> {
        None
    }
    /// The name the client asked for in its TLS handshake (SNI), in lower case; none in the clear or if it named none.
    fn tls_sni(&self) -> Option<&str> {
        None
    }
    /// The identity an authenticating plugin found.
    fn consumer(&self) -> Option<&Consumer>;
}

/// Who sends the request, as an authenticating plugin found out. One object for limits, matches,
/// log fields, headers to the upstream and cache keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// Unique name.
    pub name: Arc<str>,
    /// The plan the consumer is on, if any.
    pub plan: Option<Arc<str>>,
    /// Free tags.
    pub tags: Vec<Arc<str>>,
    /// The plugin kind that vouches for it.
    pub by: &'static str,
    /// It was told by the request's Authorization field, which the plugin verified: what the field says is known to be
    /// about this consumer and nobody else (RFC 9111 section 3.5 asks caches).
    pub by_authorization: bool,
}

/// What is known when a connection has been accepted and nothing was read yet.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The peer of the connection (the load balancer, when one stands before us); none on unix sockets.
    pub peer: Option<SocketAddr>,
}
