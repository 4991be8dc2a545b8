//! A real server that changes its mind, the real clock, conditions with bounds.

use std::sync::atomic::AtomicU16;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::upstream::health::dial::PlainDialer;

/// What a healthy machine never needs.
const BOUND: Duration = Duration::from_secs(20);

async fn serve(listener: TcpListener, status: Arc<AtomicU16>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await;
        let status = status.load(Ordering::Relaxed);
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
        let whole = format!("HTTP/1.1 {status} Word\r\ncontent-length: 2\r\n\r\nok");
        let answer = if status == 0 { half } else { &whole };
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn a_real_endpoint_is_followed_through_its_troubles() {
    let status = Arc::new(AtomicU16::new(200));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, Arc::clone(&status)));
    let (tell, mut told) = mpsc::unbounded_channel();
    let sink: Sink = Arc::new(move |_, change| tell.send(change).unwrap());
    let checker = Checker::spawn(Arc::new(PlainDialer), sink);
    let options = HealthOptions {
        interval: Duration::from_millis(100),
        // Every answer here comes at once; a machine that is busy with other tests is no failure.
        timeout: BOUND,
        rise: 2,
        fall: 2,
        ..HealthOptions::default()
    };
    checker.update(vec![Target {
        address: EndpointAddress::Socket(address),
        configured: address.to_string().into(),
        ..target(1, "a", &options)
    }]);
    let mut next = async || timeout(BOUND, told.recv()).await.unwrap().unwrap();
    let first = next().await;
    assert_eq!((first.to, first.why), (Phase::Up, Why::Passed));
    for (trouble, wanted) in [(503, FailureKind::Status), (0, FailureKind::Cut)] {
        status.store(trouble, Ordering::Relaxed);
        let change = next().await;
        let Why::Failed(error) = change.why else {
            panic!("{change:?}");
        };
        assert_eq!((change.to, error.kind), (Phase::Down, wanted));
        status.store(200, Ordering::Relaxed);
        assert_eq!(next().await.to, Phase::Up);
    }
    // The process is killed, and started again at its address.
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    let change = next().await;
    let Why::Failed(error) = change.why else {
        panic!("{change:?}");
    };
    assert_eq!(error.kind, FailureKind::Connect);
    let listener = TcpListener::bind(address).await.unwrap();
    let server = tokio::spawn(serve(listener, status));
    assert_eq!(next().await.to, Phase::Up);
    drop(checker);
    server.abort();
}
