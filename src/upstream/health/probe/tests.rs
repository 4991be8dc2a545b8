//! Probes against real servers on loopback: raw sockets where the answer must be wrong, hyper and h2 where it is right.

mod grpc;
mod http1;
mod http2;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::upstream::health::dial::PlainDialer;
use crate::upstream::health::failure::FailureKind;
use crate::upstream::health::options::HealthOptions;
use crate::upstream::health::state::Health;

/// Long enough to never end a test that goes well.
const LONG: Duration = Duration::from_secs(20);

/// For answers that never come.
const SHORT: Duration = Duration::from_millis(150);

fn http() -> HealthOptions {
    HealthOptions {
        timeout: LONG,
        ..HealthOptions::default()
    }
}

fn target(address: EndpointAddress, options: HealthOptions) -> Target {
    Target {
        key: 1,
        upstream: "farm".into(),
        configured: address.to_string().into(),
        address,
        options: Arc::new(options),
        health: Arc::<Health>::default(),
    }
}

async fn probe(address: SocketAddr, options: HealthOptions) -> Result<(), ProbeError> {
    run(
        &PlainDialer,
        &target(EndpointAddress::Socket(address), options),
    )
    .await
}

fn kind(outcome: &Result<(), ProbeError>) -> Option<FailureKind> {
    outcome.as_ref().err().map(|error| error.kind)
}

/// How a raw server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Closes after the answer.
    Close,
    /// Stays until the other side closes.
    Hold,
    /// Resets the connection.
    Reset,
}

/// A server that takes one connection after the other; it ends with the test.
struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve(stream).await;
            }
        });
        Self { address, task }
    }

    /// Reads one request's head and tells it, answers with `answer` as it is, ends as told.
    async fn raw(answer: impl Into<Vec<u8>>, end: End) -> (Self, mpsc::Receiver<String>) {
        let (tell, told) = mpsc::channel(8);
        let answer: Arc<[u8]> = answer.into().into();
        let serve = move |mut stream: TcpStream| {
            let (answer, tell) = (Arc::clone(&answer), tell.clone());
            async move {
                let head = read_head(&mut stream).await;
                let _ = tell.send(head).await;
                // The probe may have seen enough and gone.
                let _ = stream.write_all(&answer).await;
                match end {
                    End::Close => {}
                    End::Hold => {
                        let _ = stream.read(&mut [0]).await;
                    }
                    End::Reset => stream.set_zero_linger().unwrap(),
                }
            }
        };
        (Self::start(serve).await, told)
    }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_tcp_probe_is_a_connection() {
    let (server, _) = Server::raw("", End::Hold).await;
    let tcp = HealthOptions {
        probe: Probe::Tcp,
        timeout: LONG,
        ..HealthOptions::default()
    };
    assert_eq!(probe(server.address, tcp.clone()).await, Ok(()));
    let refused = probe(nobody().await, tcp.clone()).await;
    assert_eq!(kind(&refused), Some(FailureKind::Connect), "{refused:?}");
    // The port of the check, not of the endpoint.
    let elsewhere = HealthOptions {
        port: Some(server.address.port()),
        ..tcp
    };
    assert_eq!(probe(nobody().await, elsewhere).await, Ok(()));
}

#[tokio::test]
async fn a_name_that_was_not_resolved_is_our_mistake() {
    let name = "app.internal:80".parse().unwrap();
    let outcome = run(&PlainDialer, &target(name, http())).await;
    assert_eq!(kind(&outcome), Some(FailureKind::Internal));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_comes_ends_in_time() {
    struct Never;
    impl Dialer for Never {
        fn dial<'a>(
            &'a self,
            _: &'a Target,
            _: &'a EndpointAddress,
            _: Spoken,
        ) -> crate::upstream::health::dial::DialFuture<'a> {
            Box::pin(std::future::pending())
        }
    }
    let started = Instant::now();
    let options = HealthOptions {
        timeout: Duration::from_secs(2),
        ..http()
    };
    let address = EndpointAddress::Socket("10.0.0.1:80".parse().unwrap());
    let outcome = run(&Never, &target(address, options)).await.unwrap_err();
    assert_eq!(outcome.kind, FailureKind::Timeout);
    assert_eq!(outcome.text(), "no connection to 10.0.0.1:80 within 2s");
    assert!(started.elapsed() < Duration::from_millis(2010));
}
