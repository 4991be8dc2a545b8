//! Requests and responses that exist only in memory, for the tests of plugins.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::exchange::{Headers, Request, Response, UpstreamRequest};
use crate::facts::{Consumer, Facts};
use crate::filter::BodyMode;
use crate::verdict::Reply;

/// Header fields in memory.
#[derive(Clone, Debug, Default)]
pub struct FakeHeaders(pub HeaderMap);

impl Headers for FakeHeaders {
    fn map(&self) -> &HeaderMap {
        &self.0
    }

    fn set(&mut self, name: &HeaderName, value: HeaderValue) {
        self.0.insert(name.clone(), value);
    }

    fn append(&mut self, name: &HeaderName, value: HeaderValue) {
        self.0.append(name.clone(), value);
    }

    fn remove(&mut self, name: &HeaderName) -> bool {
        self.0.remove(name).is_some()
    }

    fn each_as_received(&self, visit: &mut dyn FnMut(&[u8], &HeaderValue)) {
        for (name, value) in &self.0 {
            visit(name.as_str().as_bytes(), value);
        }
    }
}

/// A request in memory: what a client sent, and what filters made of it.
#[derive(Debug)]
pub struct FakeRequest {
    method: Method,
    raw: String,
    path: String,
    query: Option<String>,
    host: String,
    scheme: &'static str,
    client_ip: IpAddr,
    captures: Vec<(String, String)>,
    consumer: Option<Consumer>,
    route: Option<String>,
    started: Instant,
    state: Option<Box<dyn Any + Send + Sync>>,
    sans: Vec<String>,
    tls: Option<(&'static str, Option<String>)>,
    id: String,
    /// The header fields as filters left them.
    pub headers: FakeHeaders,
    /// The target towards the origin.
    pub target: String,
    /// The host towards the origin, if a filter replaced it.
    pub upstream_host: Option<HeaderValue>,
    /// Fields that filters want on the response.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// How the filter wants this request's body, if it said so.
    pub wanted_body: Option<BodyMode>,
    /// The response is held back.
    pub held: bool,
    /// The reply that ends the response.
    pub refusal: Option<Reply>,
    /// It is bridged to gRPC; none for an engine that cannot.
    pub grpc_web: Option<bool>,
    /// What filters note for `explain`.
    pub notes: String,
    /// How long pieces of the response's body were held up, all together.
    pub body_delay: Duration,
    /// The attempt at an endpoint, from 1.
    pub attempt: u8,
}

impl FakeRequest {
    /// A GET for this target (path and query) from 192.0.2.1 with host `www.example.test`.
    pub fn get(target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self {
            method: Method::GET,
            raw: target.to_owned(),
            path: path.to_owned(),
            query,
            host: "www.example.test".to_owned(),
            scheme: "http",
            client_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            captures: Vec::new(),
            consumer: None,
            route: Some("test".to_owned()),
            started: Instant::now(),
            state: None,
            sans: Vec::new(),
            tls: None,
            id: "0123456789abcdef".to_owned(),
            headers: FakeHeaders::default(),
            target: target.to_owned(),
            upstream_host: None,
            response_headers: Vec::new(),
            wanted_body: None,
            held: false,
            refusal: None,
            grpc_web: Some(false),
            notes: String::new(),
            body_delay: Duration::ZERO,
            attempt: 1,
        }
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// With another host; it may be empty, as in HTTP/1.0.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// As if it came over TLS.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.scheme = "https";
        self
    }

    /// With one more header field; the value may hold bytes that are no UTF-8. A name or value that
    /// no parser would let through is left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.as_ref()),
        ) {
            self.headers.0.append(name, value);
        }
        self
    }

    /// From this client.
    #[must_use]
    pub fn client_ip(mut self, ip: impl Into<IpAddr>) -> Self {
        self.client_ip = ip.into();
        self
    }

    /// As if the route's path had captured this.
    #[must_use]
    pub fn capture(mut self, name: &str, value: &str) -> Self {
        self.captures.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As if an authenticating plugin had found this consumer.
    #[must_use]
    pub fn consumer(mut self, name: &str) -> Self {
        self.consumer = Some(Consumer {
            name: name.into(),
            ..Consumer::default()
        });
        self
    }

    /// As if the client had shown a verified certificate for these names.
    #[must_use]
    pub fn client_certificate(mut self, sans: &[&str]) -> Self {
        self.sans = sans.iter().map(|san| (*san).to_owned()).collect();
        self
    }

    /// As if it came over TLS of this version, for this name.
    #[must_use]
    pub fn tls(mut self, version: &'static str, sni: Option<&str>) -> Self {
        self.scheme = "https";
        self.tls = Some((version, sni.map(str::to_owned)));
        self
    }

    /// The response field of this name that filters asked for, last one first.
    pub fn response_header(&self, name: &str) -> Option<&str> {
        let mut found = self.response_headers.iter().rev();
        let (_, value) = found.find(|(have, _)| have.as_str() == name)?;
        value.to_str().ok()
    }
}

impl Facts for FakeRequest {
    fn tls_version(&self) -> Option<&str> {
        self.tls.as_ref().map(|(version, _)| *version)
    }
    fn tls_sni(&self) -> Option<&str> {
        self.tls.as_ref()?.1.as_deref()
    }
    fn client_sans(&self) -> &[String] {
        &self.sans
    }
    fn listener(&self) -> u16 {
        0
    }

    fn listener_name(&self) -> &str {
        "web"
    }

    fn method(&self) -> &Method {
        &self.method
    }

    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    fn headers(&self) -> &HeaderMap {
        &self.headers.0
    }

    fn client_ip(&self) -> IpAddr {
        self.client_ip
    }

    fn capture(&self, name: &str) -> Option<&str> {
        let mut captures = self.captures.iter();
        Some(&captures.find(|(have, _)| have == name)?.1)
    }

    fn consumer(&self) -> Option<&Consumer> {
        self.consumer.as_ref()
    }
}

impl Request for FakeRequest {
    fn want_body(&mut self, mode: BodyMode) {
        self.wanted_body = Some(mode);
    }

    fn hold(&mut self) {
        self.held = true;
    }

    fn release(&mut self) {
        self.held = false;
    }

    fn refuse(&mut self, reply: Reply) {
        self.refusal = Some(reply);
    }

    fn delay_body(&mut self, time: Duration) {
        self.body_delay += time;
    }

    fn attempt(&self) -> u8 {
        self.attempt
    }

    fn bridge_grpc_web(&mut self) -> bool {
        self.grpc_web = self.grpc_web.map(|_| true);
        self.grpc_web.is_some()
    }

    fn note(&mut self, text: &str) {
        self.notes.push_str(text);
    }

    fn edit(&mut self) -> &mut dyn Headers {
        &mut self.headers
    }

    fn raw_target(&self) -> &[u8] {
        self.raw.as_bytes()
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn set_target(&mut self, path_and_query: &str) -> bool {
        let legal =
            path_and_query.starts_with('/') && path_and_query.bytes().all(|b| b.is_ascii_graphic());
        if legal {
            path_and_query.clone_into(&mut self.target);
        }
        legal
    }

    fn set_upstream_host(&mut self, host: HeaderValue) {
        self.upstream_host = Some(host);
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn set_id(&mut self, id: &str) -> bool {
        let legal = (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        if legal {
            id.clone_into(&mut self.id);
        }
        legal
    }

    fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    fn started(&self) -> Instant {
        self.started
    }

    fn add_response_header(&mut self, name: HeaderName, value: HeaderValue) {
        if self.response_headers.len() < 32 {
            self.response_headers.push((name, value));
        }
    }

    fn set_consumer(&mut self, consumer: Consumer) {
        self.consumer = Some(consumer);
    }

    fn state(&mut self) -> Option<&mut (dyn Any + Send + Sync)> {
        self.state.as_deref_mut()
    }

    fn set_state(&mut self, state: Box<dyn Any + Send + Sync>) {
        self.state = Some(state);
    }
}

/// A request on its way to an endpoint.
#[derive(Debug)]
pub struct FakeUpstreamRequest {
    /// The client's request.
    pub request: FakeRequest,
    /// The fields that go to the endpoint.
    pub headers: FakeHeaders,
    /// The attempt, from 1.
    pub attempt: u8,
}

impl FakeUpstreamRequest {
    /// The first attempt, with the request's own fields.
    pub fn new(request: FakeRequest) -> Self {
        Self {
            headers: request.headers.clone(),
            request,
            attempt: 1,
        }
    }
}

impl UpstreamRequest for FakeUpstreamRequest {
    fn request(&self) -> &dyn Request {
        &self.request
    }

    fn edit(&mut self) -> &mut dyn Headers {
        &mut self.headers
    }

    fn attempt(&self) -> u8 {
        self.attempt
    }

    fn upstream(&self) -> &str {
        "app"
    }

    fn endpoint(&self) -> &str {
        "127.0.0.1:19001"
    }
}

/// A response in memory.
#[derive(Debug)]
pub struct FakeResponse {
    /// The request it answers.
    pub request: FakeRequest,
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: FakeHeaders,
    /// True when the body is the engine's or a filter's own.
    pub local: bool,
    /// True when the body comes out of a cache.
    pub stored: bool,
    /// Why a local one was made.
    pub detail: &'static str,
    /// A filter changes the length of the body.
    pub resized: bool,
    /// The body that a filter wants instead.
    pub body: Option<Bytes>,
}

impl FakeResponse {
    /// A response of the origin to this request, without header fields.
    pub fn new(request: FakeRequest, status: StatusCode) -> Self {
        Self {
            request,
            status,
            headers: FakeHeaders::default(),
            local: false,
            stored: false,
            detail: "",
            resized: false,
            body: None,
        }
    }

    /// As the engine makes its own errors and those that plugins leave to it.
    pub fn problem(request: FakeRequest, status: StatusCode, detail: &'static str) -> Self {
        let mut response =
            Self::new(request, status).header("content-type", "application/problem+json");
        response.local = true;
        response.detail = detail;
        response
    }

    /// With one more header field; see [`FakeRequest::header`].
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.as_ref()),
        ) {
            self.headers.0.append(name, value);
        }
        self
    }
}

impl Response for FakeResponse {
    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn status(&self) -> StatusCode {
        self.status
    }

    fn set_status(&mut self, status: StatusCode) {
        self.status = status;
    }

    fn edit(&mut self) -> &mut dyn Headers {
        &mut self.headers
    }

    fn is_local(&self) -> bool {
        self.local
    }

    fn is_stored(&self) -> bool {
        self.stored
    }

    fn detail(&self) -> &'static str {
        self.detail
    }

    fn resize_body(&mut self) {
        self.resized = true;
    }

    fn set_body(&mut self, body: Bytes) -> bool {
        let bodiless = matches!(self.status.as_u16(), 101 | 204 | 205 | 304);
        if !bodiless {
            self.body = Some(body);
        }
        !bodiless
    }
}
