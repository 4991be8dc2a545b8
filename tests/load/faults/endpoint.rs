//! The endpoint that fails: it does its work until it is told to go wrong.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farmgate::upstream::balance::random::next_u64;
use tokio::net::TcpStream;

use crate::harness::{Origin, Peer, cli, eventually, free_address};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its process is killed: connections are refused.
    Killed,
    /// Its process is stopped (SIGSTOP): the kernel takes connections and requests, nobody answers.
    Stopped,
    /// Every connection is reset once the request is read.
    Reset,
    /// Half of its answers, at random, are 500s.
    Half500,
    /// Every answer is held back for [`SLOW`].
    Slow,
    /// Bytes that are no HTTP.
    Garbage,
    /// The head comes at once, the body piece by piece over [`DRIBBLE`].
    SlowBody,
}

/// How slow a slow endpoint is.
pub(super) const SLOW: Duration = Duration::from_millis(300);

/// How long a dribbled body takes.
pub(super) const DRIBBLE: Duration = Duration::from_millis(600);

/// Pieces of a dribbled body.
const PIECES: u32 = 12;

/// An endpoint that is well until [`Endpoint::fail`].
pub(super) enum Endpoint {
    /// `farmgate origin`, for what is done to a process.
    Process(Process, Fault),
    /// An origin of the test's own.
    Script(Origin, Arc<AtomicBool>),
}

impl Endpoint {
    pub(super) async fn start(fault: Fault) -> Self {
        if matches!(fault, Fault::Killed | Fault::Stopped) {
            return Self::Process(Process::start().await, fault);
        }
        let is_ill = Arc::<AtomicBool>::default();
        let told = Arc::clone(&is_ill);
        let origin = Origin::start(move |peer: Peer| serve(peer, fault, Arc::clone(&told)));
        Self::Script(origin.await, is_ill)
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::Process(process, _) => process.address,
            Self::Script(origin, _) => origin.address(),
        }
    }

    /// From now on it is ill.
    pub(super) fn fail(&mut self) {
        match self {
            Self::Process(process, Fault::Killed) => process.end(),
            Self::Process(process, _) => process.stop(),
            Self::Script(_, is_ill) => is_ill.store(true, Ordering::SeqCst),
        }
    }
}

/// Serves one connection, checks of its health too: a fault is that of the whole endpoint.
async fn serve(mut peer: Peer, fault: Fault, is_ill: Arc<AtomicBool>) {
    while peer.head().await.is_some() {
        if !is_ill.load(Ordering::SeqCst) {
            peer.answer(200, "", "well").await;
            continue;
        }
        match fault {
            Fault::Killed | Fault::Stopped => unreachable!("done to a process"),
            Fault::Reset => return peer.reset(),
            Fault::Garbage => return peer.send("\x16\x03\x01 this is no HTTP\r\n\r\n").await,
            Fault::Half500 => {
                let status = if next_u64().is_multiple_of(2) {
                    500
                } else {
                    200
                };
                peer.answer(status, "", "half").await;
            }
            Fault::Slow => {
                if leaves_within(&mut peer, SLOW).await {
                    return;
                }
                peer.answer(200, "", "well").await;
            }
            Fault::SlowBody => {
                peer.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {PIECES}\r\n\r\n"
                ))
                .await;
                for _ in 0..PIECES {
                    if leaves_within(&mut peer, DRIBBLE / PIECES).await {
                        return;
                    }
                    peer.send("x").await;
                }
            }
        }
    }
}

/// Lets this time pass; true at once if the other side closes.
pub(super) async fn leaves_within(peer: &mut Peer, time: Duration) -> bool {
    tokio::time::timeout(time, peer.gone()).await.is_ok()
}

/// `farmgate origin` as a process of its own.
pub(super) struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    async fn start() -> Self {
        let address = free_address();
        let child = cli::command()
            .args(["origin", "--address", &address.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = Self {
            child: child.expect("start the origin"),
            address,
        };
        eventually("the origin", || async {
            TcpStream::connect(address).await.ok()
        })
        .await;
        process
    }

    fn stop(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "STOP", &id]).status();
        assert!(sent.expect("kill").success());
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
