//! The admin address, the control socket and the commands that talk to a node.

use std::os::unix::fs::PermissionsExt;

use crate::harness::cli::{farmgate, farmgate_async};
use crate::harness::{Client, Node, Origin, Setup};
use crate::scenarios::PLAIN;

#[tokio::test]
async fn the_admin_address_is_read_only_and_says_what_it_has() {
    let origin = Origin::answering("ok").await;
    let mut node = Node::serving(origin.address(), PLAIN).await;
    assert_eq!(node.admin("/livez").await.status, 200);
    let ready = node.admin("/readyz").await;
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &true.into()));
    let status = node.admin("/status").await.json();
    assert_eq!(status["generation"], 1);
    assert_eq!(status["listeners"][0]["name"], "web");
    assert_eq!(status["upstreams"][0]["name"], "app");
    let endpoint = &status["upstreams"][0]["endpoints"][0];
    assert_eq!(endpoint["address"], origin.address().to_string());
    assert_eq!(endpoint["state"], "available");
    node.get("/counted").await;
    node.log.of("/counted").await;
    let metrics = node.admin("/metrics").await;
    assert!(
        metrics
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain"))
    );
    assert!(
        metrics
            .text()
            .contains("# TYPE farmgate_requests_total counter")
    );
    assert_eq!(node.admin("/nothing").await.status, 404);
    let mut client = Client::connect(node.at("admin")).await;
    for path in ["/status", "/v1/reload", "/v1/drain"] {
        let response = client.post(path, "").await;
        assert!(
            matches!(response.status, 404 | 405),
            "{path}: {}",
            response.status
        );
    }
    assert_eq!(
        client.get("/v1/status").await.status,
        404,
        "commands are for the socket"
    );
    assert_eq!(node.get("/").await.status, 200);
    node.stop().await;
}

#[tokio::test]
async fn the_configuration_is_shown_without_secrets() {
    let origin = Origin::answering("ok").await;
    let config = format!(
        "{PLAIN}\n[[route]]\nname = \"secret\"\nhosts = [\"${{FARMGATE_TEST_SECRET}}.test\"]\nupstream = \"app\"\n"
    );
    let setup = Setup::new()
        .with("origin", origin.address())
        .env("FARMGATE_TEST_SECRET", "topsecret");
    let node = setup.start(&config).await;
    let shown = node.admin("/config").await.text();
    assert!(shown.contains("${FARMGATE_TEST_SECRET}"), "{shown}");
    assert!(!shown.contains("topsecret"), "{shown}");
    assert!(!node.admin("/status").await.text().contains("topsecret"));
    assert!(!node.errors().contains("topsecret"));
}

#[tokio::test]
async fn the_socket_is_for_its_owner_only() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), PLAIN).await;
    let mode = std::fs::metadata(node.control())
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut client = Client::connect_unix(node.control()).await;
    assert_eq!(client.get("/v1/status").await.json()["generation"], 1);
    assert_eq!(client.get("/v1/nothing").await.status, 404);
    assert_eq!(client.post("/v1/breaker", "").await.status, 400);
    // Nothing is named, and there is no cache.
    assert_eq!(client.post("/v1/purge", "").await.status, 400);
    let all = client.post("/v1/purge", r#"{"all":true}"#).await;
    assert_eq!(all.status, 409);
    assert!(all.text().contains("no [cache]"), "{}", all.text());
    assert_eq!(client.post("/v1/rollback", "nonsense").await.status, 400);
    let long = "x".repeat(100_000);
    let mut client = Client::connect_unix(node.control()).await;
    assert!(client.post("/v1/rollback", &long).await.status >= 400);
}

/// Who is neither root nor the node's own user is turned away. Only root can try that.
#[tokio::test]
async fn another_user_is_turned_away() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), PLAIN).await;
    if !nobody_can_run() {
        eprintln!("this needs root and setpriv: nothing to test");
        return;
    }
    // The folder and the socket are opened up, so that only the peer's check is left.
    for path in [node.folder(), &node.folder().join("run"), node.control()] {
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(path, open).expect("permissions");
    }
    let copy = node.folder().join("copy");
    std::fs::copy(env!("CARGO_BIN_EXE_farmgate"), &copy).expect("copy");
    let ran = tokio::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["status", "--control"])
        .arg(node.control())
        .output()
        .await
        .expect("setpriv");
    assert!(
        !ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stdout)
    );
    node.run(&["status"]).await.expect(0);
}

fn nobody_can_run() -> bool {
    std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "true"])
        .output()
        .is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn status_and_explain_of_a_running_node() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), PLAIN).await;
    node.get("/asked?q=1").await;
    let line = node.log.of("/asked?q=1").await;
    let id = line["request_id"].as_str().expect("an id");
    let ran = node.run(&["explain", id]).await.expect(0);
    for word in ["any", "app", "/asked?q=1", "ok", "200"] {
        assert!(ran.out.contains(word), "{word}: {}", ran.out);
    }
    let json = node.run(&["explain", id, "--json"]).await.expect(0).json();
    assert!(json.to_string().contains("\"route\":\"any\""), "{json}");
    node.run(&["explain", "0123456789abcdef0123456789abcdef"])
        .await
        .expect(1);
    let status = node.run(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["generation"], 1);
    let text = node.run(&["status"]).await.expect(0).out;
    assert!(text.contains("web") && text.contains("app"), "{text}");
    let top = node.run(&["top", "--count", "1"]).await.expect(0).out;
    assert!(top.contains("app"), "{top}");
}

#[tokio::test]
async fn plugins_are_switched_off_and_on() {
    let origin = Origin::answering("ok").await;
    let config = PLAIN.replace(
        "upstream = \"app\"",
        "upstream = \"app\"\nplugins = [\"tag\"]",
    );
    let config = format!(
        "{config}\n[[plugin]]\nname = \"tag\"\nkind = \"headers\"\nresponse = {{ set = {{ \"x-tag\" = \"1\" }} }}\n"
    );
    let mut node = Node::serving(origin.address(), &config).await;
    assert_eq!(node.get("/").await.header("x-tag"), Some("1"));
    node.run(&["plugin", "tag", "off"]).await.expect(0);
    assert_eq!(node.get("/").await.header("x-tag"), None);
    // An operator's switch outlives a reload.
    node.reload(&config).await;
    assert_eq!(node.get("/").await.header("x-tag"), None);
    let status = node.run(&["status", "--json"]).await.expect(0).json();
    assert_eq!(status["plugins"][0]["on"], false);
    node.run(&["plugin", "tag", "on"]).await.expect(0);
    assert_eq!(node.get("/").await.header("x-tag"), Some("1"));
    node.run(&["plugin", "tga", "off"]).await.expect(1);
}

#[tokio::test]
async fn endpoints_are_drained_and_weighed() {
    let (one, two) = (Origin::answering("1").await, Origin::answering("2").await);
    let config = PLAIN.replace("\"@origin\"", "\"@one\", \"@two\"");
    let setup = Setup::new()
        .with("one", one.address())
        .with("two", two.address());
    let node = setup.start(&config).await;
    let address = one.address().to_string();
    node.run(&["endpoint", "app", &address, "drain"])
        .await
        .expect(0);
    for _ in 0..6 {
        assert_eq!(node.get("/").await.text(), "2");
    }
    node.run(&["endpoint", "app", &address, "enable"])
        .await
        .expect(0);
    node.run(&["endpoint", "app", &address, "weight", "3"])
        .await
        .expect(0);
    let mut first = 0;
    for _ in 0..40 {
        first += u32::from(node.get("/").await.text() == "1");
    }
    assert_eq!(first, 30);
    node.run(&["endpoint", "app", "127.0.0.1:1", "drain"])
        .await
        .expect(1);
    node.run(&["endpoint", "ap", &address, "drain"])
        .await
        .expect(1);
}

#[tokio::test]
async fn logs_are_opened_again_after_they_moved() {
    let origin = Origin::answering("ok").await;
    let node = Node::serving(origin.address(), PLAIN).await;
    node.get("/before").await;
    node.log.of("/before").await;
    let path = node.folder().join("run/access.log");
    let moved = node.folder().join("run/access.log.1");
    std::fs::rename(&path, &moved).expect("rename");
    node.run(&["reopen-logs"]).await.expect(0);
    node.get("/after").await;
    node.log.of("/after").await;
    let old = std::fs::read_to_string(&moved).expect("the old log");
    assert!(old.contains("/before") && !old.contains("/after"));
    let new = std::fs::read_to_string(&path).expect("the new log");
    assert!(!new.contains("/before"));
}

#[tokio::test]
async fn a_drain_finishes_what_runs_and_stops() {
    let (origin, go) = Origin::held("late").await;
    let config = PLAIN.replace("name = \"web\"", "name = \"web\"\nhealth_path = \"/ready\"");
    let mut node = Node::serving(origin.address(), &config).await;
    let mut client = node.client().await;
    client
        .send("GET /late HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    crate::harness::eventually("the request at the origin", || async {
        (origin.seen().len() == 1).then_some(())
    })
    .await;
    node.run(&["drain", "--no-wait"]).await.expect(0);
    crate::harness::eventually("not ready", || async {
        (node.admin("/readyz").await.status == 503).then_some(())
    })
    .await;
    go.send(true).expect("the origin");
    let response = client.response().await.expect("the late response");
    assert_eq!(response.text(), "late");
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(node.exit().await, 0);
    assert_eq!(node.log.of("/late").await["status"], 200);
}

#[test]
fn without_a_node_commands_exit_69() {
    for command in [
        "status",
        "reload",
        "drain",
        "history",
        "rollback",
        "reopen-logs",
        "top",
    ] {
        farmgate(&[command, "--control", "/nonexistent/control.sock"]).expect(69);
    }
    farmgate(&["explain", "--control", "/nonexistent/control.sock", "abc"]).expect(69);
    farmgate(&[
        "endpoint",
        "--control",
        "/nonexistent/control.sock",
        "a",
        "b",
        "drain",
    ])
    .expect(69);
    farmgate(&[
        "plugin",
        "--control",
        "/nonexistent/control.sock",
        "a",
        "off",
    ])
    .expect(69);
}

#[test]
fn catalogue_and_schema_are_printed() {
    let schema = farmgate(&["schema"]).expect(0).json();
    assert!(schema["properties"]["listener"].is_object());
    let kinds = farmgate(&["plugins"]).expect(0).out;
    for kind in [
        "headers",
        "rewrite",
        "redirect",
        "respond",
        "access_control",
        "rate_limit",
        "request_id",
    ] {
        assert!(kinds.contains(kind), "{kind}");
        farmgate(&["plugins", kind]).expect(0);
    }
    assert_ne!(farmgate(&["plugins", "header"]).code, 0);
    assert_ne!(farmgate(&["nonsense"]).code, 0);
}

#[tokio::test]
async fn exit_codes_of_run() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.toml");
    let route = "[[route]]\nname = \"x\"\nplugins = [{ kind = \"respond\" }]\n";
    let listener = format!("[[listener]]\nname = \"web\"\naddress = \"{address}\"\n{route}");
    std::fs::write(&path, &listener).expect("write");
    let path = path.to_str().expect("a path").to_owned();
    // `check` never binds; `run` says why it cannot.
    farmgate(&["check", "--config", &path]).expect(0);
    let ran = farmgate_async(&["run", "--config", &path]).await.expect(1);
    assert!(
        ran.err.contains("E-BIND-001") && ran.err.contains(&address.to_string()),
        "{}",
        ran.err
    );
    std::fs::write(&path, listener.replace("[[route]]", "[[rout]]")).expect("write");
    let ran = farmgate_async(&["run", "--config", &path]).await.expect(78);
    assert!(ran.err.contains("E-CONF-015"), "{}", ran.err);
    let log = format!(
        "[telemetry]\naccess_log = {{ path = \"missing/folder/access.log\" }}\n{}",
        listener.replace(&address.to_string(), "127.0.0.1:0")
    );
    std::fs::write(&path, log).expect("write");
    let ran = farmgate_async(&["run", "--config", &path]).await;
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("E-LOG-002"), "{}", ran.err);
}
