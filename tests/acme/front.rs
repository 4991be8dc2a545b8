//! An authority that says when to renew (RFC 9773), which Debian's pebble does not: a front before it that adds these
//! answers and hands everything else on.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use boring::ssl::{SslAcceptor, SslConnector, SslFiletype, SslMethod};
use bytes::Bytes;
use farmgate::tls::acme::{AcmeEvent, Asked, Challenge, settings as checked};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::node::{Node, now};
use super::pebble::Pebble;
use super::responder::Responder;
use crate::harness::{eventually, free_address};

/// What the front answers and saw.
struct Front {
    address: SocketAddr,
    pebble: SocketAddr,
    connector: SslConnector,
    /// `start/end` in RFC 3339, and when to ask again.
    window: Mutex<(&'static str, &'static str)>,
    asked: AtomicUsize,
    paths: Mutex<Vec<String>>,
}

impl Front {
    async fn start(pebble: &Pebble) -> Arc<Self> {
        let (certificate, key) = pebble.identity();
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        acceptor.set_certificate_chain_file(&certificate).unwrap();
        acceptor
            .set_private_key_file(&key, SslFiletype::PEM)
            .unwrap();
        let acceptor = acceptor.build();
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.set_ca_file(pebble.ca()).unwrap();
        let front = Arc::new(Self {
            address: free_address(),
            pebble: pebble.listen(),
            connector: connector.build(),
            window: Mutex::new(("2001-01-01T00:00:00Z", "2001-01-02T00:00:00Z")),
            asked: AtomicUsize::new(0),
            paths: Mutex::default(),
        });
        let listener = TcpListener::bind(front.address).await.unwrap();
        let shared = Arc::clone(&front);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (front, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    let Ok(stream) = tokio_boring::accept(&acceptor, stream).await else {
                        return;
                    };
                    let answer = service_fn(|request| {
                        let front = Arc::clone(&front);
                        async move { Ok::<_, Infallible>(front.answer(request).await) }
                    });
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        front
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        if let Some(certificate) = path.strip_prefix("/renewal-info/") {
            self.paths.lock().unwrap().push(certificate.to_owned());
            self.asked.fetch_add(1, Ordering::Relaxed);
            let (start, end) = *self.window.lock().unwrap();
            let text = format!(r#"{{"suggestedWindow": {{"start": "{start}", "end": "{end}"}}}}"#);
            let response = Response::builder().header("retry-after", "21600");
            return response.body(text.into()).unwrap();
        }
        let (parts, body) = self.hand_on(request).await.into_parts();
        if path != "/dir" {
            return Response::from_parts(parts, body.into());
        }
        let mut directory: serde_json::Value = serde_json::from_slice(&body).unwrap();
        directory["renewalInfo"] = format!("https://{}/renewal-info", self.address).into();
        Response::new(directory.to_string().into())
    }

    /// Pebble's answer. It makes its URLs from the host that was asked, which is the front's.
    async fn hand_on(&self, request: Request<Incoming>) -> Response<Bytes> {
        let stream = TcpStream::connect(self.pebble).await.unwrap();
        let config = self.connector.configure().unwrap();
        let host = self.pebble.ip().to_string();
        let stream = tokio_boring::connect(config, &host, stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut request = Request::from_parts(parts, Full::new(body));
        *request.uri_mut() = Uri::from(request.uri().path_and_query().unwrap().clone());
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_ne!(parts.status, StatusCode::BAD_GATEWAY);
        Response::from_parts(parts, body)
    }
}

#[tokio::test]
async fn the_authoritys_window_is_asked_for_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let pebble = Pebble::start(folder.path()).await;
    let front = Front::start(&pebble).await;
    let (storage, ca) = (folder.path().join("acme"), pebble.ca());
    let directory = format!("https://{}/dir", front.address);
    let asked = Asked {
        directory: &directory,
        ca: Some(&ca),
        email: None,
        terms_agreed: true,
        domains: vec!["auto.example.test"],
        challenge: Challenge::Http01,
        storage: &storage,
    };
    let node = Node::start(checked::check(&asked).unwrap(), "n1");
    let _responder = Responder::http01(pebble.http, node.challenges());
    let first = node.ordered().await;
    // The window lies in the past: renew now. A new certificate rests for six hours all the same.
    let next = node.rests().await;
    assert!(
        (5 * 3_600 + 1_800..=6 * 3_600).contains(&(next - now())),
        "{next}"
    );
    assert_eq!(front.asked.load(Ordering::Relaxed), 1);
    *front.window.lock().unwrap() = ("2100-01-01T00:00:00Z", "2100-01-02T00:00:00Z");
    // Until the window is asked for again, what was said counts.
    node.ahead(Duration::from_secs(6 * 3_600));
    let renewed = |event: &AcmeEvent| matches!(event, AcmeEvent::Renewed { .. }).then_some(());
    node.hears("a renewal", renewed).await;
    assert_ne!(node.served().unwrap().fingerprint(), first.fingerprint());
    eventually("a question about the new certificate", || async {
        (front.asked.load(Ordering::Relaxed) >= 2).then_some(())
    })
    .await;
    // A window far beyond the end is capped, so that the certificate does not run out.
    let second = node.served().unwrap();
    eventually("another time", || async {
        let events = node.events();
        let last = events.iter().rev().find_map(|event| match event {
            AcmeEvent::NextAttempt { at } => Some(*at),
            _ => None,
        })?;
        (last > now() + 365 * 86_400 && last < second.not_after()).then_some(())
    })
    .await;
    // RFC 9773 section 4.1: key identifier of the issuer, a dot, serial number; both in base64url.
    let paths = front.paths.lock().unwrap().clone();
    for path in &paths {
        let (issuer, serial) = path.split_once('.').unwrap();
        assert!(!issuer.is_empty() && !serial.is_empty(), "{path}");
    }
    assert_ne!(paths.first(), paths.last());
    node.stop().await;
}
