//! The follower over real sources: a file, an HTTP server that lies, and a real etcd that is killed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::upstream::discovery::dial::PlainDialer;
use crate::upstream::discovery::etcd::tests::options;
use crate::upstream::discovery::etcd::tests::server::Etcd;
use crate::upstream::discovery::http::HttpOptions;
use crate::upstream::discovery::sources::opener;

struct Node {
    follower: Follower,
    told: UnboundedReceiver<Arc<[Found]>>,
}

impl Node {
    fn start(source: SourceOptions, kept: Option<Kept>) -> Self {
        let (sender, told) = unbounded_channel();
        let follower = Follower::spawn(Deps {
            sink: Arc::new(move |_, set| {
                // The test may be over.
                let _ = sender.send(set);
            }),
            judge,
            open: opener(Arc::new(PlainDialer)),
            kept,
        });
        follower.update(vec![wanted("orders", |options| {
            options.source = source;
            options.max_endpoints = 4096;
        })]);
        Self { follower, told }
    }

    async fn told(&mut self) -> Vec<String> {
        let told = timeout(30 * SECOND, self.told.recv()).await;
        shown(&told.expect("nothing is told in 30 s").unwrap())
    }
}

#[tokio::test]
async fn a_file_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.json");
    let write = |content: &str| {
        let half = folder.path().join("half");
        std::fs::write(&half, content).unwrap();
        std::fs::rename(&half, &path).unwrap();
    };
    write(r#"{"endpoints": ["10.0.0.1:80"]}"#);
    let options = FileOptions {
        path: path.clone(),
        interval: Duration::from_millis(20),
    };
    let mut node = Node::start(SourceOptions::File(options), None);
    assert_eq!(node.told().await, ["10.0.0.1:80"]);
    // Nonsense, nothing, an empty list: neither is told, and what comes after is.
    for bad in ["{", r#"{"endpoints": []}"#] {
        write(bad);
        let failures = |node: &Node| {
            node.follower
                .status()
                .first()
                .map_or(0, |status| status.counts.failures)
        };
        let before = failures(&node);
        for _ in 0..1000 {
            if failures(&node) > before {
                break;
            }
            // tidy: waits for a condition
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(failures(&node) > before, "{bad}");
    }
    std::fs::remove_file(&path).unwrap();
    write(r#"{"endpoints": ["10.0.0.2:80"]}"#);
    assert_eq!(node.told().await, ["10.0.0.2:80"]);
}

/// A dead registry costs a running node nothing, and a starting one neither.
#[tokio::test]
async fn a_dead_etcd_costs_nothing() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let state = tempfile::tempdir().unwrap();
    let kept = Kept::new(state.path());
    etcd.put("/orders/a", "10.0.0.1:80").await;
    let source = SourceOptions::Etcd(options(vec![etcd.url()]));
    let mut node = Node::start(source.clone(), Some(kept.clone()));
    assert_eq!(node.told().await, ["10.0.0.1:80"]);
    etcd.put("/orders/b", "10.0.0.2:80").await;
    assert_eq!(node.told().await, ["10.0.0.1:80", "10.0.0.2:80"]);
    for _ in 0..1000 {
        let stored = kept.load("orders").unwrap();
        if stored.is_some_and(|set| set.endpoints.len() == 2) {
            break;
        }
        // tidy: waits for a condition
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    etcd.stop();

    // Another node, while the registry is dead.
    let mut second = Node::start(source, Some(kept.clone()));
    assert_eq!(second.told().await, ["10.0.0.1:80", "10.0.0.2:80"]);
    assert!(second.follower.wait_first(SECOND).await.is_empty());
    let status = second.follower.status();
    assert_eq!(status[0].provenance, Provenance::Kept);
    assert!(status[0].error.is_some());

    etcd.start_again(None).await;
    etcd.delete("/orders/a").await;
    for node in [&mut node, &mut second] {
        // Nothing was told in between: the next set is the one after the restart.
        assert_eq!(node.told().await, ["10.0.0.2:80"]);
        assert_eq!(node.follower.status()[0].failures, 0);
    }
}

/// Says the same document to everybody, as the test changes it.
async fn serve(document: Arc<Mutex<&'static str>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/orders.json", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let body = *document.lock();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream
                .write_all(format!("{head}{body}").as_bytes())
                .await
                .unwrap();
        }
    });
    url
}

/// A poisoned answer reaches nobody: an honest part of it does.
#[tokio::test]
async fn a_lying_server_costs_nothing() {
    let document = Arc::new(Mutex::new(
        r#"{"endpoints": ["10.0.0.1:80", "10.0.0.2:80"]}"#,
    ));
    let url = serve(document.clone()).await;
    let options = HttpOptions {
        url: url.parse().unwrap(),
        headers: Vec::new(),
        interval: SECOND,
        timeout: 5 * SECOND,
    };
    let mut node = Node::start(SourceOptions::Http(options), None);
    assert_eq!(node.told().await, ["10.0.0.1:80", "10.0.0.2:80"]);
    *document.lock() = r#"{"endpoints": ["169.254.169.254:80", "[fd00:ec2::254]:80"]}"#;
    let failures = |node: &Node| {
        node.follower
            .status()
            .first()
            .map_or(0, |status| status.failures)
    };
    for _ in 0..1000 {
        if failures(&node) > 0 {
            break;
        }
        // tidy: waits for a condition
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = node.follower.status().remove(0);
    let error = status.error.unwrap().to_string();
    assert!(error.contains("all 2 addresses are refused"), "{error}");
    assert_eq!(
        (status.counts.refused >= 2, status.endpoints.len()),
        (true, 2)
    );
    *document.lock() = r#"{"endpoints": ["169.254.169.254:80", "10.0.0.3:80"]}"#;
    assert_eq!(node.told().await, ["10.0.0.3:80"]);
    let status = node.follower.status().remove(0);
    assert_eq!(status.left_out.as_deref(), Some("1 addresses are refused"));
}
