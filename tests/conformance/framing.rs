//! Every case of `tests/data/http1` over TCP, with an origin that counts: the client gets the status
//! the case names, and the origin never sees a request that is not one.

use std::time::Duration;

use crate::harness::{Client, Node, Origin, Setup, client::find};

#[path = "../data/http1/cases.rs"]
mod cases;

use cases::{Case, Outcome, cases};

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "@web"
limits = { headers = 100, header_bytes = "64KiB", uri_bytes = "8KiB", body_bytes = "1MiB" }
timeouts = { header = "300ms", body_idle = "300ms", keepalive = "300ms" }

[[upstream]]
name = "app"
endpoints = ["@origin"]
# One try: a second one would count as a second request.
retry = { attempts = 1, on = ["connect"] }

[[route]]
name = "any"
upstream = "app"
"#;

/// Nodes and origins side by side; each serves one case at a time, so that its origin's requests are
/// that case's.
const LANES: usize = 8;

/// What the client got: the statuses of all final responses.
fn statuses(mut bytes: &[u8]) -> Vec<u16> {
    let mut out = Vec::new();
    while let Some(at) = find(bytes, b"HTTP/1.1 ") {
        bytes = &bytes[at + 9..];
        let digits = bytes.get(..3).unwrap_or_default();
        let status = std::str::from_utf8(digits)
            .ok()
            .and_then(|d| d.parse().ok());
        out.extend(status.filter(|status: &u16| *status >= 200));
    }
    out
}

async fn judge(node: &Node, origin: &Origin, case: &Case) -> Option<String> {
    let before = origin.seen().len();
    let mut client: Client = node.client().await;
    client.send(&case.bytes).await;
    let silence = Duration::from_secs(2);
    let (received, _ended) = client.rest(silence).await;
    let seen = origin.seen().len() - before;
    let got = statuses(&received);
    let last = got.last().copied();
    let fine = match case.outcome {
        // Each request is answered; after the last one the connection idles out, or had closed.
        Outcome::Ok => got.len() == case.requests && got.iter().all(|s| *s < 400 || *s == 405),
        // The rest never comes: in time a 408, or silence for a body that was never begun.
        Outcome::Wait => got.iter().filter(|s| **s != 408).count() <= case.requests,
        Outcome::Status(status) => last == Some(status) && got.len() <= case.requests + 1,
    };
    let smuggled = origin
        .seen()
        .iter()
        .skip(before)
        .filter(|seen| !seen.line.ends_with(" HTTP/1.1"))
        .count();
    (!fine || seen > case.requests || smuggled > 0).then(|| {
        format!(
            "{}: expected {:?} and at most {} requests, got {got:?} and {seen}",
            case.name, case.outcome, case.requests
        )
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_case_reaches_the_origin_as_more_than_it_is() {
    let all = cases();
    assert!(all.len() >= 300, "{} cases", all.len());
    let mut lanes: Vec<Vec<Case>> = (0..LANES).map(|_| Vec::new()).collect();
    for (at, case) in all.into_iter().enumerate() {
        lanes[at % LANES].push(case);
    }
    let tasks = lanes.into_iter().map(|lane| {
        tokio::spawn(async move {
            let origin = Origin::answering("ok").await;
            let node = Setup::new()
                .with("origin", origin.address())
                .start(CONFIG)
                .await;
            let mut wrong = Vec::new();
            for case in lane {
                wrong.extend(judge(&node, &origin, &case).await);
            }
            let mut node = node;
            node.stop().await;
            wrong
        })
    });
    let mut wrong = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        wrong.extend(task.await.expect("a lane"));
    }
    assert!(
        wrong.is_empty(),
        "{} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
