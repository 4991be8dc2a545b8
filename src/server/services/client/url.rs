//! The client for `http` URLs outside the configuration.

use std::net::IpAddr;
use std::sync::Arc;

use farmgate_plugin_api::services::{ClientRequest, HostFuture, HttpClient};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Uri, Version, header};
use http_body_util::Full;

use super::connection::{Connection, Speak};
use super::pool::{Key, Target};
use super::{Answer, Outgoing, begin, finish, refuse, strip};
use crate::snapshot::UpstreamProtocol;
use crate::upstream::retry::{Attempts, Retry, RetryPolicy};

pub(super) struct UrlClient(pub(super) Arc<Outgoing>);

impl HttpClient for UrlClient {
    fn send(&self, request: ClientRequest) -> HostFuture<Answer> {
        let key = match target(request.head.uri()) {
            Ok(target) => Key {
                target,
                protocol: UpstreamProtocol::Http1,
                tls: 0,
                proxy_protocol: None,
            },
            Err(text) => return refuse(text),
        };
        if request.head.method() == Method::CONNECT {
            return refuse("CONNECT is not sent");
        }
        let pool = Arc::clone(&self.0.pool);
        self.0.run(request.timeout, async move {
            let mut head = request.head;
            address(&mut head);
            let mut attempts = Attempts::default();
            loop {
                let sendable = |_| Ok(head.clone().map(|()| Full::new(request.body.clone())));
                let connect = Connection::open(&key.target, Speak::Http1, &[], || None);
                let began = begin(&pool, &key, connect, sendable, request.timeout).await;
                match began {
                    Ok(begun) => {
                        return finish(&pool, &key, begun, request.max_response_bytes).await;
                    }
                    Err(failed) => {
                        let method = head.method();
                        let next =
                            attempts.failed(&RetryPolicy::OFF, method, failed.class, failed.sent);
                        if next == Retry::No {
                            return Err(failed.text);
                        }
                    }
                }
            }
        })
    }
}

/// Where the URL leads.
fn target(uri: &Uri) -> Result<Target, String> {
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err("https is not in this build; only http:// URLs can be asked".to_owned());
        }
        Some(other) => return Err(format!("the scheme {other} is not http")),
        None => return Err("the URL is not absolute; write http://HOST/PATH".to_owned()),
    }
    let authority = uri.authority().map_or("", Authority::as_str);
    if authority.contains('@') {
        // Not repeated: it is a secret.
        return Err("the URL holds credentials; send them in a header field".to_owned());
    }
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(80);
    if host.is_empty() || port == 0 || (uri.port().is_none() && authority.ends_with(':')) {
        return Err("the URL has no host or a wrong port".to_owned());
    }
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    Ok(match literal.parse::<IpAddr>() {
        Ok(ip) => Target::Socket((ip, port).into()),
        Err(_) => Target::Name {
            host: host.to_ascii_lowercase().into(),
            port,
        },
    })
}

/// Makes an absolute URL into a target and a Host field (RFC 9112, section 3.2.1).
fn address(head: &mut http::Request<()>) {
    let host = head
        .uri()
        .authority()
        .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    strip(head.headers_mut());
    if let Some(host) = host {
        head.headers_mut().entry(header::HOST).or_insert(host);
    }
    let path = head.uri().path_and_query().cloned();
    *head.uri_mut() = path
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
        .into();
    *head.version_mut() = Version::HTTP_11;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_targets() {
        let socket = |text: &str| Ok(Target::Socket(text.parse().unwrap()));
        let name = |host: &str, port| {
            let host = host.into();
            Ok(Target::Name { host, port })
        };
        let target = |text: &str| target(&text.parse().unwrap());
        assert_eq!(target("http://127.0.0.1/x"), socket("127.0.0.1:80"));
        assert_eq!(target("http://[::1]:8080/"), socket("[::1]:8080"));
        assert_eq!(target("http://API.test:81"), name("api.test", 81));
        for wrong in [
            "https://a.test/",
            "ftp://a.test/",
            "/path",
            "http://u:secret@a.test/",
            "http://a.test:0/",
        ] {
            let error = target(wrong).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(target("https://a.test/").unwrap_err().contains("https"));
    }

    #[test]
    fn the_head_is_written_for_one_connection() {
        let mut head = http::Request::get("http://a.test:81?x=1")
            .header("connection", "x-hop, close")
            .header("x-hop", "1")
            .header("transfer-encoding", "chunked")
            .header("x-kept", "1")
            .version(Version::HTTP_2)
            .body(())
            .unwrap();
        address(&mut head);
        assert_eq!(head.uri(), "/?x=1");
        assert_eq!(head.version(), Version::HTTP_11);
        let mut names: Vec<_> = head.headers().keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "x-kept"]);
        assert_eq!(head.headers()[header::HOST], "a.test:81");
    }
}
