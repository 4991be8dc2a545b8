//! A real etcd on loopback.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::*;
use crate::upstream::discovery::dial::PlainDialer;
use crate::upstream::discovery::fetch::fetch;

pub(crate) struct Etcd {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
    /// Sent along by `call`.
    pub(crate) token: Option<String>,
}

impl Etcd {
    /// Starts a server and waits until it answers; none where it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let mut folder = tempfile::tempdir().unwrap();
        // Another process may take the port before the server does: then it ends and the next one is tried.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let Some(child) = run(folder.path(), port) else {
                println!("skipped: etcd is not installed");
                return None;
            };
            let mut server = Self {
                child,
                port,
                folder,
                token: None,
            };
            if server.is_ready().await {
                return Some(server);
            }
            folder = std::mem::replace(&mut server.folder, tempfile::tempdir().unwrap());
        }
        panic!("etcd does not start");
    }

    pub(crate) fn url(&self) -> Uri {
        format!("http://127.0.0.1:{}", self.port).parse().unwrap()
    }

    async fn is_ready(&mut self) -> bool {
        for _ in 0..600 {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let body = json!({ "key": BASE64.encode("x") });
            if self.call("/v3/kv/range", &body).await.is_ok() {
                return true;
            }
            // tidy: waits for a condition
            sleep(Duration::from_millis(50)).await;
        }
        panic!("etcd does not answer in 30 s");
    }

    pub(crate) async fn call(&self, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut request = Request::post(url);
        if let Some(token) = &self.token {
            request = request.header("authorization", token);
        }
        let request = request.body(Full::new(Bytes::from(body.to_string())));
        let exchange = async {
            let mut answer = fetch(&PlainDialer, request.unwrap()).await?;
            if answer.status != StatusCode::OK {
                return Err(answer.refusal().await);
            }
            answer.whole(1 << 20).await
        };
        let bytes = timeout(Duration::from_secs(5), exchange).await;
        let bytes = bytes.map_err(|_| "no answer".to_owned())?;
        let bytes = bytes.map_err(|error| error.to_string())?;
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    }

    pub(crate) async fn put(&self, key: &str, value: &str) {
        let body = json!({ "key": BASE64.encode(key), "value": BASE64.encode(value) });
        self.call("/v3/kv/put", &body).await.unwrap();
    }

    pub(crate) async fn delete(&self, key: &str) {
        let body = json!({ "key": BASE64.encode(key) });
        self.call("/v3/kv/deleterange", &body).await.unwrap();
    }

    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again with the same data at the same address. With a login, that is what it answers first.
    pub(crate) async fn start_again(&mut self, login: Option<&Value>) {
        self.child = run(self.folder.path(), self.port).unwrap();
        let Some(login) = login else {
            assert!(self.is_ready().await, "etcd does not start again");
            return;
        };
        for _ in 0..600 {
            if let Ok(answer) = self.call("/v3/auth/authenticate", login).await {
                self.token = answer["token"].as_str().map(str::to_owned);
                return;
            }
            // tidy: waits for a condition
            sleep(Duration::from_millis(50)).await;
        }
        panic!("etcd does not start again");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).unwrap();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(folder: &Path, port: u16) -> Option<Child> {
    let client = format!("http://127.0.0.1:{port}");
    // The only member talks to nobody: this address is a name.
    let peer = "http://127.0.0.1:1";
    Command::new("etcd")
        .arg("--data-dir")
        .arg(folder.join("data"))
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", "http://127.0.0.1:0"])
        .args(["--initial-advertise-peer-urls", peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(["--unsafe-no-fsync", "--log-level", "error"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}
