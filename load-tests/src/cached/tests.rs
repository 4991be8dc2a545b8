use std::fs;
use std::path::Path;

use tokio::net::TcpListener;

use super::*;
use crate::storable_origin::{StorableOptions, serve};

/// An origin on the runtime of the test.
async fn origin(size: usize, head_ms: u64, body_ms: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = listener.local_addr().unwrap();
    let options = StorableOptions {
        listen,
        size,
        head_ms,
        body_ms,
    };
    tokio::spawn(serve(listener, options));
    listen
}

/// A server that answers every read with `answer`.
async fn stranger(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A case of four connections with bodies of this length.
fn shared(
    folder: &Path,
    asks: &str,
    bytes: usize,
    address: SocketAddr,
    origin: SocketAddr,
) -> Shared {
    let load = folder.join("load.toml");
    let text = format!(
        "target = \"/v1/objects/\"\nhost = \"www.example.test\"\nheaders = [\"accept: */*\"]\nconnections = 4\n\
         response_bytes = {bytes}\n[cache]\nasks = {{ {asks} }}\n"
    );
    fs::write(&load, text).unwrap();
    let options = CachedOptions {
        load,
        address,
        origin,
        watch: std::process::id(),
        seconds: 1,
    };
    Shared::new(&options).unwrap()
}

/// A run of a tenth of a second. `alone`: the contestant needs no origin; else it is the origin, a cache without a store.
fn run_against(asks: &str, bytes: usize, alone: bool) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let head_ms = u64::from(asks.starts_with("groups"));
    runtime().unwrap().block_on(async {
        let origin_address = origin(bytes, head_ms, 4 * head_ms).await;
        let address = if alone {
            origin(bytes, head_ms, 4 * head_ms).await
        } else {
            origin_address
        };
        let shared = shared(folder.path(), asks, bytes, address, origin_address);
        drive(shared, Duration::from_millis(100)).await.unwrap()
    })
}

const HITS: &str = "hits = { objects = 3 }";
const GROUPS: &str = "groups = { clients = 2, head_ms = 1, body_ms = 4 }";

#[test]
fn hits_never_reach_the_origin() {
    // Larger than a buffer: read in parts, looked at in whole the first time.
    for bytes in [1024, 300_000] {
        let outcome = run_against(HITS, bytes, true);
        let run = &outcome.run;
        assert!(
            run.requests > 4 && run.bytes == bytes as u64 * run.requests,
            "{outcome:?}"
        );
        assert_eq!(
            (run.losses(), outcome.origin_requests),
            (0, 0),
            "{outcome:?}"
        );
    }
}

#[test]
fn what_reaches_the_origin_is_counted() {
    for asks in [HITS, "misses = {}"] {
        let outcome = run_against(asks, 1024, false);
        assert_eq!(outcome.run.losses(), 0, "{outcome:?}");
        assert_eq!(outcome.origin_requests, outcome.run.requests, "{outcome:?}");
        assert_eq!(outcome.origin_fetches(), 1.0);
    }
}

#[test]
fn groups_are_counted_with_what_they_fetch() {
    let outcome = run_against(GROUPS, 1000, false);
    assert_eq!(outcome.run.losses(), 0, "{outcome:?}");
    assert!(outcome.groups > 1, "{outcome:?}");
    assert_eq!(outcome.run.requests, 2 * outcome.groups);
    assert_eq!(outcome.origin_fetches(), 2.0);
    // Not before the origin's head.
    assert!(outcome.run.p50_us >= 1000, "{outcome:?}");
    assert_eq!(run_against(GROUPS, 1000, true).origin_fetches(), 0.0);
}

#[test]
fn a_body_of_another_object_is_a_loss() {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n{}",
        "x".repeat(1024)
    );
    let longer = answer.replace("1024\r\n", "1023\r\n");
    let error = answer.replace("200 OK", "503 Busy");
    for answer in [answer, longer, error] {
        for asks in ["misses = {}", GROUPS] {
            let folder = tempfile::tempdir().unwrap();
            let outcome = runtime().unwrap().block_on(async {
                let origin = origin(1024, 0, 0).await;
                let address = stranger(answer.clone()).await;
                let shared = shared(folder.path(), asks, 1024, address, origin);
                drive(shared, Duration::from_millis(50)).await.unwrap()
            });
            assert!(outcome.run.losses() > 0, "{outcome:?}, {answer}");
            // None of them is taken for a good one.
            let good = outcome.run.requests - outcome.run.bad_statuses;
            assert_eq!(good, 0, "{outcome:?}, {answer}");
        }
    }
}

#[test]
fn nobody_there_is_a_loss_too() {
    for asks in [HITS, GROUPS] {
        let folder = tempfile::tempdir().unwrap();
        let outcome = runtime().unwrap().block_on(async {
            let origin = origin(1024, 0, 0).await;
            let address = SocketAddr::from(([127, 0, 0, 1], crate::process::free_port().unwrap()));
            let shared = shared(folder.path(), asks, 1024, address, origin);
            drive(shared, Duration::from_millis(50)).await.unwrap()
        });
        assert!(outcome.run.connect_errors > 4, "{outcome:?}");
        assert_eq!(outcome.run.requests, 0);
    }
}

#[test]
fn a_cache_that_does_not_learn_is_not_warm() {
    let folder = tempfile::tempdir().unwrap();
    let warm = |alone: bool| {
        runtime().unwrap().block_on(async {
            let origin_address = origin(1024, 0, 0).await;
            let address = if alone {
                origin(1024, 0, 0).await
            } else {
                origin_address
            };
            let shared = shared(folder.path(), HITS, 1024, address, origin_address);
            loops::warm(&shared).await
        })
    };
    assert_eq!(warm(true), Ok(()));
    let error = warm(false).unwrap_err();
    assert!(error.contains("3 of 3 objects"), "{error}");
}
