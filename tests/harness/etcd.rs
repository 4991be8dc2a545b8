//! A real etcd (Debian: etcd-server) on loopback, in a folder of its own.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Client, eventually, free_address};

/// The running server; it ends when this is dropped.
pub(crate) struct Etcd {
    address: SocketAddr,
    folder: TempDir,
    child: Child,
}

impl Etcd {
    /// Starts one and waits until it answers; none where it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_address();
        let Some(child) = run(&folder, address) else {
            println!("skipped: etcd is not installed");
            return None;
        };
        let server = Self {
            address,
            folder,
            child,
        };
        server.ready().await;
        Some(server)
    }

    /// Where clients find it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Starts it again with its data, at the same address.
    pub(crate) async fn start_again(&mut self) {
        self.child = run(&self.folder, self.address).expect("etcd");
        self.ready().await;
    }

    /// Writes a key.
    pub(crate) async fn put(&self, key: &str, value: &str) {
        let body = json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(value) });
        assert!(self.call("put", &body).await, "put {key}");
    }

    /// Removes a key.
    pub(crate) async fn delete(&self, key: &str) {
        let body = json!({ "key": STANDARD.encode(key) });
        assert!(self.call("deleterange", &body).await, "delete {key}");
    }

    async fn ready(&self) {
        eventually("etcd answers", || async {
            tokio::net::TcpStream::connect(self.address).await.ok()?;
            let body = json!({ "key": STANDARD.encode("x") });
            self.call("range", &body).await.then_some(())
        })
        .await;
    }

    async fn call(&self, what: &str, body: &Value) -> bool {
        let mut client = Client::connect(self.address).await;
        let target = format!("/v3/kv/{what}");
        client.post(&target, &body.to_string()).await.status == 200
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(folder: &TempDir, address: SocketAddr) -> Option<Child> {
    let client = format!("http://{address}");
    // The only member talks to nobody: this address is a name.
    let peer = "http://127.0.0.1:1";
    let peers = format!("http://{}:0", address.ip());
    Command::new("etcd")
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peers])
        .args(["--initial-advertise-peer-urls", peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(["--unsafe-no-fsync", "--log-level", "error"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}
