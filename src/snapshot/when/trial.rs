//! A request that has nothing a request may lack.

use std::net::{IpAddr, Ipv4Addr};

use farmgate_plugin_api::{Consumer, Facts};
use http::{HeaderMap, Method};

/// `GET /`, from the local host, without fields.
#[derive(Default)]
pub(super) struct Bare {
    method: Method,
    headers: HeaderMap,
}

impl Facts for Bare {
    fn listener(&self) -> u16 {
        0
    }
    fn listener_name(&self) -> &str {
        "trial"
    }
    fn method(&self) -> &Method {
        &self.method
    }
    fn scheme(&self) -> &'static str {
        "http"
    }
    fn host(&self) -> &str {
        "localhost"
    }
    fn path(&self) -> &str {
        "/"
    }
    fn query(&self) -> Option<&str> {
        None
    }
    fn headers(&self) -> &HeaderMap {
        &self.headers
    }
    fn client_ip(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    }
    fn capture(&self, _name: &str) -> Option<&str> {
        None
    }
    fn consumer(&self) -> Option<&Consumer> {
        None
    }
}
