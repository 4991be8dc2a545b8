//! Keys, passwords and signatures against a running node: who passes, and that no credential reaches the origin.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::harness::client::Response;
use crate::harness::{Client, Node, Origin, Peer, Setup, eventually};

/// A listener, an upstream, and a route with the plugin that follows.
const HEAD: &str = r#"
[[listener]]
name = "web"
address = "@web"

[[upstream]]
name = "app"
endpoints = ["@origin"]

[[route]]
name = "guarded"
plugins = ["guard"]
upstream = "app"

[[plugin]]
name = "guard"
"#;

fn with_plugin(plugin: &str) -> String {
    format!("{HEAD}{plugin}")
}

async fn node(setup: Setup, origin: &Origin, plugin: &str) -> Node {
    setup
        .with("origin", origin.address())
        .start(&with_plugin(plugin))
        .await
}

/// That nothing the origin received, in any form, holds one of these texts.
#[track_caller]
fn never_arrived(origin: &Origin, secrets: &[&str]) {
    let bytes = origin.bytes();
    let received = String::from_utf8_lossy(&bytes);
    for secret in secrets {
        assert!(
            !received.contains(secret),
            "the origin got {secret}: {received}"
        );
    }
}

/// A request on a connection of its own.
async fn get(node: &Node, target: &str, fields: &str) -> Response {
    node.client().await.get_with(target, fields).await
}

#[tokio::test]
async fn keys_let_in_and_stay_here() {
    let origin = Origin::answering("ok").await;
    let setup = Setup::new();
    let file = setup.folder().join("keys.toml");
    let entry =
        |name: &str, hash: &str| format!("[[consumers]]\nname = '{name}'\nsha256 = ['{hash}']\n");
    let hash = |key: &str| {
        let ran = Command::new("sh")
            .arg("-c")
            .arg(format!("printf %s {key} | sha256sum"))
            .output();
        let out = String::from_utf8(ran.expect("sha256sum").stdout).expect("text");
        out.split(' ').next().expect("a hash").to_owned()
    };
    let (inline, filed, next) = ("QaEoSm8zVlcs1C", "pD9wRkB2xY7t0N", "mZ4uTf6LhJ3c8V");
    fs::write(&file, entry("filed", &hash(filed))).expect("a file");
    let plugin = format!(
        "kind = 'api_key'\nfrom = ['header:x-api-key', 'header:authorization', 'query:key', 'cookie:key']\n\
         consumers = [{{ name = 'inline', sha256 = ['{}'] }}]\nconsumers_file = 'keys.toml'\n",
        hash(inline)
    );
    let node = node(setup, &origin, &plugin).await;
    for (target, fields) in [
        ("/a?b=1", format!("X-Api-Key: {inline}\r\n")),
        ("/a?b=1", format!("X-Api-Key: {filed}\r\nX-Api-Key: \r\n")),
        ("/a?b=1", format!("Authorization: Bearer {inline}\r\n")),
        ("/a?key=QaEoSm8zVlcs%31C&b=1", String::new()),
        ("/a?b=1", format!("Cookie: theme=dark; key={filed}\r\n")),
        (
            "/a?b=1&key=x",
            format!(
                "X-Api-Key: {inline}\r\nCookie: key={filed}\r\nAuthorization: Bearer {filed}\r\n"
            ),
        ),
    ] {
        let response = get(&node, target, &fields).await;
        assert_eq!(response.status, 200, "{target} {fields}");
        assert_eq!(origin.last().target(), "/a?b=1");
        let cookie = origin.last().header("cookie").map(str::to_owned);
        assert!(cookie.is_none_or(|cookie| cookie == "theme=dark"));
    }
    never_arrived(&origin, &[inline, filed, "Bearer", "key="]);
    let passed = origin.seen().len();
    let response = get(&node, "/a", "").await;
    assert_eq!(
        (response.status, response.json()["detail"].as_str()),
        (401, Some("key_missing"))
    );
    assert_eq!(response.header("www-authenticate"), Some("Bearer"));
    let response = get(&node, "/a", &format!("X-Api-Key: {next}\r\n")).await;
    assert_eq!(
        (response.status, response.json()["detail"].as_str()),
        (401, Some("key_refused"))
    );
    let two = format!("X-Api-Key: {inline}\r\nX-Api-Key: {inline}\r\n");
    assert_eq!(get(&node, "/a", &two).await.status, 401);
    assert_eq!(origin.seen().len(), passed, "no refused request went on");
    // A bad version of the file changes nothing, a good one counts without a reload.
    fs::write(&file, entry("filed", filed)).expect("a file");
    let errors = [("plugin", "guard")];
    node.metric_is("farmgate_plugin_api_key_file_errors_total", &errors, 1.0)
        .await;
    assert_eq!(
        get(&node, "/a", &format!("X-Api-Key: {filed}\r\n"))
            .await
            .status,
        200
    );
    assert!(
        !node.errors().contains(filed),
        "the log does not show what stands there"
    );
    fs::write(&file, entry("filed", &hash(next))).expect("a file");
    eventually("the next key", || async {
        let response = get(&node, "/a", &format!("X-Api-Key: {next}\r\n")).await;
        (response.status == 200).then_some(())
    })
    .await;
    assert_eq!(
        get(&node, "/a", &format!("X-Api-Key: {filed}\r\n"))
            .await
            .status,
        401
    );
    for (reason, times) in [("missing", 1.0), ("several", 1.0)] {
        let labels = [("plugin", "guard"), ("reason", reason)];
        node.metric_is("farmgate_plugin_api_key_refused_total", &labels, times)
            .await;
    }
}

/// A line for a user by the program itself; none where it is not installed.
fn htpasswd(arguments: &[&str], user: &str, password: &str) -> Option<String> {
    let ran = Command::new("htpasswd")
        .arg("-nb")
        .args(arguments)
        .args([user, password])
        .output()
        .ok()?;
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    Some(
        String::from_utf8(ran.stdout)
            .expect("text")
            .trim()
            .to_owned()
            + "\n",
    )
}

/// A line with a hash by argon2-cffi; none where it is not installed.
fn argon2(kind: &str, user: &str, password: &str) -> Option<String> {
    let script = "import sys, argon2; kind, password = sys.argv[1:]\n\
         print(argon2.PasswordHasher(2, 1024, 2, type=argon2.Type[kind]).hash(password))";
    // Debian's own Python, whatever else stands before it in the path.
    let ran = Command::new("python3")
        .env("PATH", "/usr/bin:/bin")
        .args(["-c", script, kind, password])
        .output()
        .ok()?;
    let hash = String::from_utf8(ran.stdout).expect("text");
    hash.starts_with('$').then(|| format!("{user}:{hash}"))
}

/// Sends a request with this login; the answer is yet to be read.
async fn send_only(node: &Node, login: &str) -> Client {
    let mut client = node.client().await;
    let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{login}\r\n");
    assert!(client.send(request).await);
    client
}

fn login(user: &str, password: &str) -> String {
    format!(
        "Authorization: Basic {}\r\n",
        BASE64.encode(format!("{user}:{password}"))
    )
}

#[tokio::test]
async fn passwords_of_htpasswd_and_argon2_let_in_and_stay_here() {
    let lines = [
        htpasswd(&["-B"], "ann", "correct horse"),
        htpasswd(&["-B", "-C", "12"], "bob", "bättery:staple"),
        argon2("ID", "cid", "tr0ub4dor"),
        argon2("I", "dee", "hunter2"),
    ];
    let Some(users) = lines.into_iter().collect::<Option<String>>() else {
        eprintln!("htpasswd or argon2-cffi is not installed: nothing to test");
        return;
    };
    let origin = Origin::answering("ok").await;
    let setup = Setup::new();
    let file = setup.folder().join("users");
    fs::write(&file, &users).expect("a file");
    let plugin =
        "kind = 'basic_auth'\nusers_file = 'users'\nrealm = 'the \"ops\"'\nmax_checks = 4\n";
    let mut node = node(setup, &origin, plugin).await;
    let pairs = [
        ("ann", "correct horse"),
        ("bob", "bättery:staple"),
        ("cid", "tr0ub4dor"),
        ("dee", "hunter2"),
    ];
    for (user, password) in pairs {
        assert_eq!(
            get(&node, "/", &login(user, password)).await.status,
            200,
            "{user}"
        );
        assert_eq!(origin.last().header("authorization"), None);
        let response = get(&node, "/", &login(user, "wrong")).await;
        assert_eq!(
            (response.status, response.json()["detail"].as_str()),
            (401, Some("login_refused"))
        );
    }
    let response = get(&node, "/", "").await;
    assert_eq!(response.status, 401);
    let challenge = "Basic realm=\"the \\\"ops\\\"\", charset=\"UTF-8\"";
    assert_eq!(response.header("www-authenticate"), Some(challenge));
    assert_eq!(
        get(&node, "/", &login("nobody", "hunter2")).await.status,
        401
    );
    let known: Vec<String> = pairs
        .iter()
        .map(|(user, password)| login(user, password))
        .collect();
    let known: Vec<&str> = known
        .iter()
        .map(|field| field.trim_end().rsplit(' ').next().unwrap_or(""))
        .collect();
    never_arrived(&origin, &known);
    // What is known is not checked again, not even after a reload.
    let labels = [("plugin", "guard")];
    let checks = node
        .metric("farmgate_plugin_basic_auth_checks_total", &labels)
        .await;
    node.reload(&with_plugin(&format!("{plugin}cache_ttl = '1h'\n")))
        .await;
    for (user, password) in pairs {
        assert_eq!(
            get(&node, "/", &login(user, password)).await.status,
            200,
            "{user}"
        );
    }
    node.metric_is("farmgate_plugin_basic_auth_checks_total", &labels, checks)
        .await;
    // A file with a hash that is none of ours is not taken; one without a user locks the user out at once.
    fs::write(
        &file,
        format!("{users}{}", htpasswd(&["-m"], "eve", "x").expect("a line")),
    )
    .expect("a file");
    node.metric_is("farmgate_plugin_basic_auth_file_errors_total", &labels, 1.0)
        .await;
    assert!(
        node.errors().contains("line 5: an MD5 hash"),
        "{}",
        node.errors()
    );
    let without_ann: String = users
        .lines()
        .skip(1)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&file, without_ann).expect("a file");
    eventually("ann is out", || async {
        let response = get(&node, "/", &login("ann", "correct horse")).await;
        (response.status == 401).then_some(())
    })
    .await;
    assert_eq!(get(&node, "/", &login("dee", "hunter2")).await.status, 200);
}

#[tokio::test]
async fn a_flood_of_passwords_is_bounded_and_known_logins_pass() {
    let Some(user) = htpasswd(&["-B", "-C", "12"], "ann", "correct horse") else {
        eprintln!("htpasswd is not installed: nothing to test");
        return;
    };
    let origin = Origin::answering("ok").await;
    let setup = Setup::new();
    fs::write(setup.folder().join("users"), user).expect("a file");
    let plugin = "kind = 'basic_auth'\nusers_file = 'users'\nmax_checks = 4\n";
    let node = node(setup, &origin, plugin).await;
    let response = |mut client: Client| async move { client.response().await.expect("a response") };
    // Twenty at once with the same login: it is checked once.
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(send_only(&node, &login("ann", "correct horse")).await);
    }
    for client in clients {
        assert_eq!(response(client).await.status, 200);
    }
    let labels = [("plugin", "guard")];
    node.metric_is("farmgate_plugin_basic_auth_checks_total", &labels, 1.0)
        .await;
    // Twenty at once with different wrong ones: this client has one check of four under way.
    let mut clients = Vec::new();
    for n in 0..20 {
        clients.push(send_only(&node, &login("ann", &format!("guess {n}"))).await);
    }
    assert_eq!(
        get(&node, "/", &login("ann", "correct horse")).await.status,
        200
    );
    let (mut wrong, mut busy) = (0, 0);
    for client in clients {
        let response = response(client).await;
        match response.status {
            401 => wrong += 1,
            503 => {
                assert_eq!(response.header("retry-after"), Some("1"));
                assert_eq!(response.json()["detail"], "login_busy");
                busy += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(
        wrong >= 1 && busy >= 1,
        "{wrong} were checked, {busy} were not"
    );
    let labels = [("plugin", "guard"), ("reason", "busy")];
    node.metric_is(
        "farmgate_plugin_basic_auth_refused_total",
        &labels,
        f64::from(busy),
    )
    .await;
    assert_eq!(origin.seen().len(), 21);
}

const SECRET: &[u8] = b"never use this secret, it is public";

/// A POST that is signed as Standard Webhooks says, by another library than the plugin's.
fn webhook(id: &str, time: u64, body: &str) -> String {
    let signed = format!("{id}.{time}.{body}");
    let signature = boring::hash::hmac_sha256(SECRET, signed.as_bytes()).expect("a signature");
    format!(
        "POST /hook HTTP/1.1\r\nHost: a.test\r\nWebhook-Id: {id}\r\nWebhook-Timestamp: {time}\r\n\
         Webhook-Signature: v1a,x v1,{}\r\nContent-Length: {}\r\n\r\n{body}",
        BASE64.encode(signature),
        body.len()
    )
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a time after 1970").as_secs()
}

#[tokio::test]
async fn signed_webhooks_pass_once() {
    // An origin that answers with what the test wants.
    let status = Arc::new(AtomicU16::new(200));
    let told = Arc::clone(&status);
    let origin = Origin::start(move |mut peer: Peer| {
        let told = Arc::clone(&told);
        async move {
            while peer.request().await.is_some() {
                peer.answer(told.load(Ordering::SeqCst), "", "").await;
            }
        }
    })
    .await;
    let secret = format!("whsec_{}", BASE64.encode(SECRET));
    let plugin = "kind = 'hmac'\nscheme = 'standard_webhooks'\nsecrets = ['${HOOK_SECRET}', 'file:old']\nmax_body = '256KiB'\n";
    let setup = Setup::new().env("HOOK_SECRET", &secret);
    let old = format!("whsec_{}\n", BASE64.encode([7; 32]));
    fs::write(setup.folder().join("old"), old).expect("a file");
    let mut node = node(setup, &origin, plugin).await;
    let mut client = node.client().await;
    let time = now();
    let hook = webhook("msg_1", time, "{\"paid\":true}");
    assert_eq!(client.ask(&hook).await.status, 200);
    assert_eq!(origin.last().body, b"{\"paid\":true}");
    assert_eq!(origin.last().header("webhook-id"), Some("msg_1"));
    assert_eq!(origin.last().header("webhook-signature"), None);
    // Again, at once and after a reload.
    let replayed = client.ask(&hook).await;
    assert_eq!(
        (replayed.status, replayed.json()["detail"].as_str()),
        (403, Some("signature_replayed"))
    );
    node.reload(&with_plugin(&format!("{plugin}tolerance = '10m'\n")))
        .await;
    assert_eq!(node.client().await.ask(&hook).await.status, 403);
    assert_eq!(origin.seen().len(), 1);
    // What the origin did not take may come again.
    let mut client = node.client().await;
    status.store(500, Ordering::SeqCst);
    let retried = webhook("msg_2", time, "{}");
    assert_eq!(client.ask(&retried).await.status, 500);
    status.store(204, Ordering::SeqCst);
    assert_eq!(client.ask(&retried).await.status, 204);
    assert_eq!(node.client().await.ask(&retried).await.status, 403);
    let passed = origin.seen().len();
    // Changed, unsigned, too old, without a body, too long: none goes on.
    let changed = webhook("msg_3", time, "{\"paid\":true}").replace("true", "nope");
    let unsigned = "POST /hook HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\n{}";
    let bodyless = "GET /hook HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let stolen = webhook("msg_4", time, "{}");
    let stolen = stolen
        .split("Content-Length")
        .next()
        .expect("a head")
        .replace("POST", "GET")
        + "\r\n";
    for (request, detail) in [
        (changed.as_str(), "signature_refused"),
        (unsigned, "signature_missing"),
        (bodyless, "signature_missing"),
        (&stolen, "signature_refused"),
        (&webhook("msg_5", time - 601, "{}"), "signature_refused"),
        (&webhook("msg_6", time + 660, "{}"), "signature_refused"),
    ] {
        let response = node.client().await.ask(request).await;
        assert_eq!(
            (response.status, response.json()["detail"].as_str()),
            (403, Some(detail)),
            "{request}"
        );
    }
    let long = webhook("msg_7", time, &"x".repeat(256 * 1024 + 1));
    assert_eq!(node.client().await.ask(&long).await.status, 413);
    assert_eq!(origin.seen().len(), passed);
    // As long as may be: hashed elsewhere, and whole when it arrives. A body without content is one, too.
    let most = "x".repeat(256 * 1024);
    assert_eq!(
        node.client()
            .await
            .ask(&webhook("msg_8", time, &most))
            .await
            .status,
        204
    );
    assert_eq!(origin.last().body.len(), most.len());
    assert_eq!(
        node.client()
            .await
            .ask(&webhook("msg_9", time, ""))
            .await
            .status,
        204
    );
    never_arrived(&origin, &[&secret, "v1,"]);
    for (reason, times) in [
        ("missing", 2.0),
        ("wrong", 2.0),
        ("stale", 2.0),
        ("replayed", 3.0),
    ] {
        let labels = [("plugin", "guard"), ("reason", reason)];
        node.metric_is("farmgate_plugin_hmac_refused_total", &labels, times)
            .await;
    }
}
