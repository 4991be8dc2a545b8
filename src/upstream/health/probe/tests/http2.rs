use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

fn http2(path: &str, body: &str) -> HealthOptions {
    HealthOptions {
        probe: Probe::Http {
            method: "GET".into(),
            path: path.into(),
            host: None,
            headers: vec![("x-check".into(), "yes".into())],
            status: vec![200..=299],
            body: Some(body.as_bytes().into()),
            http2: true,
        },
        ..http()
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.version(), Version::HTTP_2);
    assert_eq!(request.headers()["x-check"], "yes");
    assert_eq!(request.headers()["user-agent"], "farmgate-health");
    let authority = request.uri().authority().unwrap();
    assert!(authority.as_str().starts_with("127.0.0.1:"));
    let (status, body) = match request.uri().path() {
        "/well" => (200, "all is ok".to_owned()),
        "/large" => (200, format!("{}ok", "x".repeat(65_534))),
        "/late" => (200, format!("{}ok", "x".repeat(200_000))),
        _ => (503, "ok".to_owned()),
    };
    let body = Full::new(Bytes::from(body));
    Ok(Response::builder().status(status).body(body).unwrap())
}

#[tokio::test]
async fn a_real_server_is_asked_over_http2() {
    let (ended, mut ends) = mpsc::channel(8);
    let server = Server::start(move |stream| {
        let ended = ended.clone();
        async move {
            let end = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
            ended.send(end.is_ok()).await.unwrap();
        }
    })
    .await;
    for (path, wanted) in [
        ("/well", None),
        ("/large", None),
        ("/late", Some(FailureKind::Body)),
        ("/ill", Some(FailureKind::Status)),
    ] {
        let outcome = probe(server.address, http2(path, "ok")).await;
        assert_eq!(kind(&outcome), wanted, "{path} {outcome:?}");
        let was_clean = ends.recv().await.unwrap();
        assert!(was_clean || wanted.is_some(), "{path} ended without GOAWAY");
    }
}

/// What an HTTP/2 server does wrong.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// Part of a body, then the connection ends.
    Half,
    /// A head, then the stream is reset.
    Reset,
    /// Less than its content-length.
    Short,
    /// A head and nothing more.
    Silent,
}

async fn wrong_server(wrong: Wrong) -> Server {
    Server::start(move |stream: TcpStream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let length = if matches!(wrong, Wrong::Short) { 9 } else { 2 };
            let head = Response::builder().header("content-length", length);
            let mut stream = respond
                .send_response(head.body(()).unwrap(), false)
                .unwrap();
            match wrong {
                Wrong::Half => {
                    stream.send_data(Bytes::from_static(b"o"), false).unwrap();
                    // Flushes, and ends before the rest.
                    connection.abrupt_shutdown(h2::Reason::INTERNAL_ERROR);
                }
                Wrong::Reset => stream.send_reset(h2::Reason::REFUSED_STREAM),
                Wrong::Short => stream.send_data(Bytes::from_static(b"ok"), true).unwrap(),
                Wrong::Silent => {
                    let _ = connection.accept().await;
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn wrong_servers_are_failures() {
    for (wrong, wanted) in [
        (Wrong::Half, FailureKind::Cut),
        (Wrong::Reset, FailureKind::Cut),
        (Wrong::Short, FailureKind::Garbage),
        (Wrong::Silent, FailureKind::Timeout),
    ] {
        let server = wrong_server(wrong).await;
        let mut options = http2("/", "o");
        if matches!(wrong, Wrong::Silent) {
            options.timeout = SHORT;
        }
        let outcome = probe(server.address, options).await;
        assert_eq!(kind(&outcome), Some(wanted), "{wrong:?} {outcome:?}");
    }
    // One that speaks HTTP/1, one that closes, one that says nothing.
    let raw = |answer: &str, end| {
        let answer: Arc<str> = answer.into();
        Server::start(move |mut stream: TcpStream| {
            let answer = Arc::clone(&answer);
            async move {
                let _ = stream.write_all(answer.as_bytes()).await;
                if end == End::Hold {
                    let mut rest = Vec::new();
                    let _ = stream.read_to_end(&mut rest).await;
                }
            }
        })
    };
    let http1 = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    for (server, timeout, wanted) in [
        (raw(http1, End::Hold).await, LONG, FailureKind::Garbage),
        (raw("", End::Close).await, LONG, FailureKind::Cut),
        (raw("", End::Hold).await, SHORT, FailureKind::Timeout),
    ] {
        let options = HealthOptions {
            timeout,
            ..http2("/", "o")
        };
        let outcome = probe(server.address, options).await;
        assert_eq!(kind(&outcome), Some(wanted), "{outcome:?}");
    }
}
