use super::*;
use tokio::net::UnixListener;

/// `GET /` that expects 200..=299 and, if given, a body.
fn expecting(body: Option<&str>) -> HealthOptions {
    HealthOptions {
        probe: Probe::Http {
            method: "GET".into(),
            path: "/healthz?deep=1".into(),
            host: None,
            headers: vec![("X-Check".into(), "yes".into())],
            status: vec![200..=299],
            body: body.map(|body| body.as_bytes().into()),
            http2: false,
        },
        ..http()
    }
}

#[tokio::test]
async fn good_answers_in_every_framing() {
    let large = format!("HTTP/1.1 200 OK\r\n\r\n{}ok", "x".repeat(65_534));
    for (answer, end) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n",
            End::Hold,
        ),
        ("HTTP/1.0 200 OK\r\n\r\nit is ok", End::Close),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;x=y\r\no\r\n1\r\nk\r\n0\r\nt: v\r\n\r\n",
            End::Hold,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 299 Fine\r\n\
             Content-Length: 2\r\ncontent-length: 2\r\n\r\nok",
            End::Hold,
        ),
        // At the very end of what is searched.
        (large.as_str(), End::Close),
        // Bytes after the answer are not part of it.
        (
            "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok and more",
            End::Hold,
        ),
    ] {
        let (server, _told) = Server::raw(answer, end).await;
        let outcome = probe(server.address, expecting(Some("ok"))).await;
        assert_eq!(outcome, Ok(()), "{:.80}", answer);
    }
    // A body that never ends is fine after 64 KiB when nothing is looked for.
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(70_000));
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7fffffffffffffff\r\n";
    let chunk = format!("{chunks}{}", "x".repeat(70_000));
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n";
    let length = format!("{length}{}", "x".repeat(70_000));
    let nothing = "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n".to_owned();
    for answer in [endless, chunk, length, nothing] {
        let (server, _told) = Server::raw(answer.clone(), End::Hold).await;
        let outcome = probe(server.address, expecting(None)).await;
        assert_eq!(outcome, Ok(()), "{:.80}", answer);
    }
}

#[tokio::test]
async fn wrong_and_half_answers_are_failures() {
    use FailureKind::{Body, Cut, Garbage, Status};
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let large_head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(20_000));
    let many_heads = "HTTP/1.1 103 Early\r\n\r\n".repeat(1000);
    let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    let too_late = format!("HTTP/1.1 200 OK\r\n\r\n{}ok", "x".repeat(65_535));
    let after_length = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxok".to_owned();
    for (answer, end, wanted) in [
        (String::new(), End::Close, Cut),
        (String::new(), End::Reset, Cut),
        ("HTTP/1.1 200 OK\r\ncontent-le".into(), End::Close, Cut),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok".into(),
            End::Close,
            Cut,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok".into(),
            End::Reset,
            Cut,
        ),
        (chunked.into(), End::Close, Cut),
        (format!("{chunked}5\r\nok"), End::Close, Cut),
        (format!("{chunked}2\r\nok\r"), End::Close, Cut),
        (format!("{chunked}2\r\nok\r\n0\r\n"), End::Close, Cut),
        (format!("{chunked}2\r\nokXX0\r\n\r\n"), End::Hold, Garbage),
        (format!("{chunked}zz\r\nok"), End::Hold, Garbage),
        (format!("{chunked}\r\nok"), End::Hold, Garbage),
        (
            format!("{chunked}1{}", ";x".repeat(1000)),
            End::Hold,
            Garbage,
        ),
        (format!("{chunked}0\r\n: \0\r\n\r\n"), End::Hold, Garbage),
        ("SSH-2.0-OpenSSH_9.9\r\n".into(), End::Hold, Garbage),
        ("HTTP/1.1 2x0 OK\r\n\r\n".into(), End::Hold, Garbage),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\nok".into(),
            End::Hold,
            Garbage,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok".into(),
            End::Hold,
            Garbage,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok".into(),
            End::Hold,
            Garbage,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n".into(),
            End::Hold,
            Garbage,
        ),
        (large_head, End::Hold, Garbage),
        (many_heads, End::Hold, Garbage),
        (many_headers, End::Hold, Garbage),
        (
            "HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nok".into(),
            End::Hold,
            Status,
        ),
        ("HTTP/1.1 101 Switching\r\n\r\nok".into(), End::Hold, Status),
        ("HTTP/1.1 300 Many\r\n\r\nok".into(), End::Hold, Status),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnope".into(),
            End::Hold,
            Body,
        ),
        ("HTTP/1.1 204 OK\r\n\r\nok".into(), End::Hold, Body),
        (too_late, End::Close, Body),
        (after_length, End::Hold, Body),
    ] {
        let (server, _told) = Server::raw(answer.clone(), end).await;
        let outcome = probe(server.address, expecting(Some("ok"))).await;
        assert_eq!(kind(&outcome), Some(wanted), "{:.80} {:?}", answer, outcome);
    }
}

#[tokio::test]
async fn the_failure_says_what_came_and_what_was_expected() {
    let (server, _told) = Server::raw("HTTP/1.1 503 Busy\r\n\r\n", End::Close).await;
    let mut options = expecting(None);
    if let Probe::Http { status, .. } = &mut options.probe {
        *status = vec![200..=299, 401..=401];
    }
    let error = probe(server.address, options).await.unwrap_err();
    assert_eq!(error.text(), "status 503, expected 200-299, 401");
}

#[tokio::test]
async fn an_endpoint_that_is_silent_or_dribbles_ends_in_time() {
    let short = HealthOptions {
        timeout: SHORT,
        ..expecting(None)
    };
    let dribbles = Server::start(async |mut stream: TcpStream| {
        // It never ends by itself, but when the probe has gone.
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
            .iter()
            .cycle()
        {
            pace.tick().await;
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    })
    .await;
    let (silent, _told) = Server::raw("", End::Hold).await;
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok";
    let (half, _told) = Server::raw(half, End::Hold).await;
    for server in [dribbles, silent, half] {
        let started = Instant::now();
        let outcome = probe(server.address, short.clone()).await;
        assert_eq!(kind(&outcome), Some(FailureKind::Timeout), "{outcome:?}");
        assert!(started.elapsed() >= SHORT);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn the_request_is_what_was_configured() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (server, mut told) = Server::raw(answer, End::Hold).await;
    probe(server.address, expecting(None)).await.unwrap();
    let host = server.address;
    assert_eq!(
        told.recv().await.unwrap(),
        format!(
            "GET /healthz?deep=1 HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nx-check: yes\r\n\
             user-agent: farmgate-health\r\naccept: */*\r\n\r\n"
        )
    );
    let mut options = expecting(None);
    options.port = Some(host.port());
    if let Probe::Http {
        method, headers, ..
    } = &mut options.probe
    {
        *method = "HEAD".into();
        *headers = vec![("User-Agent".into(), "mine".into())];
    }
    // By name, at another port; the answer to HEAD has a length and no body.
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n";
    let (server, mut told) = Server::raw(answer, End::Hold).await;
    options.port = Some(server.address.port());
    let mut target = target(EndpointAddress::Socket(nobody().await), options);
    target.configured = "app.internal:8080".into();
    run(&PlainDialer, &target).await.unwrap();
    let head = told.recv().await.unwrap();
    let port = server.address.port();
    assert!(head.starts_with(&format!(
        "HEAD /healthz?deep=1 HTTP/1.1\r\nhost: app.internal:{port}\r\n"
    )));
    assert!(head.contains("user-agent: mine\r\n") && !head.contains("farmgate"));
}

#[tokio::test]
async fn a_unix_socket_is_asked_as_localhost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let bytes = stream.read(&mut head).await.unwrap();
        head.truncate(bytes);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let target = target(EndpointAddress::Unix(path), expecting(None));
    run(&PlainDialer, &target).await.unwrap();
    assert!(server.await.unwrap().contains("host: localhost\r\n"));
}

#[tokio::test]
async fn words_that_would_smuggle_are_never_sent() {
    let (server, mut told) = Server::raw("HTTP/1.1 200 OK\r\n\r\n", End::Close).await;
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for (method, path, host, headers) in [
        ("GET / HTTP/1.1\r\nx:", "/", "a", vec![]),
        ("CONNECT", "/", "a", vec![]),
        ("GET", "/a b", "a", vec![]),
        ("GET", "/\r\nx: y", "a", vec![]),
        ("GET", "http://other/", "a", vec![]),
        ("GET", "/", "a\r\nx: y", vec![]),
        ("GET", "/", "user@a", vec![]),
        ("GET", "/", "", vec![]),
        ("GET", "/", "a", header("x", "y\r\nz: 1")),
        ("GET", "/", "a", header("x y", "1")),
        ("GET", "/", "a", header("Host", "b")),
        ("GET", "/", "a", header("Content-Length", "5")),
        ("GET", "/", "a", header("transfer-encoding", "chunked")),
    ] {
        let options = HealthOptions {
            probe: Probe::Http {
                method: method.into(),
                path: path.into(),
                host: Some(host.into()),
                headers,
                status: vec![200..=299],
                body: None,
                http2: false,
            },
            ..http()
        };
        let mistakes = options.check().unwrap_err();
        assert!(!mistakes[0].to_string().contains("z: 1"), "{mistakes:?}");
        let outcome = probe(server.address, options).await;
        assert_eq!(kind(&outcome), Some(FailureKind::Internal), "{outcome:?}");
    }
    while let Ok(head) = told.try_recv() {
        assert_eq!(head, "", "nothing was sent");
    }
}
