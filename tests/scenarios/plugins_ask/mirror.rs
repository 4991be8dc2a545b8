//! mirror: what arrives at the other upstream, and that nobody notices what becomes of it.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{config, node};
use crate::harness::{Demo, Node, Origin, Setup, client::find, eventually, free_address, soon};

const STAGING: &str = r#"
[[upstream]]
name = "staging"
endpoints = ["@other"]
retry = { attempts = 1, on = ["connect"] }
"#;

const SECRET: &str = "s3cr3t-0f-th3-f4rm";

fn shadow(words: &str) -> String {
    format!("kind = \"mirror\"\nupstream = \"staging\"\nmethods = [\"GET\", \"POST\"]\n{words}")
}

async fn counted(node: &Node, name: &str, labels: &[(&str, &str)], count: f64) {
    let name = format!("farmgate_plugin_mirror_{name}");
    node.metric_is(&name, &[&[("plugin", "it")], labels].concat(), count)
        .await;
}

#[tokio::test]
async fn a_copy_arrives_and_no_secret_does() {
    let staging = Origin::answering("staging").await;
    let words = "redact = { headers = [\"authorization\", \"cookie\", \"x-key\"], query = [\"token\"], json = [\"$.card.number\", \"$..pin\"] }";
    let (node, app) = node(&shadow(words), staging.address(), STAGING).await;
    let mut client = node.client().await;
    let body = format!(
        "{{\"card\":{{\"number\":\"{SECRET}\",\"ok\":1.0}},\"list\":[{{\"PIN\":[\"{SECRET}\"]}}],\"n\\u0075mber\":2}}"
    );
    let sent = format!(
        "POST /pay?a=1&token={SECRET} HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {SECRET}\r\nCookie: s={SECRET}\r\nX-Key: {SECRET}\r\nX-Real-IP: 9.9.9.9\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(client.ask(&sent).await.text(), "app");
    counted(&node, "sent_total", &[], 1.0).await;
    let (primary, copy) = (app.only(), staging.only());
    assert!(find(&primary.body, SECRET.as_bytes()).is_some());
    assert_eq!(copy.line, "POST /pay?a=1 HTTP/1.1");
    assert_eq!(
        String::from_utf8_lossy(&copy.body),
        r#"{"card":{"number":"***","ok":1.0},"list":[{"PIN":"***"}],"n\u0075mber":2}"#
    );
    assert_eq!(copy.header("x-farmgate-mirror"), Some("1"));
    assert_eq!(copy.header("x-request-id"), primary.header("x-request-id"));
    assert_eq!(copy.header("host"), Some("a.test"));
    assert_eq!(copy.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(copy.header("x-real-ip"), None);

    // In chunks, and as what it is not; then what cannot be read.
    let chunked = format!(
        "POST /b HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{{\"pin\": \"\r\n{:x}\r\n{SECRET}\r\n2\r\n\"}}\r\n0\r\n\r\n",
        SECRET.len()
    );
    assert_eq!(client.ask(&chunked).await.status, 200);
    counted(&node, "sent_total", &[], 2.0).await;
    assert_eq!(staging.last().body, b"{\"pin\": \"***\"}");
    let broken = format!("{{\"pin\": \"{SECRET}\"");
    assert_eq!(client.post("/c", &broken).await.status, 200);
    counted(&node, "dropped_total", &[("reason", "unreadable")], 1.0).await;
    // A client that leaves within its body.
    let mut leaves = node.client().await;
    leaves
        .send(format!(
            "POST /d HTTP/1.1\r\nHost: a.test\r\nContent-Length: 99\r\n\r\n{SECRET}"
        ))
        .await;
    eventually("the half body at the app", || async {
        (app.bytes().ends_with(SECRET.as_bytes())).then_some(())
    })
    .await;
    drop(leaves);
    counted(&node, "dropped_total", &[("reason", "unfinished")], 1.0).await;
    counted(&node, "in_flight", &[], 0.0).await;
    assert_eq!(find(&staging.bytes(), SECRET.as_bytes()), None);
}

/// Five rounds of requests each way, one after the other; the times of each in microseconds.
async fn rounds(node: &Node) -> [Vec<u128>; 2] {
    let mut times = [Vec::new(), Vec::new()];
    let mut client = node.client().await;
    for _ in 0..5 {
        for (target, times) in ["/plain", "/mirrored"].into_iter().zip(&mut times) {
            let begun = Instant::now();
            for _ in 0..40 {
                let response = client.post(target, "a body").await;
                assert_eq!((response.status, response.text().as_str()), (200, "app"));
            }
            times.push(begun.elapsed().as_micros());
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    times
}

const PLAIN: &str = r#"
[[route]]
name = "plain"
paths = ["/plain"]
upstream = "app"
"#;

#[tokio::test]
async fn a_dead_or_silent_target_costs_the_primary_nothing() {
    let silent = Origin::start(|mut peer| async move {
        peer.request().await;
        peer.gone().await;
    })
    .await;
    for (target, words) in [
        (free_address(), ""),
        (silent.address(), "timeout = \"2m\"\nmax_in_flight = 8"),
    ] {
        let (mut node, app) = node(&shadow(words), target, &format!("{STAGING}{PLAIN}")).await;
        let [plain, mirrored] = rounds(&node).await;
        // Medians: the mirror's own work is counted in, waiting for it would be seconds.
        assert!(mirrored[2] < plain[4] * 3, "{plain:?} {mirrored:?}");
        assert_eq!(app.seen().len(), 400);
        if target == silent.address() {
            counted(&node, "in_flight", &[], 8.0).await;
            counted(&node, "dropped_total", &[("reason", "busy")], 192.0).await;
        } else {
            counted(&node, "failed_total", &[], 200.0).await;
        }
        // Copies that wait for ever do not keep the node from going.
        node.stop().await;
    }
}

/// An app that reads a whole request of 100 MB before it answers; it keeps nothing of it.
async fn hungry() -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind(free_address()).await;
    let listener = listener.expect("bind the app");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut buffer, mut sum) = (vec![0; 1 << 20], 0);
                while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
                    sum += bytes;
                    if sum > LARGE {
                        // The connection may be used again.
                        sum = 0;
                        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall of it";
                        stream.write_all(answer.as_bytes()).await.expect("answer");
                    }
                }
            });
        }
    });
    (address, serving)
}

const PIECE: usize = 1_000_000;
const LARGE: usize = 100 * PIECE;

#[tokio::test]
async fn a_body_of_100_mb_passes_and_is_not_mirrored() {
    let (app, serving) = hungry().await;
    let staging = Origin::answering("staging").await;
    let setup = Setup::new()
        .with("origin", app)
        .with("other", staging.address());
    let mut node = setup
        .start(&config(&shadow("max_body = \"1MiB\""), STAGING))
        .await;
    for chunked in [false, true] {
        let before = node.resident_bytes();
        let (mut reader, mut sender) = node.client().await.split();
        let framing = match chunked {
            false => "Content-Length: 100000000",
            true => "Transfer-Encoding: chunked",
        };
        let head = format!("POST /large HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n");
        assert!(sender.send(head.as_bytes()).await);
        let (first, last) = match chunked {
            false => (String::new(), ""),
            true => (format!("{PIECE:x}\r\n"), "\r\n"),
        };
        let piece = [first.as_bytes(), &vec![b'x'; PIECE], last.as_bytes()].concat();
        for _ in 0..LARGE / PIECE {
            assert!(sender.send(&piece).await);
        }
        if chunked {
            assert!(sender.send(b"0\r\n\r\n").await);
        }
        let answer = reader.response().await.expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "all of it"));
        let grown = node.resident_bytes().saturating_sub(before);
        assert!(grown < 32_000_000, "{grown} bytes");
    }
    counted(&node, "dropped_total", &[("reason", "body")], 2.0).await;
    assert!(staging.bytes().is_empty());
    serving.abort();
    node.stop().await;
}

#[tokio::test]
async fn a_large_answer_is_thrown_away() {
    let staging = Demo::start().await;
    let (node, _app) = node(&shadow(""), staging.address(), STAGING).await;
    let before = node.resident_bytes();
    assert_eq!(node.get("/bytes/50000000").await.text(), "app");
    counted(&node, "sent_total", &[], 1.0).await;
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 32_000_000, "{grown} bytes");
}

#[tokio::test]
async fn a_copy_is_not_mirrored_again() {
    let app = Origin::answering("app").await;
    let mut node = Setup::new()
        .with("origin", app.address())
        .prepare(&config(&shadow(""), &STAGING.replace("@other", "@web")));
    node.spawn();
    node.ready().await;
    assert_eq!(node.get("/a").await.status, 200);
    counted(&node, "dropped_total", &[("reason", "loop")], 1.0).await;
    counted(&node, "sent_total", &[], 1.0).await;
    let mut lines: Vec<String> = app.seen().into_iter().map(|seen| seen.line).collect();
    lines.dedup();
    assert_eq!((app.seen().len(), lines.len()), (2, 1));
}

#[tokio::test]
async fn what_the_cache_answers_is_mirrored_once() {
    let staging = Origin::answering("staging").await;
    let app = Origin::start(|mut peer| async move {
        while peer.request().await.is_some() {
            peer.answer(200, "Cache-Control: max-age=60\r\n", "app")
                .await;
        }
    })
    .await;
    let cached = "[cache]\nmemory = \"16MiB\"\n\n[[cache_policy]]\nname = \"all\"\n\n[[route]]\nname = \"cached\"\npaths = [\"/cached\"]\ncache = \"all\"\nplugins = [\"it\"]\nupstream = \"app\"\n";
    let setup = Setup::new()
        .with("origin", app.address())
        .with("other", staging.address());
    let text = config(&shadow(""), &format!("{STAGING}{cached}"));
    let node = setup.start(&text).await;
    for count in 1..=3 {
        assert_eq!(node.get("/cached").await.text(), "app");
        counted(&node, "sent_total", &[], f64::from(count)).await;
    }
    assert_eq!((app.seen().len(), staging.seen().len()), (1, 3));
    assert_eq!(node.client().await.post("/plain", "x").await.status, 200);
    counted(&node, "sent_total", &[], 4.0).await;
    assert_eq!(staging.last().body, b"x");
}

#[tokio::test]
async fn a_copy_in_flight_outlives_a_reload() {
    let (staging, go) = Origin::held("staging").await;
    let (mut node, _app) = node(&shadow(""), staging.address(), STAGING).await;
    assert_eq!(node.get("/a").await.status, 200);
    eventually("the copy", || async {
        (!staging.seen().is_empty()).then_some(())
    })
    .await;
    node.reload(&config(&shadow("share = \"50%\""), STAGING))
        .await;
    go.send(true).expect("the copy waits");
    soon("the answer", counted(&node, "sent_total", &[], 1.0)).await;
    counted(&node, "in_flight", &[], 0.0).await;
}
