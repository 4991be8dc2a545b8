//! Tests of the router as a whole; the parsers and conditions have their own files.

mod agreement;
mod condition;
mod cost;
mod explain;
mod findings;
mod order;
mod patterns;
mod rules;
mod split;

use std::net::{IpAddr, Ipv4Addr};

use farmgate_plugin_api::{Consumer, Facts};
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method};

use super::{
    Captures, Cidr, Condition, FieldCondition, Finding, HostPattern, PathPattern, RouteMatch,
    Router, RouterBuilder,
};

/// A request of the tests.
#[derive(Clone, Debug)]
struct Asked {
    listener: u16,
    method: Method,
    host: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    client: IpAddr,
}

impl Facts for Asked {
    fn listener(&self) -> u16 {
        self.listener
    }
    fn listener_name(&self) -> &str {
        "web"
    }
    fn method(&self) -> &Method {
        &self.method
    }
    fn scheme(&self) -> &'static str {
        "http"
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
        &self.headers
    }
    fn client_ip(&self) -> IpAddr {
        self.client
    }
    fn capture(&self, _name: &str) -> Option<&str> {
        None
    }
    fn consumer(&self) -> Option<&Consumer> {
        None
    }
}

/// `GET http://HOST/PATH?QUERY` from 192.0.2.1 on listener 0.
fn get(host: &str, target: &str) -> Asked {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    Asked {
        listener: 0,
        method: Method::GET,
        host: host.to_owned(),
        path: path.to_owned(),
        query,
        headers: HeaderMap::new(),
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    }
}

impl Asked {
    fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.headers.append(HeaderName::from_static(name), value);
        self
    }
}

/// A route's match from lists of words.
fn on(hosts: &[&str], paths: &[&str]) -> RouteMatch {
    RouteMatch {
        hosts: hosts
            .iter()
            .map(|h| HostPattern::parse(h).unwrap())
            .collect(),
        paths: paths
            .iter()
            .map(|p| PathPattern::parse(p).unwrap())
            .collect(),
        ..RouteMatch::default()
    }
}

impl RouteMatch {
    fn with_header(mut self, name: &'static str, value: Condition) -> Self {
        let name = HeaderName::from_static(name);
        self.headers.push(FieldCondition { name, value });
        self
    }
    fn with_query(mut self, name: &str, value: Condition) -> Self {
        self.query.push(FieldCondition {
            name: name.to_owned(),
            value,
        });
        self
    }
    fn with_cookie(mut self, name: &str, value: Condition) -> Self {
        self.cookies.push(FieldCondition {
            name: name.to_owned(),
            value,
        });
        self
    }
    fn with_methods(mut self, methods: &[Method]) -> Self {
        self.methods = methods.to_vec();
        self
    }
    fn with_source(mut self, cidr: &str) -> Self {
        let (addr, prefix) = cidr.split_once('/').unwrap();
        let (addr, prefix) = (addr.parse().unwrap(), prefix.parse().unwrap());
        self.sources.push(Cidr { addr, prefix });
        self
    }
    fn with_listeners(mut self, slots: &[u16]) -> Self {
        self.listeners = Some(slots.to_vec());
        self
    }
}

fn is(text: &str) -> Condition {
    Condition::Exact(text.to_owned())
}

/// Numbers the routes from 0.
fn build(routes: Vec<RouteMatch>) -> (Router, Vec<Finding>) {
    let mut builder = RouterBuilder::new();
    for (index, matches) in (0u32..).zip(routes) {
        builder.add(index, matches);
    }
    builder.build().unwrap()
}

fn router(routes: Vec<RouteMatch>) -> Router {
    build(routes).0
}

/// The winner, and its captures as `name=value`.
fn find(router: &Router, asked: &Asked) -> (Option<u32>, Vec<String>) {
    let mut captures = Captures::default();
    // As a trait object, which is how engines may hold their facts.
    let facts: &dyn Facts = asked;
    let won = router.find(facts, &mut captures);
    let value = |name: &str| captures.get(name, &asked.path).unwrap().to_owned();
    let captured = captures
        .names()
        .map(|name| format!("{name}={}", value(name)));
    (won, captured.collect())
}
