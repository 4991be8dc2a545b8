//! The client for `http` and `https` URLs outside the configuration.

use std::net::IpAddr;
use std::sync::Arc;

use farmgate_plugin_api::services::{ClientRequest, HostFuture, HttpClient};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Uri, Version, header};
use http_body_util::Full;

use super::connection::{Connection, Speak};
use super::pool::{Key, Target};
use super::{Answer, Outgoing, Wanted, begin, finish, refuse, strip};
use crate::snapshot::UpstreamProtocol;
use crate::tls::Alpn;
use crate::upstream::retry::{Attempts, Retry, RetryPolicy};

pub(super) struct UrlClient(pub(super) Arc<Outgoing>);

impl HttpClient for UrlClient {
    fn send(&self, request: ClientRequest) -> HostFuture<Answer> {
        let wanted = Wanted::Body(request.max_response_bytes);
        self.run(request, wanted)
    }

    fn send_and_discard(&self, request: ClientRequest) -> HostFuture<Answer<()>> {
        let answer = self.run(request, Wanted::Head);
        Box::pin(async move { answer.await.map(|answer| answer.map(drop)) })
    }
}

impl UrlClient {
    fn run(&self, request: ClientRequest, wanted: Wanted) -> HostFuture<Answer> {
        let to = match target(request.head.uri()) {
            Ok(to) => to,
            Err(text) => return refuse(text),
        };
        if request.head.method() == Method::CONNECT {
            return refuse("CONNECT is not sent");
        }
        let outgoing = Arc::clone(&self.0);
        let limit = request.timeout;
        self.0
            .run(wanted, limit, ask(outgoing, to, request, wanted))
    }
}

async fn ask(outgoing: Arc<Outgoing>, to: To, request: ClientRequest, wanted: Wanted) -> Answer {
    let pool = &outgoing.pool;
    // Taken once: a connection is made with what its key says.
    let tls = match &to.verified {
        Some(host) => Some(outgoing.https.connector(host).await?),
        None => None,
    };
    let key = Key {
        target: to.target,
        protocol: UpstreamProtocol::Http1,
        tls: tls.as_ref().map_or(0, |tls| tls.key(Alpn::Http1)),
        proxy_protocol: None,
    };
    let mut head = request.head;
    address(&mut head);
    let mut attempts = Attempts::default();
    loop {
        let sendable = |_| Ok(head.clone().map(|()| Full::new(request.body.clone())));
        let speak = match &tls {
            Some(tls) => Speak::Tls(Arc::clone(tls), Alpn::Http1),
            None => Speak::Http1,
        };
        let connect = Connection::open(&key.target, speak, &[], || None);
        match begin(pool, &key, connect, sendable, request.timeout).await {
            Ok(begun) => {
                return finish(pool, &key, begun, wanted).await;
            }
            Err(failed) => {
                let method = head.method();
                let next = attempts.failed(&RetryPolicy::OFF, method, failed.class, failed.sent);
                if next == Retry::No {
                    return Err(failed.text);
                }
            }
        }
    }
}

/// Where a URL leads.
#[derive(Debug, PartialEq, Eq)]
struct To {
    target: Target,
    /// The host whose certificate is asked for, with `https`.
    verified: Option<Box<str>>,
}

fn target(uri: &Uri) -> Result<To, String> {
    let (is_https, usual_port) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        Some(other) => return Err(format!("the scheme {other} is not http or https")),
        None => return Err("the URL is not absolute; write http://HOST/PATH".to_owned()),
    };
    let authority = uri.authority().map_or("", Authority::as_str);
    if authority.contains('@') {
        // Not repeated: it is a secret.
        return Err("the URL holds credentials; send them in a header field".to_owned());
    }
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(usual_port);
    if host.is_empty() || port == 0 || (uri.port().is_none() && authority.ends_with(':')) {
        return Err("the URL has no host or a wrong port".to_owned());
    }
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let target = match literal.parse::<IpAddr>() {
        Ok(ip) => Target::Socket((ip, port).into()),
        Err(_) => Target::Name {
            host: host.to_ascii_lowercase().into(),
            port,
        },
    };
    let verified = is_https.then(|| host.into());
    Ok(To { target, verified })
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
        let socket = |text: &str| To {
            target: Target::Socket(text.parse().unwrap()),
            verified: None,
        };
        let name = |host: &str, port, verified: Option<&str>| To {
            target: Target::Name {
                host: host.into(),
                port,
            },
            verified: verified.map(Into::into),
        };
        let target = |text: &str| target(&text.parse().unwrap());
        assert_eq!(target("http://127.0.0.1/x"), Ok(socket("127.0.0.1:80")));
        assert_eq!(target("http://[::1]:8080/"), Ok(socket("[::1]:8080")));
        assert_eq!(target("http://API.test:81"), Ok(name("api.test", 81, None)));
        let https = name("a.test", 443, Some("a.test"));
        assert_eq!(target("https://a.test/"), Ok(https));
        for wrong in [
            "ftp://a.test/",
            "/path",
            "http://u:secret@a.test/",
            "http://a.test:0/",
        ] {
            let error = target(wrong).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
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
