//! Upgrade without a service manager: sockets change hands, clients see nothing, and what fails is taken back.

mod broken;
mod cache;
mod killed;
mod load;
mod state;

use crate::harness::{Client, Demo, Node, eventually};
use crate::scenarios::PLAIN;

/// Two listeners and a third with another name when `n` is odd.
fn numbered(n: u32) -> String {
    let more = match n % 2 {
        0 => "",
        _ => "[[listener]]\nname = \"third\"\naddress = \"@third\"\n",
    };
    format!("{PLAIN}\n[[listener]]\nname = \"other\"\naddress = \"@other\"\n{more}")
}

/// How many connections of a port are refused: with nobody behind it, and with a node that does not listen any more.
async fn answers(node: &Node, name: &str) -> bool {
    match tokio::net::TcpStream::connect(node.at(name)).await {
        Ok(stream) => {
            let mut client = Client::on(Box::new(stream));
            client.get("/bytes/10").await.status == 200
        }
        Err(_) => false,
    }
}

/// A client whose request is under way, for so many milliseconds.
async fn slow(node: &Node, ms: u32) -> Client {
    let mut client = node.client().await;
    let request = format!("GET /delay/{ms} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.send(&request).await;
    let web = [("listener", "web")];
    node.metric_is("farmgate_requests_in_flight", &web, 1.0)
        .await;
    client
}

#[tokio::test]
async fn listeners_and_what_a_reload_cannot_change_come_with_the_new_configuration() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), &numbered(0)).await;
    let first = node.process();
    assert_eq!(node.status().await["threads"], 2);
    for n in 1..4_u32 {
        node.write(&numbered(n));
        // A word that needs another process.
        let file = std::fs::read_to_string(node.config()).expect("the configuration");
        let threads = 1 + n % 2;
        let file = file.replace("threads = 2", &format!("threads = {threads}"));
        std::fs::write(node.config(), file).expect("write the configuration");
        node.upgrade().await;
        assert_eq!(node.status().await["threads"], threads);
        for name in ["web", "other"] {
            assert!(answers(&node, name).await, "{n} {name}");
        }
        if n % 2 == 1 {
            assert!(answers(&node, "third").await, "{n}");
        } else {
            eventually("the third listener's end", || async {
                (!answers(&node, "third").await).then_some(())
            })
            .await;
        }
        assert_eq!(node.elder_exit().await, 0);
    }
    assert_ne!(node.process(), first);
    node.stop().await;
    let errors = node.errors();
    assert!(!errors.contains("panicked"), "{errors}");
}

/// Sockets in the file system move too, and their files are not taken away by the process that leaves.
#[tokio::test]
async fn sockets_in_the_file_system_move() {
    let demo = Demo::start().await;
    let config =
        format!("{PLAIN}\n[[listener]]\nname = \"local\"\naddress = \"unix:run/web.sock\"\n");
    let mut node = Node::serving(demo.address(), &config).await;
    let path = node.folder().join("run/web.sock");
    for _ in 0..2 {
        let mut before = Client::connect_unix(&path).await;
        assert_eq!(before.get("/bytes/10").await.status, 200);
        node.upgrade().await;
        assert_eq!(node.elder_exit().await, 0);
        let mut after = Client::connect_unix(&path).await;
        assert_eq!(after.get("/bytes/10").await.status, 200);
    }
    node.stop().await;
    assert!(!path.exists(), "the last process takes its file away");
}

#[tokio::test]
async fn a_hundred_listeners() {
    let demo = Demo::start().await;
    let listener = |n| format!("[[listener]]\nname = \"l{n}\"\naddress = \"@l{n}\"\n");
    let many: String = (0..100).map(listener).collect();
    let mut node = Node::serving(demo.address(), &format!("{PLAIN}\n{many}")).await;
    node.upgrade().await;
    assert_eq!(node.elder_exit().await, 0);
    for n in 0..100 {
        assert!(answers(&node, &format!("l{n}")).await, "{n}");
    }
    node.stop().await;
}

/// Each step is told: in the log, by `status`, in metrics.
#[tokio::test]
async fn steps_are_visible() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), PLAIN).await;
    // A request that is under way keeps the old process.
    let mut slow = slow(&node, 300).await;
    let old = node.process();
    node.upgrade().await;
    node.metric_is("farmgate_draining_processes", &[], 1.0)
        .await;
    let status = node.status().await;
    let draining = &status["upgrade"]["draining"][0];
    assert_eq!(draining["pid"], old, "{status}");
    assert_eq!(slow.response().await.expect("an answer").status, 200);
    assert_eq!(node.elder_exit().await, 0);
    node.metric_is("farmgate_draining_processes", &[], 0.0)
        .await;
    let log = node.errors();
    for step in [
        "upgrade: checking the new binary and the configuration",
        "upgrade: waiting for the new process to be ready",
        "upgrade: handing over",
        "upgrade: handed over",
        "serves now",
        &format!("old process {old} has drained"),
    ] {
        assert!(log.contains(step), "{step}\n{log}");
    }
    node.stop().await;
}

/// Addresses of operators move too; one that the new configuration does not have refuses at once, and may be taken again
/// while the process that had it still drains.
#[tokio::test]
async fn operators_addresses_come_and_go() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), PLAIN).await;
    let socket = crate::scenarios::websocket::open(&node).await;
    let first = std::fs::read_to_string(node.config()).expect("the configuration");
    let (before, after) = (node.at("admin"), crate::harness::free_address());
    let second = first.replace(&before.to_string(), &after.to_string());
    for (text, there, gone) in [(&second, after, before), (&first, before, after)] {
        std::fs::write(node.config(), text).expect("write the configuration");
        node.upgrade().await;
        let mut client = Client::connect(there).await;
        assert_eq!(client.get("/readyz").await.status, 200);
        let refused = tokio::net::TcpStream::connect(gone).await;
        assert!(refused.is_err(), "{gone} still listens");
    }
    drop(socket);
    node.stop().await;
    assert!(!node.control().exists());
}

/// Old processes that drain open their log files again too.
#[tokio::test]
async fn logs_are_opened_again_everywhere() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), PLAIN).await;
    let mut slow = slow(&node, 1500).await;
    node.upgrade().await;
    let log = node.folder().join("run/access.log");
    std::fs::rename(&log, log.with_extension("1")).expect("rename");
    node.run(&["reopen-logs"]).await.expect(0);
    assert_eq!(slow.response().await.expect("an answer").status, 200);
    assert_eq!(node.elder_exit().await, 0);
    let text = std::fs::read_to_string(&log).expect("the new log");
    assert!(text.contains("/delay/1500"), "{text}");
    node.stop().await;
}
