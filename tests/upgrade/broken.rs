//! New versions and configurations that do not come to serve: the old process serves on as if nothing had been.

use std::os::unix::fs::PermissionsExt;

use tokio::net::{TcpStream, UnixDatagram};

use crate::harness::cli::Ran;
use crate::harness::{Client, Demo, Node, Origin, Peer, Setup, eventually, soon};
use crate::scenarios::PLAIN;

const FAILED: (&str, &str) = ("result", "failed");

/// A node that gives a new process little time.
async fn node(demo: &Demo) -> Node {
    let mut node = Node::serving(demo.address(), PLAIN).await;
    hasten(&mut node, PLAIN);
    node.run(&["reload"]).await.expect(0);
    node
}

fn hasten(node: &mut Node, config: &str) {
    node.write(config);
    let file = std::fs::read_to_string(node.config()).expect("the configuration");
    let file = file.replace("threads = 2", "threads = 2\nupgrade = { ready = \"2s\" }");
    std::fs::write(node.config(), file).expect("write the configuration");
}

/// Tries, and sees that it is refused for this reason and that nothing else has changed.
async fn refused(node: &mut Node, reason: &str) -> Ran {
    let process = node.process();
    let before = node.metric("farmgate_upgrades_total", &[FAILED]).await;
    let mut kept = node.client().await;
    assert_eq!(kept.get("/bytes/10").await.status, 200);
    let ran = node.try_upgrade().await.expect(1);
    assert!(ran.text().contains(reason), "{reason}: {}", ran.text());
    let still = kept.get("/bytes/10").await;
    assert_eq!(
        (still.status, still.header("connection")),
        (200, Some("keep-alive"))
    );
    assert_eq!(node.get("/bytes/10").await.status, 200);
    let status = node.status().await;
    assert_eq!(status["pid"], process);
    assert_eq!(status["upgrade"]["phase"], serde_json::Value::Null);
    let last = &status["upgrade"]["last"];
    assert_eq!(last["result"], "failed");
    let told = last["reason"].as_str().expect("a reason");
    assert!(told.contains(reason), "{told}");
    let after = node.metric("farmgate_upgrades_total", &[FAILED]).await;
    assert!(after == before + 1.0, "{reason}: {before} then {after}");
    assert!(
        node.errors()
            .contains("upgrade failed, this process serves on")
    );
    ran
}

/// A binary whose `check` is fine and whose `run` does this.
fn runs(node: &Node, script: &str) {
    node.script_for_binary(&format!("[ \"$1\" = check ] && exit 0\n{script}"));
}

#[tokio::test]
async fn broken_binaries() {
    let demo = Demo::start().await;
    let mut node = node(&demo).await;

    std::fs::remove_file(node.binary()).expect("remove the binary");
    refused(&mut node, "cannot be run: No such file or directory").await;

    node.script_for_binary("exit 0");
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(node.binary(), mode).expect("set its mode");
    refused(&mut node, "cannot be run: Permission denied").await;

    std::fs::write(node.binary(), "no binary at all").expect("write");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(node.binary(), mode).expect("set its mode");
    refused(&mut node, "cannot be run").await;

    node.script_for_binary("echo cannot find libc >&2; exit 127");
    refused(&mut node, "failed with exit code 127: cannot find libc").await;

    node.script_for_binary("kill -SEGV $$");
    refused(&mut node, "crashed").await;

    node.script_for_binary("exec sleep 60");
    refused(&mut node, "did not end within 2 s").await;

    // More than is kept of it.
    node.script_for_binary("yes no | head -c 10000000; exit 3");
    refused(&mut node, "failed with exit code 3").await;

    runs(&node, "exit 0");
    refused(&mut node, "ended before it was ready").await;

    runs(&node, "kill -SEGV $$");
    refused(&mut node, "ended before it was ready").await;

    runs(&node, "exec sleep 60");
    refused(&mut node, "was not ready within 2 s").await;

    // It says what nobody understands.
    runs(
        &node,
        "eval \"printf 'GARBAGE GARBAGE GARBAGE' >&$FARMGATE_UPGRADE\"; exec sleep 60",
    );
    refused(&mut node, "the new process ended").await;

    node.restore_binary();
    node.upgrade().await;
    assert_eq!(node.elder_exit().await, 0);
    node.stop().await;
}

#[tokio::test]
async fn broken_configurations() {
    let demo = Demo::start().await;
    let mut node = node(&demo).await;

    hasten(
        &mut node,
        &PLAIN.replace("upstream = \"app\"", "upstream = \"ap\""),
    );
    let ran = refused(&mut node, "says that the configuration is wrong").await;
    assert!(ran.text().contains("farmgate.toml"), "{}", ran.text());

    // What only the new process can see: another has the address.
    let taken = Origin::start(|mut peer: Peer| async move { peer.gone().await }).await;
    let more = format!(
        "{PLAIN}\n[[listener]]\nname = \"taken\"\naddress = \"{}\"\n",
        taken.address()
    );
    hasten(&mut node, &more);
    // A process that fails late must not take the old one's files with it as it ends.
    for _ in 0..5 {
        refused(&mut node, "Address already in use").await;
    }

    let config = node.config().to_owned();
    std::fs::remove_file(&config).expect("remove the configuration");
    refused(&mut node, "farmgate.toml").await;

    hasten(&mut node, PLAIN);
    node.upgrade().await;
    node.stop().await;
}

#[tokio::test]
async fn one_at_a_time() {
    let demo = Demo::start().await;
    let mut node = node(&demo).await;
    let release = node.folder().join("release");
    runs(
        &node,
        &format!(
            "while [ ! -e {} ]; do :; done; exec \"$FARMGATE\" \"$@\"",
            release.display()
        ),
    );
    node.run(&["upgrade", "--no-wait"]).await.expect(0);
    let ran = node.run(&["upgrade"]).await.expect(1);
    assert!(
        ran.text().contains("an upgrade is under way"),
        "{}",
        ran.text()
    );
    // A reload waits for its turn, and is then the new process's affair or refused; it is never half-done.
    node.signal("HUP");
    std::fs::write(&release, "").expect("write");
    node.follow().await;
    assert_eq!(node.elder_exit().await, 0);
    // The signal has no other answer.
    let log = node.errors();
    assert!(
        log.contains("reload refused: another process has just taken over"),
        "{log}"
    );
    node.stop().await;
}

/// As many as `server.upgrade.draining` drain at once, and no more.
#[tokio::test]
async fn only_so_many_drain() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), PLAIN).await;
    let patient = |node: &mut Node| {
        node.write(PLAIN);
        let file = std::fs::read_to_string(node.config()).expect("the configuration");
        let file = file
            .replace("deadline = \"2s\"", "deadline = \"60s\"")
            .replace("threads = 2", "threads = 2\nupgrade = { draining = 2 }");
        std::fs::write(node.config(), file).expect("write the configuration");
    };
    patient(&mut node);
    node.run(&["reload"]).await.expect(0);
    let mut sockets = Vec::new();
    for _ in 0..2 {
        sockets.push(crate::scenarios::websocket::open(&node).await);
        node.upgrade().await;
    }
    let ran = node.try_upgrade().await.expect(1);
    let reason = "2 old processes still drain, server.upgrade.draining allows 2";
    assert!(ran.text().contains(reason), "{}", ran.text());
    // The oldest ends; its place is free.
    drop(sockets.remove(0));
    node.metric_is("farmgate_draining_processes", &[], 1.0)
        .await;
    node.upgrade().await;
    drop(sockets);
    node.metric_is("farmgate_draining_processes", &[], 0.0)
        .await;
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_stops_is_not_upgraded() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), PLAIN).await;
    let mut slow = super::slow(&node, 1000).await;
    node.run(&["drain", "--no-wait"]).await.expect(0);
    let ran = node.run(&["upgrade"]).await.expect(1);
    assert!(
        ran.text().contains("the node is draining"),
        "{}",
        ran.text()
    );
    assert_eq!(slow.response().await.expect("an answer").status, 200);
    assert_eq!(node.exit().await, 0);
    // Nothing took its place.
    assert!(
        tokio::net::TcpStream::connect(node.at("web"))
            .await
            .is_err()
    );
}

/// The new process serves, and the service manager has not read yet who the main process is: the signal comes to the
/// old one, and means the node.
#[tokio::test]
async fn a_stop_in_the_moment_of_the_change_reaches_the_new_process() {
    let demo = Demo::start().await;
    let setup = Setup::new().with("origin", demo.address());
    let path = setup.folder().join("notify");
    let manager = UnixDatagram::bind(&path).expect("bind");
    let setup = setup.env("NOTIFY_SOCKET", path.to_str().expect("a UTF-8 path"));
    let mut node = setup.start(PLAIN).await;
    node.signal("USR2");
    let mut message = vec![0; 4096];
    loop {
        let length = soon("a notification", manager.recv(&mut message)).await;
        let text = String::from_utf8_lossy(&message[..length.expect("receive")]).into_owned();
        if text.contains("MAINPID=") {
            break;
        }
    }
    // What comes now asks whether this was read. It stays unread, so that the old process waits.
    let address = demo.address().to_string();
    let ran = node.run(&["endpoint", "app", &address, "drain"]).await;
    assert!(ran.expect(1).text().contains("ask again"));
    node.signal("TERM");
    assert_eq!(node.exit().await, 0);
    // Unread messages hold the sockets that were to be kept.
    drop(manager);
    eventually("the end of the new process", || async {
        TcpStream::connect(node.at("web")).await.err()
    })
    .await;
    eventually("the last words of both", || async {
        let log = node.errors();
        (log.contains("has drained") && log.contains("health checks fail")).then_some(())
    })
    .await;
    let log = node.errors();
    assert!(!log.contains("ended without a word"), "{log}");
}

/// A client that has sent half a request keeps the process, not the upgrade.
#[tokio::test]
async fn half_a_request_is_finished_by_the_old_process() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), PLAIN).await;
    let mut half = Client::connect(node.at("web")).await;
    half.send("POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello")
        .await;
    let web = [("listener", "web")];
    node.metric_is("farmgate_requests_in_flight", &web, 1.0)
        .await;
    node.upgrade().await;
    half.send("world").await;
    let response = half.response().await.expect("an answer");
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "helloworld")
    );
    half.closes_within(crate::harness::SOON).await;
    assert_eq!(node.elder_exit().await, 0);
    node.stop().await;
}
