//! Upgrades while clients are served: clients without retries, none of which may see a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::harness::{Client, Demo, Node, node::joined};
use crate::scenarios::PLAIN;
use crate::scenarios::websocket::{echo, open};

/// Clients that go on until they are told to stop, and panic at the first failure.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// Three clients that keep their connection until they are told to close it, and one that never keeps it.
    fn start(node: &Node) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            done: Arc::default(),
            tasks: Vec::new(),
        };
        let web = node.at("web");
        for task in 0..4 {
            let (stop, done) = (Arc::clone(&load.stop), Arc::clone(&load.done));
            load.tasks.push(tokio::spawn(async move {
                let mut client = Client::connect(web).await;
                while !stop.load(Ordering::Relaxed) {
                    let response = client.get("/bytes/1000").await;
                    assert_eq!((response.status, response.body.len()), (200, 1000));
                    if task == 0 || response.header("connection") == Some("close") {
                        client = Client::connect(web).await;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        load
    }

    /// How many requests were answered, all of them well.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            joined(task).await;
        }
        self.done.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_in_a_row_lose_nothing() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), PLAIN).await;
    let load = Load::start(&node);
    for n in 0..10 {
        let mut socket = open(&node).await;
        echo(&mut socket, "before").await;
        node.upgrade().await;
        // It lives on with the old process.
        echo(&mut socket, &format!("after {n}")).await;
        socket.close(None).await.expect("close");
        assert_eq!(node.elder_exit().await, 0, "{}", node.errors());
    }
    let done = load.end().await;
    assert!(done > 200, "only {done} requests");
    node.stop().await;
}

/// SIGUSR2 does the same as the command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_upgrades_too() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), PLAIN).await;
    let load = Load::start(&node);
    for _ in 0..2 {
        node.signal("USR2");
        node.follow().await;
        assert_eq!(node.elder_exit().await, 0);
    }
    load.end().await;
    node.stop().await;
}

/// A reload in between belongs to the process that serves; the history of both is one.
#[tokio::test]
async fn reloads_and_upgrades_mix() {
    let demo = Demo::start().await;
    let mut node = Node::serving(demo.address(), PLAIN).await;
    node.reload(&format!("{PLAIN}# second")).await;
    node.write(&format!("{PLAIN}# third"));
    node.upgrade().await;
    node.reload(&format!("{PLAIN}# fourth")).await;
    let history = node.run(&["history"]).await.expect(0).out;
    assert!(history.lines().count() == 4, "{history}");
    node.run(&["rollback"]).await.expect(0);
    node.upgrade().await;
    node.stop().await;
}
