use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use boring::ssl::{SslAcceptor, SslContext, SslFiletype, SslMethod, SslVersion};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pingora_core::tls::tokio_ssl::SslStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::certificate::CertificateFiles;

/// What the server of a test does once its handshake is done.
#[derive(Clone, Copy)]
enum Then {
    /// Answers every read with this, until there is none.
    Answer(&'static [u8]),
    /// Closes at once, by a reset.
    Reset,
    /// Answers as an HTTP/2 server, with a body of two bytes.
    Http2,
}

/// A TLS server on the runtime of the test.
async fn serve(files: &CertificateFiles, groups: &str, then: Then) -> SocketAddr {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    builder
        .set_min_proto_version(Some(SslVersion::TLS1_3))
        .unwrap();
    builder.set_curves_list(groups).unwrap();
    builder
        .set_certificate_chain_file(&files.certificate)
        .unwrap();
    builder
        .set_private_key_file(&files.key, SslFiletype::PEM)
        .unwrap();
    builder.set_alpn_select_callback(|_, offered| Ok(&offered[1..]));
    let context: Arc<SslContext> = Arc::new(builder.build().into_context());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let ssl = boring::ssl::Ssl::new(&context).unwrap();
            tokio::spawn(async move {
                let mut stream = SslStream::new(ssl, stream).unwrap();
                if std::pin::Pin::new(&mut stream).accept().await.is_err() {
                    return;
                }
                let answer = match then {
                    Then::Answer(answer) => answer,
                    Then::Reset => return stream.get_ref().set_zero_linger().unwrap(),
                    Then::Http2 => return serve_http2(stream).await,
                };
                let mut request = [0; 4096];
                while matches!(stream.read(&mut request).await, Ok(1..)) {
                    stream.write_all(answer).await.unwrap();
                }
            });
        }
    });
    address
}

async fn serve_http2(stream: SslStream<TcpStream>) {
    let answer = |request: Request<Incoming>| async move {
        assert_eq!(request.uri(), "https://www.example.test/a?b=1");
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
    };
    // It ends with an error when the client is done and goes.
    let _ = http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
}

fn load(protocol: &str, group: &str) -> Load {
    let streams = if protocol == "h2" { 4 } else { 1 };
    let text = format!(
        "target = \"/a?b=1\"\nhost = \"www.example.test\"\nheaders = [\"x-a: 1\"]\nconnections = 3\n\
         response_bytes = 2\n[tls]\nprotocol = \"{protocol}\"\nstreams = {streams}\ngroup = \"{group}\"\n"
    );
    toml::from_str(&text).unwrap()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const SHORT: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\no";

/// What a run of a tenth of a second counts.
fn run_against(protocol: &str, groups: &str, then: Then) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let files = CertificateFiles::make(folder.path()).unwrap();
    let load = load(protocol, "X25519");
    runtime().unwrap().block_on(async {
        let address = serve(&files, groups, then).await;
        let dial = Dial::new(address, &load, None).unwrap();
        let order = Order::new(&load).unwrap();
        let length = Duration::from_millis(100);
        let outcome = drive::drive(load, dial, order, length, std::process::id()).await;
        outcome.unwrap().run
    })
}

#[test]
fn counts_answers_and_handshakes() {
    let run = run_against("http1", "X25519", Then::Answer(OK));
    assert!(run.requests > 3 && run.bytes == 2 * run.requests, "{run:?}");
    assert_eq!(run.losses(), 0, "{run:?}");
    let run = run_against("nothing", "X25519", Then::Answer(OK));
    assert!(run.requests > 3 && run.losses() == 0, "{run:?}");
}

#[test]
fn counts_answers_over_http2() {
    let run = run_against("h2", "X25519", Then::Http2);
    assert!(run.requests > 3 && run.bytes == 2 * run.requests, "{run:?}");
    assert_eq!(run.losses(), 0, "{run:?}");
}

#[test]
fn a_short_body_is_a_loss() {
    let run = run_against("http1", "X25519", Then::Answer(SHORT));
    assert!(
        run.requests > 0 && run.bad_statuses == run.requests,
        "{run:?}"
    );
}

#[test]
fn another_group_is_no_connection() {
    let run = run_against("nothing", "P-256", Then::Answer(OK));
    assert!(run.requests == 0 && run.connect_errors > 0, "{run:?}");
}

#[test]
fn a_reset_is_no_handshake() {
    let run = run_against("nothing", "X25519", Then::Reset);
    assert!(run.requests == 0 && run.read_errors > 0, "{run:?}");
}

#[test]
fn the_certificate_must_hold_when_an_authority_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let files = CertificateFiles::make(folder.path()).unwrap();
    let stranger = tempfile::tempdir().unwrap();
    let stranger = CertificateFiles::make(stranger.path()).unwrap();
    let open = |host: &str, authority: &Path| {
        let mut load = load("http1", "X25519");
        load.host = host.to_owned();
        runtime().unwrap().block_on(async {
            let address = serve(&files, "X25519", Then::Answer(OK)).await;
            let dial = Dial::new(address, &load, Some(authority)).unwrap();
            dial.open().await.map(|_| ())
        })
    };
    assert_eq!(open("www.example.test", &files.authority), Ok(()));
    assert!(open("www.other.test", &files.authority).is_err());
    assert!(open("www.example.test", &stranger.authority).is_err());
}

#[test]
fn an_order_names_what_is_no_request() {
    let mut wrong = load("h2", "X25519");
    assert!(Order::new(&wrong).is_ok());
    wrong.headers = vec!["no colon".into()];
    assert!(Order::new(&wrong).err().unwrap().contains("no colon"));
    wrong.headers.clear();
    wrong.target = "not a target".into();
    assert!(Order::new(&wrong).err().unwrap().contains("not a target"));
}
