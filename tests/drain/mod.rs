//! Going down: what is under way comes to its end, what does not in time is told in the words of its protocol, and
//! all of it is counted.

mod counts;
mod http1;
mod http2;
mod order;
mod upgraded;
mod websocket;

use std::net::SocketAddr;

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::harness::cli::{Ran, farmgate_async};
use crate::harness::node::joined;
use crate::harness::{Node, Setup};

/// A drain that is soon over.
pub(crate) const QUICK: &str = r#"idle_grace = "50ms", deadline = "600ms""#;

/// A drain that keeps idle connections for longer than it waits.
pub(crate) const KEEPING: &str = r#"idle_grace = "20s", deadline = "600ms""#;

/// A drain with all the time in the world.
pub(crate) const PATIENT: &str = r#"idle_grace = "9s", deadline = "60s""#;

/// A node that drains so, before `origin`.
pub(crate) async fn serving(words: &'static str, origin: SocketAddr, config: &str) -> Node {
    let setup = Setup::new().with("origin", origin).drain(words);
    setup.start(config).await
}

/// `farmgate drain`, waiting for its end.
pub(crate) fn drain(node: &Node) -> Draining {
    let control = node.control().to_str().expect("a UTF-8 path").to_owned();
    Draining(tokio::spawn(async move {
        farmgate_async(&["drain", "--json", "--control", &control]).await
    }))
}

/// A drain that somebody waits for.
pub(crate) struct Draining(JoinHandle<Ran>);

impl Draining {
    /// What it came to; the process has then ended well.
    pub(crate) async fn ended(self, node: &mut Node) -> Value {
        let answer = joined(self.0).await.expect(0).json();
        assert_eq!(node.exit().await, 0);
        assert!(!node.errors().contains("panicked"), "{}", node.errors());
        answer
    }

    /// Nothing else was cut than these.
    pub(crate) async fn cut(self, node: &mut Node, kinds: &[(&str, u64)]) {
        let answer = self.ended(node).await;
        let expected: serde_json::Map<_, _> = kinds
            .iter()
            .map(|(kind, count)| ((*kind).to_owned(), (*count).into()))
            .collect();
        assert_eq!(answer["kinds"], Value::Object(expected), "{answer}");
    }
}
