use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use proptest::prelude::*;

use super::super::grpc::{message, serving_status};
use super::*;

fn grpc(service: &str) -> HealthOptions {
    HealthOptions {
        probe: Probe::Grpc {
            service: service.into(),
        },
        ..http()
    }
}

/// What a scripted gRPC server answers.
#[derive(Clone, Debug)]
struct Script {
    status: u16,
    content_type: &'static str,
    /// The message with its five bytes; none: the answer ends with its head.
    body: Option<Vec<u8>>,
    grpc_status: Option<&'static str>,
}

impl Script {
    fn serving() -> Self {
        Self {
            status: 200,
            content_type: "application/grpc",
            body: Some(vec![0, 0, 0, 0, 2, 0x08, 1]),
            grpc_status: Some("0"),
        }
    }

    fn body(body: &[u8]) -> Self {
        Self {
            body: Some(body.to_vec()),
            ..Self::serving()
        }
    }

    fn error(status: &'static str) -> Self {
        Self {
            body: None,
            grpc_status: Some(status),
            ..Self::serving()
        }
    }
}

type Asked = (Request<()>, Vec<u8>);

async fn server(script: Script) -> (Server, mpsc::Receiver<Asked>) {
    let (tell, told) = mpsc::channel(8);
    let serve = move |stream: TcpStream| {
        let (script, tell) = (script.clone(), tell.clone());
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let (head, mut body) = request.into_parts();
                let (script, tell) = (script.clone(), tell.clone());
                // The body comes while the connection is driven on.
                tokio::spawn(async move {
                    let mut message = Vec::new();
                    while let Some(Ok(piece)) = body.data().await {
                        message.extend_from_slice(&piece);
                    }
                    tell.send((Request::from_parts(head, ()), message))
                        .await
                        .unwrap();
                    let mut trailers = HeaderMap::new();
                    if let Some(status) = script.grpc_status {
                        trailers.insert("grpc-status", status.parse().unwrap());
                    }
                    let mut answer = Response::builder()
                        .status(script.status)
                        .header("content-type", script.content_type)
                        .body(())
                        .unwrap();
                    let Some(body) = script.body else {
                        answer.headers_mut().extend(trailers);
                        respond.send_response(answer, true).unwrap();
                        return;
                    };
                    let mut stream = respond.send_response(answer, false).unwrap();
                    let bare = trailers.is_empty();
                    // The probe may have gone.
                    let _ = stream.send_data(Bytes::from(body), bare);
                    if !bare {
                        let _ = stream.send_trailers(trailers);
                    }
                });
            }
        }
    };
    (Server::start(serve).await, told)
}

#[tokio::test]
async fn a_serving_server_is_well_and_was_asked_as_the_protocol_says() {
    let (server, mut told) = server(Script::serving()).await;
    assert_eq!(probe(server.address, grpc("orders.v1")).await, Ok(()));
    let (request, message) = told.recv().await.unwrap();
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.uri().scheme_str(), Some("http"));
    let headers = request.headers();
    assert_eq!(headers["te"], "trailers");
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["grpc-timeout"], "20000m");
    assert_eq!(message, b"\0\0\0\0\x0b\x0a\x09orders.v1");
    probe(server.address, grpc("")).await.unwrap();
    assert_eq!(told.recv().await.unwrap().1, b"\0\0\0\0\0");
}

#[tokio::test]
async fn everything_else_is_a_failure() {
    use FailureKind::{Cut, Garbage, NotServing, Status};
    let not_found = Script::error("5");
    let no_service = Script::error("12");
    for (script, wanted, text) in [
        (
            Script::body(&[0, 0, 0, 0, 2, 0x08, 2]),
            NotServing,
            "NOT_SERVING",
        ),
        (
            Script::body(&[0, 0, 0, 0, 2, 0x08, 3]),
            NotServing,
            "SERVICE_UNKNOWN",
        ),
        (
            Script::body(&[0, 0, 0, 0, 2, 0x08, 9]),
            NotServing,
            "not defined",
        ),
        // A message without its field says 0.
        (Script::body(&[0, 0, 0, 0, 0]), NotServing, "UNKNOWN"),
        (not_found, NotServing, "does not know the service"),
        (no_service, NotServing, "has no health service"),
        (Script::error("14"), NotServing, "grpc-status 14"),
        (Script::error("x"), Garbage, "no number"),
        (
            Script {
                grpc_status: Some("14"),
                ..Script::serving()
            },
            NotServing,
            "14",
        ),
        (
            Script {
                grpc_status: None,
                ..Script::serving()
            },
            Cut,
            "without a grpc-status",
        ),
        (
            Script::body(&[1, 0, 0, 0, 2, 0x08, 1]),
            Garbage,
            "no message",
        ),
        (
            Script::body(&[0, 0, 0, 0, 3, 0x08, 1]),
            Garbage,
            "no message",
        ),
        (Script::body(&[0, 0, 0]), Garbage, "no message"),
        (
            Script::body(&[0, 0, 0, 0, 2, 0x0a, 1]),
            Garbage,
            "no message",
        ),
        (
            Script {
                content_type: "text/html",
                ..Script::serving()
            },
            Garbage,
            "not gRPC",
        ),
        (
            Script {
                status: 503,
                ..Script::serving()
            },
            Status,
            "503",
        ),
    ] {
        let (server, _told) = server(script.clone()).await;
        let error = probe(server.address, grpc("")).await.unwrap_err();
        assert_eq!(error.kind, wanted, "{script:?} {error}");
        assert!(error.text().contains(text), "{script:?} {error}");
    }
}

#[test]
fn a_long_name_has_a_length_of_two_bytes() {
    let name = "s".repeat(200);
    let message = message(&name);
    assert_eq!(message[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01]);
    assert_eq!(message.len(), 5 + 203);
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    let later = [
        0x10, 0xff, 0x01, // field 2, a number
        0x1a, 0x02, 9, 9, // field 3, two bytes
        0x08, 0x02, // field 1
        0x21, 0, 0, 0, 0, 0, 0, 0, 0, // field 4, eight bytes
        0x2d, 0, 0, 0, 0, // field 5, four bytes
        0x08, 0x01, // field 1 again: the last one counts
    ];
    assert_eq!(serving_status(&later), Some(1));
    for end in [1, 2, 4, 6, 8, 12, 20] {
        assert_eq!(serving_status(&later[..end]), None, "cut at {end}");
    }
    assert_eq!(serving_status(&[0x08, 0x80]), None);
    assert_eq!(serving_status(&[0xff; 20]), None);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = serving_status(&bytes);
    }

    #[test]
    fn a_status_is_read_back(status in any::<u32>(), before in any::<u32>()) {
        let mut message = Vec::new();
        for (tag, mut value) in [(0x10_u8, before), (0x08, status)] {
            message.push(tag);
            while value >= 0x80 {
                message.push((value & 0x7f) as u8 | 0x80);
                value >>= 7;
            }
            message.push(value as u8);
        }
        prop_assert_eq!(serving_status(&message), Some(u64::from(status)));
    }
}
