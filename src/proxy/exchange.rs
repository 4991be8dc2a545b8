//! The request and the response as filters see them: the context and some header fields, through the
//! plugin API's traits. Engines lend their header types as [`Headers`].

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use farmgate_plugin_api::exchange::{MAX_BODY_DELAY, MAX_NOTE_BYTES};
use farmgate_plugin_api::{
    BodyMode, Consumer, Facts, Headers, Reply, Request, Response, UpstreamRequest,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::ctx::Ctx;
use super::id::RequestId;
use super::outgoing::Body;
use crate::snapshot::listener::BindAddress;
use crate::telemetry::Reason;

/// The request before and beside every later phase.
pub struct RequestExchange<'a> {
    /// The request's state.
    pub cx: &'a mut Ctx,
    /// Its header fields.
    pub headers: &'a mut dyn Headers,
    /// The filter that looks, for its per-request state.
    pub filter: u16,
}

impl Facts for RequestExchange<'_> {
    fn listener(&self) -> u16 {
        self.cx.start.listener.slot
    }
    fn listener_name(&self) -> &str {
        &self.cx.start.listener.name
    }
    fn method(&self) -> &Method {
        &self.cx.method
    }
    fn scheme(&self) -> &'static str {
        scheme(self.cx)
    }
    fn host(&self) -> &str {
        &self.cx.host
    }
    fn path(&self) -> &str {
        self.cx.path()
    }
    fn query(&self) -> Option<&str> {
        self.cx.query()
    }
    fn headers(&self) -> &HeaderMap {
        self.headers.map()
    }
    fn client_ip(&self) -> IpAddr {
        self.cx.client
    }
    fn capture(&self, name: &str) -> Option<&str> {
        self.cx.captures.get(name, self.cx.path())
    }
    fn client_sans(&self) -> &[String] {
        self.cx.start.connection.client_sans()
    }
    fn tls_version(&self) -> Option<&str> {
        self.cx.start.connection.tls.as_ref().map(|tls| tls.version)
    }
    fn tls_sni(&self) -> Option<&str> {
        self.cx
            .start
            .connection
            .tls
            .as_ref()?
            .server_name
            .as_deref()
    }
    fn consumer(&self) -> Option<&Consumer> {
        self.cx.consumer.as_ref()
    }
}

/// The scheme the client used, to us or to the trusted proxy before us.
pub fn scheme(cx: &Ctx) -> &'static str {
    if cx.https { "https" } else { "http" }
}

impl Request for RequestExchange<'_> {
    fn edit(&mut self) -> &mut dyn Headers {
        self.headers
    }
    fn raw_target(&self) -> &[u8] {
        self.cx.raw()
    }
    fn target(&self) -> &str {
        self.cx.target_to_origin()
    }
    fn set_target(&mut self, path_and_query: &str) -> bool {
        let ok = path_and_query.starts_with('/')
            && path_and_query
                .bytes()
                .all(|byte| byte > b' ' && byte < 0x7f && byte != b'#');
        if ok {
            self.cx.upstream_target = Some(path_and_query.to_owned());
        }
        ok
    }
    fn set_upstream_host(&mut self, host: HeaderValue) {
        self.cx.upstream_host = Some(host);
    }
    fn id(&self) -> &str {
        self.cx.id.as_str()
    }
    fn set_id(&mut self, id: &str) -> bool {
        match RequestId::given(id) {
            Some(id) => {
                self.cx.id = id;
                true
            }
            None => false,
        }
    }
    fn route(&self) -> Option<&str> {
        self.cx.route.as_deref().map(|route| &*route.name)
    }
    fn started(&self) -> Instant {
        self.cx.start.head_at
    }
    fn add_response_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.cx.add_header(name, value);
    }
    fn protocol(&self) -> &'static str {
        self.cx.protocol
    }
    fn client_port(&self) -> u16 {
        let connection = &self.cx.start.connection;
        let source = connection.source.or(connection.peer);
        // Of a client behind other proxies only the address is known.
        source
            .filter(|source| source.ip().to_canonical() == self.cx.client)
            .map_or(0, |source| source.port())
    }
    fn server_address(&self) -> Option<SocketAddr> {
        match &self.cx.start.listener.address {
            BindAddress::Tcp(address) => Some(*address),
            BindAddress::Unix(_) => None,
        }
    }
    fn want_body(&mut self, mode: BodyMode) {
        let filter = self.filter;
        self.cx.body_modes.retain(|(owner, _)| *owner != filter);
        self.cx.body_modes.push((filter, mode));
    }
    fn hold(&mut self) {
        if !self.cx.holding.contains(&self.filter) {
            self.cx.holding.push(self.filter);
        }
    }
    fn release(&mut self) {
        let filter = self.filter;
        self.cx.holding.retain(|owner| *owner != filter);
    }
    fn refuse(&mut self, reply: Reply) {
        self.cx.refusal = Some(Box::new(reply));
    }
    fn delay_body(&mut self, time: Duration) {
        let sum = self.cx.body_delay.saturating_add(time);
        self.cx.body_delay = sum.min(MAX_BODY_DELAY);
    }
    fn attempt(&self) -> u8 {
        self.cx.attempts.number()
    }

    fn bridge_grpc_web(&mut self) -> bool {
        self.cx.grpc_web = true;
        true
    }
    fn note(&mut self, text: &str) {
        let notes = &mut self.cx.notes;
        let room = MAX_NOTE_BYTES.saturating_sub(notes.len() + 1);
        let cut = text.floor_char_boundary(room);
        if let Some(text) = text.get(..cut).filter(|text| !text.is_empty()) {
            notes.push_str(&text.replace('\n', " "));
            notes.push('\r');
        }
    }
    fn set_consumer(&mut self, consumer: Consumer) {
        self.cx.consumer = Some(consumer);
    }
    fn state(&mut self) -> Option<&mut (dyn Any + Send + Sync)> {
        let filter = self.filter;
        self.cx
            .states
            .iter_mut()
            .find(|(owner, _)| *owner == filter)
            .map(|(_, state)| &mut **state)
    }
    fn set_state(&mut self, state: Box<dyn Any + Send + Sync>) {
        let filter = self.filter;
        self.cx.states.retain(|(owner, _)| *owner != filter);
        self.cx.states.push((filter, state));
    }
}

/// A response on its way, with the request it answers.
pub struct ResponseExchange<'a> {
    /// The request.
    pub request: RequestExchange<'a>,
    /// The response's fields.
    pub headers: &'a mut dyn Headers,
    /// The response's status.
    pub status: &'a mut StatusCode,
    /// Made here, not by the origin.
    pub local: bool,
}

impl Response for ResponseExchange<'_> {
    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }
    fn status(&self) -> StatusCode {
        *self.status
    }
    fn set_status(&mut self, status: StatusCode) {
        *self.status = status;
    }
    fn edit(&mut self) -> &mut dyn Headers {
        self.headers
    }
    fn is_local(&self) -> bool {
        // A body that a filter put in the place of the origin's is as local as a reply's.
        self.local || matches!(self.request.cx.outgoing.body, Body::Replaced(_))
    }
    fn is_stored(&self) -> bool {
        !self.local && self.request.cx.outgoing.stored
    }
    fn detail(&self) -> &'static str {
        match self.request.cx.reason {
            _ if !self.local => "",
            Reason::PluginReply => self.request.cx.detail,
            reason => reason.as_str(),
        }
    }
    fn resize_body(&mut self) {
        if !self.local {
            self.request.cx.outgoing.body = Body::Resized;
        }
    }
    fn set_body(&mut self, body: Bytes) -> bool {
        let bodiless = matches!(self.status.as_u16(), 100..=199 | 204 | 205 | 304);
        if !bodiless {
            self.request.cx.outgoing.body = Body::Replaced(Some(body));
        }
        !bodiless
    }
}

/// The request as it goes to an endpoint.
pub struct UpstreamExchange<'a> {
    /// The client's request.
    pub request: RequestExchange<'a>,
    /// The head about to be sent.
    pub headers: &'a mut dyn Headers,
}

impl UpstreamRequest for UpstreamExchange<'_> {
    fn request(&self) -> &dyn Request {
        &self.request
    }
    fn edit(&mut self) -> &mut dyn Headers {
        self.headers
    }
    fn attempt(&self) -> u8 {
        self.request.cx.attempts.number()
    }
    fn upstream(&self) -> &str {
        self.request
            .cx
            .upstream
            .as_deref()
            .map_or("", |plan| plan.name())
    }
    fn endpoint(&self) -> &str {
        self.request
            .cx
            .picked
            .as_ref()
            .map_or("", |picked| &picked.endpoint().configured)
    }
}
