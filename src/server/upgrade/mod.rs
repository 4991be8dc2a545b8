//! Upgrade: another process takes over the sockets, and clients see nothing of it.
//!
//! | step | old process | new process |
//! |---|---|---|
//! | check | runs the binary on disk with `check` | |
//! | start | starts it, nobody's child, with the listening sockets | reads, compiles, binds what is new, looks at itself |
//! | hand over | sends the state that moves | takes the state, accepts |
//! | commit | tells the service manager, accepts no more, drains | keeps the sockets in the service manager's store |
//!
//! Up to the commit everything can be taken back: the new process is killed and the old one goes on, having accepted
//! all the while. After it nothing can fail. `docs/operate/upgrade.md` tells operators the same.

pub mod channel;
pub mod elders;
mod folders;
pub mod heir;
pub mod letters;
pub mod moved;
pub mod relay;
pub mod spawn;

pub mod leaving;

mod check;
mod refusal;
mod selfcheck;

pub use refusal::refusal;

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::drain::Occasion;
use super::{Server, systemd};
use crate::telemetry::clock;
use crate::telemetry::metrics::Metrics;
use channel::{Channel, Go, Hello, Message, Ready, Role, SocketEntry};
use elders::Elders;
use moved::World;
use spawn::{Other, Program};

/// How long the new process may take to accept, once it has all it needs.
const SERVING: Duration = Duration::from_secs(10);
/// How long a process may take to begin to exist.
const SPAWN: Duration = Duration::from_secs(10);

/// The upgrades of this process.
pub struct Upgrades {
    /// How this process was started.
    pub program: Program,
    /// Old processes that still drain.
    pub elders: Arc<Elders>,
    /// What their caches are told, and this one's.
    pub relay: Arc<relay::Relay>,
    /// Told when another process has taken over.
    pub handed_over: Notify,
    phase: watch::Sender<Option<(Phase, Instant)>>,
    /// True once the node is to stop: then no other process takes over any more.
    stopping: watch::Sender<bool>,
    last: Mutex<Option<LastUpgrade>>,
    leaving: Mutex<Option<Leaving>>,
}

/// Where an upgrade is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Checking,
    Starting,
    HandingOver,
    Committed,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Checking => "checking the new binary and the configuration",
            Self::Starting => "waiting for the new process to be ready",
            Self::HandingOver => "handing over",
            Self::Committed => "handed over",
        }
    }
}

/// What the last upgrade came to.
#[derive(Clone, Debug)]
struct LastUpgrade {
    at: u64,
    result: Result<Upgraded, String>,
}

/// An upgrade that was done.
#[derive(Clone, Debug)]
pub struct Upgraded {
    /// The process that serves now.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// The generation it serves.
    pub generation: u64,
}

/// What a process needs that leaves.
struct Leaving {
    channel: Channel,
    successor: Option<Other>,
    taken: Vec<(Role, String)>,
    tally: moved::Tally,
    outbox: letters::Outbox,
}

/// The one upgrade under way; dropping it ends it.
struct UnderWay<'u>(&'u Upgrades);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.phase.send_if_modified(|phase| {
            let given_up = phase.is_some_and(|(phase, _)| phase != Phase::Committed);
            if given_up {
                *phase = None;
            }
            given_up
        });
    }
}

/// A process that is killed unless it takes over.
struct Candidate(Option<Other>);

impl Drop for Candidate {
    fn drop(&mut self) {
        if let Some(other) = &self.0 {
            other.kill();
        }
    }
}

impl Upgrades {
    /// None yet.
    /// `heir`: another process serves still.
    pub fn new(program: Program, metrics: &Arc<Metrics>, heir: bool) -> Self {
        let elders = Arc::new(Elders::new(metrics));
        Self {
            program,
            relay: Arc::new(relay::Relay::new(&elders, heir)),
            elders,
            handed_over: Notify::new(),
            phase: watch::Sender::new(None),
            stopping: watch::Sender::new(false),
            last: Mutex::default(),
            leaving: Mutex::default(),
        }
    }

    /// For `status`.
    pub fn status(&self) -> Value {
        let phase = *self.phase.borrow();
        json!({
            "phase": phase.map(|(phase, _)| phase.as_str()),
            "phase_seconds": phase.map(|(_, since)| since.elapsed().as_secs()),
            "last": self.last.lock().as_ref().map(|last| match &last.result {
                Ok(done) => json!({ "at": last.at, "result": "ok", "pid": done.pid }),
                Err(why) => json!({ "at": last.at, "result": "failed", "reason": why }),
            }),
            "draining": self.elders.status(),
        })
    }

    fn begin(&self) -> Result<UnderWay<'_>, String> {
        let mut found = None;
        self.phase.send_if_modified(|phase| {
            found = *phase;
            *phase = found.or(Some((Phase::Checking, Instant::now())));
            found.is_none()
        });
        match found {
            Some(begun) => Err(refusal::under_way(begun)),
            None => Ok(UnderWay(self)),
        }
    }

    fn enter(&self, phase: Phase) {
        log::info!("upgrade: {}", phase.as_str());
        systemd::status(&format!("upgrade: {}", phase.as_str()));
        self.phase.send_replace(Some((phase, Instant::now())));
    }

    /// True once another process serves.
    pub fn is_over(&self) -> bool {
        let phase = *self.phase.borrow();
        phase.is_some_and(|(phase, _)| phase == Phase::Committed)
    }

    /// The node is to stop: an upgrade under way is given up, and none begins any more. Returns when that is so, with
    /// what the drain is for then: another process may have taken over in this very moment.
    pub async fn give_up(&self) -> Occasion {
        self.stopping.send_replace(true);
        let mut phase = self.phase.subscribe();
        let settled =
            phase.wait_for(|phase| phase.is_none_or(|(phase, _)| phase == Phase::Committed));
        match settled.await.map(|phase| phase.is_some()) {
            Ok(true) => Occasion::Upgraded,
            // The sender lives as long as we do.
            Ok(false) | Err(_) => Occasion::Stop,
        }
    }

    /// Does a step of an upgrade, unless the node is to stop.
    async fn unless_stopping<T>(
        &self,
        step: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => Err("the node was told to stop".to_owned()),
            done = step => done,
        }
    }
}

/// Has another process take over, started from the binary on disk with the configuration on disk.
///
/// # Errors
/// It was refused or taken back, with the reason. This process serves on.
pub async fn upgrade(server: &Arc<Server>) -> Result<Upgraded, String> {
    // Told to whoever asked, and to the log for a signal; it is no result of the upgrade that is under way.
    let under_way = server
        .upgrades
        .begin()
        .inspect_err(|why| log::warn!("upgrade refused: {why}"))?;
    let result = attempt(server).await;
    let metrics = server.node.metrics.config();
    metrics.upgraded(result.is_ok());
    *server.upgrades.last.lock() = Some(LastUpgrade {
        at: clock::unix_ms() / 1000,
        result: result.clone(),
    });
    match &result {
        Ok(done) => log::info!(
            "upgrade: process {} ({}) serves now, generation {}",
            done.pid,
            done.version,
            done.generation
        ),
        Err(why) => {
            log::error!("upgrade failed, this process serves on: {why}");
            systemd::status(&format!("upgrade failed, serving on: {why}"));
        }
    }
    drop(under_way);
    result
}

async fn attempt(server: &Arc<Server>) -> Result<Upgraded, String> {
    let upgrades = &server.upgrades;
    // The configuration, and with it the sockets, stay as they are until this is over.
    let _unchanged = server.changing.lock().await;
    if let Some(why) = refusal::standing(server) {
        return Err(why);
    }
    let limits = server.settings().upgrade;
    upgrades.enter(Phase::Checking);
    let check = check::check(&upgrades.program, &server.paths, limits.ready);
    upgrades.unless_stopping(check).await?;

    upgrades.enter(Phase::Starting);
    let (mut channel, other) = start(server).await?;
    let pid = other.pid;
    let mut candidate = Candidate(Some(other));
    let ready = async {
        let ready = timeout(limits.ready, ready(&mut channel)).await;
        ready.unwrap_or_else(|_| {
            Err(format!(
                "the new process (pid {pid}) was not ready within {} s (server.upgrade.ready) and was killed",
                limits.ready.as_secs_f64()
            ))
        })
    };
    let ready = upgrades.unless_stopping(ready).await?;

    upgrades.enter(Phase::HandingOver);
    // Before the elders are let go: what they are to be told they are told.
    upgrades.relay.change();
    let paused = upgrades.elders.pause().await;
    let go = Go {
        elders: paused.iter().map(elders::Paused::entry).collect(),
    };
    let handed = upgrades.unless_stopping(hand_over(server, &mut channel, go));
    let mut tally = match handed.await {
        Ok(tally) => tally,
        Err(why) => {
            take_back(server, candidate, paused).await;
            return Err(why);
        }
    };
    // It accepts, and so does this process still. The service manager takes it as its main process if it is alive
    // when that is read; one that is alive later was so then.
    systemd::hand_over(
        pid,
        &format!("serving: generation {}, pid {pid}", ready.generation),
    );
    systemd::heard().await;
    if !channel.is_open() {
        take_back(server, candidate, paused).await;
        return Err(format!(
            "the new process (pid {pid}) ended as soon as it served; its last messages stand in the event log"
        ));
    }
    // From here on nothing is taken back, and the service manager listens to the new process only.
    let successor = candidate.0.take();
    log::info!("upgrade: {}", Phase::Committed.as_str());
    upgrades
        .phase
        .send_replace(Some((Phase::Committed, Instant::now())));
    server.operators.stop();
    if let Err(error) = committed(server, &mut channel, &mut tally).await {
        log::error!("process {pid} has taken over and does not listen any more: {error}");
    }
    let done = Upgraded {
        pid,
        version: ready.version.clone(),
        generation: ready.generation,
    };
    leave(
        server,
        Leaving {
            channel,
            successor,
            taken: ready.taken,
            tally,
            outbox: upgrades.relay.drain(),
        },
    );
    Ok(done)
}

/// Nothing comes of the new process: all that was given to it is this one's again.
async fn take_back(server: &Arc<Server>, candidate: Candidate, paused: Vec<elders::Paused>) {
    // Its end lets the cache's folders go.
    drop(candidate);
    server.upgrades.elders.resume(paused);
    if !*server.upgrades.stopping.borrow() {
        folders::take_back(server).await;
    }
    relay::make_up_for(server, &server.upgrades.relay.serve());
}

/// Starts the new process and tells it what it inherits.
async fn start(server: &Arc<Server>) -> Result<(Channel, Other), String> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()
        .map_err(|error| format!("no channel to a new process: {error}"))?;
    let sockets = sockets(server);
    let mut descriptors: Vec<i32> = sockets.iter().map(|entry| entry.fd).collect();
    let held = server.upgrades.elders.sockets();
    let elders: Vec<i32> = held.iter().map(|socket| socket.as_raw_fd()).collect();
    descriptors.extend(&elders);
    let program = server.upgrades.program.clone();
    let path = program.path.display().to_string();
    let failed = |error: &dyn std::fmt::Display| format!("{path} cannot be started: {error}");
    let mut channel = Channel::new(ours.into(), b"").map_err(|error| failed(&error))?;
    let hello = Message::Hello(Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        sockets,
        generation: server.node.current.load().generation,
        elders,
    });
    // Forking waits for the memory map to be copied.
    let start = tokio::task::spawn_blocking(move || {
        let theirs = theirs.into();
        let started = program.start(&theirs, &descriptors);
        drop(held);
        started
    });
    // Said first, so that the new process knows all it needs even if this one is killed in the next moment. That it
    // does not listen is found out below.
    let (_, started) = tokio::join!(channel.send(&hello), start);
    started
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))?;
    let pid = timeout(SPAWN, channel.pid()).await;
    let pid = pid
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(|error| failed(&error))?;
    let other = Other::new(pid);
    Ok((channel, other))
}

/// Every listening socket of this process.
fn sockets(server: &Server) -> Vec<SocketEntry> {
    let operators = server.operators.sockets().into_iter();
    let operators = operators.map(|(role, address, fd)| SocketEntry { role, address, fd });
    let listeners = server.listeners.lock();
    let listeners = listeners.sockets().map(|(address, fd)| SocketEntry {
        role: Role::Listener,
        address: address.to_string(),
        fd,
    });
    operators.chain(listeners).collect()
}

async fn ready(channel: &mut Channel) -> Result<Ready, String> {
    loop {
        match channel.next().await {
            Ok(Some(Message::Ready(ready))) => return Ok(ready),
            Ok(Some(Message::Failed { why })) => return Err(why),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => {
                return Err(
                    "the new process ended before it was ready, without a word; its last messages stand in the event log"
                        .to_owned(),
                );
            }
        }
    }
}

/// Gives the state, and has the new process serve.
async fn hand_over(
    server: &Arc<Server>,
    channel: &mut Channel,
    go: Go,
) -> Result<moved::Tally, String> {
    let node = Arc::clone(server);
    let serving = async {
        // Large tables take a while.
        let taken = tokio::task::spawn_blocking(move || moved::take(&World::of(&node))).await;
        let (state, tally) =
            taken.map_err(|error| format!("the state could not be taken: {error}"))?;
        let untaken = |error| format!("the new process did not take the state: {error}");
        for chunk in state {
            let sent = channel.send(&Message::State(chunk)).await;
            sent.map_err(untaken)?;
        }
        folders::release(server).await;
        channel.send(&Message::Go(go)).await.map_err(untaken)?;
        loop {
            match channel.next().await {
                Ok(Some(Message::Serving)) => return Ok(tally),
                Ok(Some(Message::Failed { why })) => return Err(why),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    return Err(
                        "the new process ended when it was to serve; its last messages stand in the event log"
                            .to_owned(),
                    );
                }
            }
        }
    };
    timeout(SERVING, serving).await.unwrap_or_else(|_| {
        Err(format!(
            "the new process did not serve within {} s and was killed",
            SERVING.as_secs()
        ))
    })
}

/// Tells the new process that it is the service, and what was counted since the state was taken.
async fn committed(
    server: &Arc<Server>,
    channel: &mut Channel,
    tally: &mut moved::Tally,
) -> std::io::Result<()> {
    for counted in tally.since(&server.node.metrics) {
        let progress = Message::Progress {
            open: 0,
            requests: 0,
            tunnels: 0,
            left_ms: 0,
            counted,
        };
        channel.send(&progress).await?;
    }
    channel.send(&Message::Committed).await
}

/// This process accepts no more; what it has under way drains.
fn leave(server: &Arc<Server>, leaving: Leaving) {
    server.listeners.lock().hand_over(&|address| {
        let address = address.to_string();
        let mut taken = leaving.taken.iter();
        taken.any(|(role, one)| *role == Role::Listener && *one == address)
    });
    // Those that the new one does not have answer nobody: who connects there is refused, not left to wait.
    server.operators.close(&|role, address, _| {
        let mut taken = leaving.taken.iter();
        taken.any(|(one, theirs)| *one == role && theirs == address)
    });
    server.orders.stop();
    moved::let_go(&World::of(server));
    *server.upgrades.leaving.lock() = Some(leaving);
    server.upgrades.handed_over.notify_one();
}
