//! forward_auth against a service that decides, is dead, is slow, or lies.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{config, node};
use crate::harness::{Node, Origin, SOON, Setup, free_address};

const ASK: &str = r#"kind = "forward_auth"
url = "http://@other/check"
copy_headers = ["x-auth-user"]
consumer = "x-auth-user"
timeout = "300ms""#;

const CACHED: &str = r#"kind = "forward_auth"
url = "http://@other/check"
copy_headers = ["x-auth-user"]
timeout = "2s"
cache = { key = ["header:authorization", "header:cookie", "method", "path"], ttl = "1h" }"#;

/// Knows the token "good"; 403 for "bad"; everybody else shall log in.
async fn judge() -> Origin {
    let (alive, _) = watch::channel(true);
    judge_while(alive.subscribe()).await
}

/// The same until the sender says false: then its connections end, too.
async fn judge_while(alive: watch::Receiver<bool>) -> Origin {
    Origin::start(move |mut peer| {
        let mut alive = alive.clone();
        async move {
            let dead = alive.wait_for(|alive| !alive);
            tokio::pin!(dead);
            loop {
                let seen = tokio::select! {
                    seen = peer.request() => seen,
                    Ok(_) = &mut dead => None,
                };
                let Some(seen) = seen else { return };
                match seen.header("authorization") {
                    Some("good") => peer.answer(200, "X-Auth-User: ann\r\n", "").await,
                    Some("bad") => {
                        peer.answer(403, "Content-Type: text/plain\r\nX-Inside: 1\r\n", "no")
                            .await
                    }
                    Some("fails") => peer.answer(503, "", "down").await,
                    Some("cookie") => peer.answer(200, "Set-Cookie: a=1\r\n", "").await,
                    Some(_) => peer.answer(401, "WWW-Authenticate: Bearer\r\n", "").await,
                    None => {
                        peer.answer(302, "Location: https://login.test/?x=1\r\n", "")
                            .await
                    }
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn the_service_decides() {
    let judge = judge().await;
    let (node, app) = node(ASK, judge.address(), "").await;
    let mut client = node.client().await;
    let sent = "Authorization: good\r\nX-Auth-User: root\r\nX_Auth_User: root\r\nCookie: s=1\r\n";
    let body = "x".repeat(100);
    let ask =
        format!("POST /a?x=1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n{sent}\r\n{body}");
    assert_eq!(client.ask(&ask).await.status, 200);
    let asked = judge.only();
    assert_eq!(asked.line, "GET /check HTTP/1.1");
    assert!(asked.body.is_empty());
    for (name, value) in [
        ("authorization", Some("good")),
        ("cookie", Some("s=1")),
        ("x-forwarded-method", Some("POST")),
        ("x-forwarded-uri", Some("/a?x=1")),
        ("x-forwarded-host", Some("a.test")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-auth-user", None),
        ("content-length", None),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    let seen = app.only();
    assert_eq!(seen.header("x-auth-user"), Some("ann"));
    assert_eq!(seen.body, body.as_bytes());
    for gone in ["authorization", "cookie", "x_auth_user"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }

    let refused = client.get_with("/b", "Authorization: bad\r\n").await;
    assert_eq!((refused.status, refused.text().as_str()), (403, "no"));
    assert_eq!(refused.header("content-type"), Some("text/plain"));
    assert_eq!(refused.header("x-inside"), None);
    let unknown = client
        .get_with("/c", "Authorization: Bearer s3cret\r\n")
        .await;
    assert_eq!(unknown.status, 401);
    assert_eq!(unknown.header("www-authenticate"), Some("Bearer"));
    assert_eq!(unknown.json()["detail"], "auth_required");
    let login = client.get("/d").await;
    assert_eq!(
        (login.status, login.header("location")),
        (302, Some("https://login.test/?x=1"))
    );
    assert_eq!(app.seen().len(), 1);
    assert_eq!(node.log.of("/c").await["reason"], "plugin_reply");
    assert!(!node.errors().contains("s3cret"));
    let denied = "farmgate_plugin_forward_auth_denied_total";
    node.metric_is(denied, &[("plugin", "it")], 3.0).await;
}

/// What a client gets, and how long it takes.
async fn get(node: &Node, target: &str) -> (u16, Duration) {
    let begun = Instant::now();
    let response = node
        .client()
        .await
        .get_with(target, "Authorization: good\r\n")
        .await;
    (response.status, begun.elapsed())
}

async fn failed(node: &Node, reason: &str, count: f64) {
    let labels = [("plugin", "it"), ("reason", reason)];
    node.metric_is("farmgate_plugin_forward_auth_failed_total", &labels, count)
        .await;
}

#[tokio::test]
async fn a_dead_service_closes_or_opens_as_the_operator_says() {
    let nobody = free_address();
    let (mut node, app) = node(ASK, nobody, "").await;
    assert_eq!(get(&node, "/closed").await.0, 500);
    assert_eq!(node.log.of("/closed").await["reason"], "plugin_error");
    failed(&node, "unreachable", 1.0).await;
    assert!(app.seen().is_empty());
    let open = format!("{ASK}\nfail = \"open\"");
    node.reload(&config(&open, "")).await;
    let mut client = node.client().await;
    let response = client
        .get_with("/open", "Authorization: good\r\nX-Auth-User: root\r\n")
        .await;
    assert_eq!(response.status, 200);
    // It passes without an identity.
    assert_eq!(app.only().header("x-auth-user"), None);
}

#[tokio::test]
async fn a_slow_service_costs_its_time_and_no_more() {
    // Takes the question and never answers; or answers drop by drop.
    let silent = Origin::start(|mut peer| async move {
        peer.request().await;
        if peer.number > 0 {
            peer.send("HTTP/1.1 200 OK\r\nX-Auth-User: root\r\nX-Dri")
                .await;
        }
        peer.gone().await;
    })
    .await;
    let (node, app) = node(ASK, silent.address(), "").await;
    for (count, target) in [(1.0, "/silent"), (2.0, "/dripping")] {
        let (status, took) = get(&node, target).await;
        assert_eq!(status, 500);
        assert!(
            took >= Duration::from_millis(300) && took < SOON,
            "{took:?}"
        );
        failed(&node, "timeout", count).await;
    }
    assert!(app.seen().is_empty());
    node.metric_is("farmgate_plugin_forward_auth_waiting", &[], 0.0)
        .await;
}

#[tokio::test]
async fn half_an_answer_is_none() {
    const LIES: [&str; 6] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-Auth-User: root\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Auth-User: root\r\n\r\n5\r\nha",
        "HTTP/1.1 200 OK\r\nX-Auth-User: ro",
        "HTTP/1.1 2",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "",
    ];
    let liar = Origin::start(|mut peer| async move {
        if let Some(seen) = peer.request().await {
            let at: usize = seen
                .header("cookie")
                .and_then(|at| at.parse().ok())
                .expect("a number");
            peer.send(LIES[at]).await;
        }
    })
    .await;
    let (node, app) = node(ASK, liar.address(), "").await;
    for (at, lie) in LIES.iter().enumerate() {
        let mut client = node.client().await;
        let response = client.get_with("/", &format!("Cookie: {at}\r\n")).await;
        assert_eq!(response.status, 500, "{lie:?}");
    }
    failed(&node, "unreachable", 6.0).await;
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn an_answer_of_5xx_is_no_decision() {
    let judge = judge().await;
    let (mut node, app) = node(ASK, judge.address(), "").await;
    let mut client = node.client().await;
    let fails = "Authorization: fails\r\n";
    assert_eq!(client.get_with("/closed", fails).await.status, 500);
    failed(&node, "status", 1.0).await;
    assert!(app.seen().is_empty());
    node.reload(&config(&format!("{ASK}\nfail = \"open\""), ""))
        .await;
    assert_eq!(
        node.client().await.get_with("/open", fails).await.status,
        200
    );
    // A refusal is a decision, and never opens.
    let refused = node
        .client()
        .await
        .get_with("/no", "Authorization: bad\r\n")
        .await;
    assert_eq!(refused.status, 403);
    assert_eq!(app.seen().len(), 1);
}

#[tokio::test]
async fn decisions_are_kept_when_the_service_dies_and_over_a_reload() {
    let (alive, told) = watch::channel(true);
    let judge = judge_while(told).await;
    let (mut node, app) = node(CACHED, judge.address(), "").await;
    let mut client = node.client().await;
    for _ in 0..3 {
        assert_eq!(
            client
                .get_with("/a", "Authorization: good\r\n")
                .await
                .status,
            200
        );
        assert_eq!(
            client.get_with("/a", "Authorization: bad\r\n").await.status,
            403
        );
        // Not kept: it sets a cookie, or is neither 200 nor 403.
        assert_eq!(
            client
                .get_with("/a", "Authorization: cookie\r\n")
                .await
                .status,
            200
        );
        assert_eq!(
            client.get_with("/a", "Authorization: who\r\n").await.status,
            401
        );
    }
    assert_eq!(judge.seen().len(), 2 + 3 + 3);
    // Other requests are other decisions.
    assert_eq!(
        client
            .get_with("/b", "Authorization: good\r\n")
            .await
            .status,
        200
    );
    assert_eq!(
        client
            .get_with("/a", "Authorization: good\r\nCookie: c\r\n")
            .await
            .status,
        200
    );
    assert_eq!(judge.seen().len(), 10);
    alive.send(false).expect("the service lives");
    drop(judge);
    node.reload(&config(
        CACHED,
        "\n[[route]]\nname = \"more\"\npaths = [\"/more\"]\nupstream = \"app\"",
    ))
    .await;
    let mut client = node.client().await;
    assert_eq!(
        client
            .get_with("/a?x=2", "Authorization: good\r\n")
            .await
            .status,
        200
    );
    assert_eq!(app.last().header("x-auth-user"), Some("ann"));
    assert_eq!(
        client.get_with("/a", "Authorization: bad\r\n").await.status,
        403
    );
    assert_eq!(
        client.get_with("/a", "Authorization: new\r\n").await.status,
        500
    );
}

#[tokio::test]
async fn equal_questions_at_one_time_are_one() {
    let (judge, go) = Origin::held("").await;
    let app = Origin::answering("app").await;
    let setup = Setup::new()
        .with("origin", app.address())
        .with("other", judge.address());
    let node = setup.start(&config(CACHED, "")).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = node.client().await;
        client
            .send("GET /a HTTP/1.1\r\nHost: a.test\r\nAuthorization: t\r\n\r\n")
            .await;
        clients.push(client);
    }
    // One more asks, is the first to leave, and takes nobody along.
    let joined = "farmgate_plugin_forward_auth_joined_total";
    node.metric_is(joined, &[("plugin", "it")], 19.0).await;
    drop(clients.remove(0));
    go.send(true).expect("the service waits");
    for client in &mut clients {
        assert_eq!(client.response().await.expect("an answer").status, 200);
    }
    assert_eq!(judge.seen().len(), 1);
}
