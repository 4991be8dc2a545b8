//! An origin that speaks HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{config, get, is_hit, stored};
use crate::harness::http2::Http2;
use crate::harness::{Node, SOON, Setup, free_address, node::joined};

const BODY: usize = 100_000;

/// Answers with a body of [`BODY`] bytes, without its length; under `/cut` it resets the stream
/// after half of it, when `cut` says so.
async fn origin(cut: watch::Receiver<bool>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(free_address()).await.expect("bind");
    let address = listener.local_addr().expect("an address");
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (asked, cut) = (Arc::clone(&counted), cut.clone());
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else {
                    return;
                };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let path = request.uri().path().to_owned();
                    tokio::spawn(answer(path, respond, cut.clone()));
                }
            });
        }
    });
    (address, asked)
}

/// An hour ago.
fn date() -> String {
    let hour = std::time::Duration::from_secs(3600);
    httpdate::fmt_http_date(std::time::SystemTime::now() - hour)
}

async fn answer(
    path: String,
    mut respond: h2::server::SendResponse<Bytes>,
    mut cut: watch::Receiver<bool>,
) {
    let head = Response::builder()
        .header("cache-control", "max-age=7200")
        .header("date", date());
    let head = head.body(()).expect("a head");
    let mut stream = respond.send_response(head, false).expect("send");
    let half = BODY / 2;
    send(&mut stream, half, false).await;
    match path.as_str() {
        "/cut" => {
            // A test that ended has nothing to cut.
            let _ = cut.wait_for(|now| *now).await;
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        _ => send(&mut stream, half, true).await,
    }
}

async fn send(stream: &mut h2::SendStream<Bytes>, mut bytes: usize, last: bool) {
    while bytes > 0 {
        stream.reserve_capacity(bytes);
        let ready = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(Ok(room)) = ready else { return };
        let piece = room.min(bytes);
        bytes -= piece;
        let data = Bytes::from(vec![b'h'; piece]);
        if stream.send_data(data, last && bytes == 0).is_err() {
            return;
        }
    }
}

async fn node() -> (Node, Arc<AtomicUsize>, watch::Sender<bool>) {
    let (sender, cut) = watch::channel(false);
    let (address, asked) = origin(cut).await;
    let config = config("", "").replace("retry =", "protocol = \"h2\"\nretry =");
    let node = Setup::new().with("origin", address).start(&config).await;
    (node, asked, sender)
}

#[tokio::test]
async fn it_fills_the_store_and_its_date_is_kept() {
    let (node, asked, _cut) = node().await;
    let first = get(&node, "/page", "").await;
    assert_eq!((first.status, first.body.len()), (200, BODY));
    assert!(!is_hit(&first));
    let hit = stored(&node, "/page").await;
    assert!(hit.body == first.body);
    let mut h2 = Http2::connect(node.at("web")).await;
    let second = h2.get("/page").await;
    assert!(second.body == first.body);
    // As the origin sent it, by both protocols (RFC 9110 section 6.6.1).
    let date = first.header("date").expect("a date");
    let made = httpdate::parse_http_date(date).expect("a date");
    assert!(
        made.elapsed().is_ok_and(|age| age.as_secs() >= 3600),
        "{date}"
    );
    assert_eq!(first.all("date").len(), 1);
    assert_eq!(hit.all("date"), [date]);
    assert_eq!(second.head.headers()["date"], date);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stream_it_resets_is_a_cut_for_both_protocols() {
    let (node, asked, cut) = node().await;
    let mut client = super::asking(&node, "/cut", "").await;
    let mut h2 = Http2::connect(node.at("web")).await;
    let request = h2.request("GET", "/cut");
    let h2 = tokio::spawn(async move { h2.ask(request, &[], None).await });
    super::waiting(&node, 2).await;
    assert_eq!(client.head().await.expect("a head").status, 200);
    cut.send_replace(true);
    let (got, ended) = client.rest(SOON).await;
    assert!(ended && !got.ends_with(b"0\r\n\r\n"), "{} bytes", got.len());
    let error = joined(h2).await.expect_err("a cut");
    assert!(error.is_reset(), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // It was not stored: the next one asks again.
    let again = get(&node, "/page", "").await;
    assert_eq!(again.body.len(), BODY);
    let mut next = super::asking(&node, "/cut", "").await;
    // Now at once, perhaps before its head was seen.
    let head = next.head().await.expect("a head");
    assert!(head.status == 502 || !is_hit(&head), "{head:?}");
    assert!(asked.load(Ordering::SeqCst) >= 3);
}
