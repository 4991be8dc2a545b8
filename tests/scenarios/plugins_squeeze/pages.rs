//! Error pages: ours and the origin's.

use crate::harness::{Node, Origin, free_address};

const CONFIG: &str = r#"
[cache]
memory = "64MiB"
[[cache_policy]]
name = "errors"
ttl = { status = { "404" = "10m" } }
[[listener]]
name = "web"
address = "@web"
protocols = ["http1", "h2c"]
plugins = ["pages"]
[[plugin]]
name = "pages"
kind = "error_pages"
origin = true
pages = [
  { status = "4xx", html = "<h1>{{ status }} {{ title }}</h1><p>{{ request_id }}</p>" },
  { status = "5xx", html = "<h1>{{ title }}</h1><p>{{ detail }}</p>" },
]
[[upstream]]
name = "app"
endpoints = ["@origin"]
[[upstream]]
name = "down"
endpoints = ["@nobody"]
[[route]]
name = "down"
paths = ["/down"]
upstream = "down"
[[route]]
name = "kept"
paths = ["/kept/*"]
upstream = "app"
cache = "errors"
[[route]]
name = "any"
paths = ["/app/*"]
plugins = [{ kind = "compression", min_size = "1B" }]
upstream = "app"
"#;

const BROWSER: &str =
    "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Encoding: gzip\r\n";

async fn node() -> (Node, Origin) {
    let origin = Origin::start(|mut peer| async move {
        while let Some(seen) = peer.request().await {
            let fields = "Content-Type: text/plain\r\nETag: \"x\"\r\nRetry-After: 7\r\n";
            match seen.target() {
                "/app/empty" => peer.answer(404, fields, "").await,
                "/app/long" => {
                    peer.answer(500, fields, &"stack trace\n".repeat(50_000))
                        .await
                }
                "/app/fine" => peer.answer(200, fields, "fine").await,
                target if seen.line.starts_with("HEAD") => {
                    assert_eq!(target, "/app/head");
                    peer.send(format!(
                        "HTTP/1.1 404 No\r\nContent-Length: 9\r\n{fields}\r\n"
                    ))
                    .await;
                }
                _ => peer.answer(404, fields, "secret path /srv/app").await,
            }
        }
    })
    .await;
    let setup = crate::harness::Setup::new();
    let setup = setup
        .with("origin", origin.address())
        .with("nobody", free_address());
    (setup.start(CONFIG).await, origin)
}

#[tokio::test]
async fn our_own_errors_come_as_the_client_asks() {
    let (node, _origin) = node().await;
    let mut client = node.client().await;
    let page = client.get_with("/down", BROWSER).await;
    assert_eq!(page.status, 502);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(page.header("vary"), Some("Accept"));
    let line = node.log.of("/down").await;
    let reason = line["reason"].as_str().expect("a reason");
    assert_eq!(page.text(), format!("<h1>Bad Gateway</h1><p>{reason}</p>"));
    let mut client = node.client().await;
    let problem = client.get("/nowhere").await;
    assert_eq!(
        problem.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(problem.json()["status"], 404);
    let page = client.get_with("/nowhere", BROWSER).await;
    assert!(
        page.text().starts_with("<h1>404 Not Found</h1>"),
        "{}",
        page.text()
    );
    let length = page.body.len().to_string();
    let head = client
        .ask(&format!(
            "HEAD /nowhere HTTP/1.1\r\nHost: a.test\r\n{BROWSER}\r\n"
        ))
        .await;
    assert_eq!(head.status, 404);
    assert_eq!(head.header("content-length"), Some(&*length));
    // It had no body: the next answer is read as one.
    assert_eq!(client.get("/app/fine").await.text(), "fine");
}

#[tokio::test]
async fn an_origins_errors_say_nothing_of_it() {
    let (node, origin) = node().await;
    let mut client = node.client().await;
    for target in ["/app/404", "/app/empty", "/app/long", "/app/404"] {
        let page = client.get_with(target, BROWSER).await;
        let text = page.text();
        assert!(
            text.starts_with("<h1>") && !text.contains("secret"),
            "{target}: {text}"
        );
        assert_eq!(
            page.header("content-length"),
            Some(&*text.len().to_string()),
            "{target}"
        );
        assert_eq!(page.header("retry-after"), Some("7"), "{target}");
        for gone in ["etag", "content-encoding", "transfer-encoding"] {
            assert_eq!(page.header(gone), None, "{target} {gone}");
        }
        let problem = client
            .get_with(target, "Accept: application/json\r\n")
            .await;
        assert_eq!(problem.json()["status"], problem.status, "{target}");
        assert!(!problem.text().contains("secret"));
    }
    let head = client
        .ask(&format!(
            "HEAD /app/head HTTP/1.1\r\nHost: a.test\r\n{BROWSER}\r\n"
        ))
        .await;
    assert_eq!(head.status, 404);
    // The client's connection was one all the time.
    assert_eq!(client.get("/app/fine").await.text(), "fine");
    assert!(origin.connections() <= 4, "{}", origin.connections());
    // Over HTTP/2 as well.
    let mut h2 = crate::harness::http2::Http2::connect(node.at("web")).await;
    for target in ["/app/404", "/app/empty", "/app/long"] {
        let whole = h2.get(target).await;
        let body: serde_json::Value = serde_json::from_slice(&whole.body).expect("a problem");
        assert_eq!(body["status"], whole.head.status().as_u16(), "{target}");
    }
}

#[tokio::test]
async fn stored_errors_get_a_page_for_each_client() {
    let (node, origin) = node().await;
    let mut client = node.client().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let page = client.get_with("/kept/x", BROWSER).await;
        assert_eq!(page.status, 404);
        assert!(
            page.text().starts_with("<h1>404 Not Found</h1><p>"),
            "{}",
            page.text()
        );
        assert_eq!(
            page.header("content-length"),
            Some(&*page.text().len().to_string())
        );
        seen.insert(page.text());
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(origin.seen().len(), 1);
}
