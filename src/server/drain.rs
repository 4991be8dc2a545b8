//! Going down without losing a request, and without waiting for ever.
//!
//! One drain per process, on one of two occasions. What happens in which order stands in `docs/operate/drain.md`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::{Server, linger};
use crate::telemetry::DrainCuts;

/// How often the progress is told while nothing ends.
const LOOK: Duration = Duration::from_millis(250);
/// How long a cut may take: each client is told in its protocol's words.
const CUT: Duration = Duration::from_secs(1);

/// Why a process drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The node goes: health checks fail, and load balancers are given time to see it.
    Stop,
    /// Another process serves the addresses now, and answers for them: health checks go on, nobody is to turn away.
    Upgraded,
}

impl Occasion {
    /// The word for JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Upgraded => "upgraded",
        }
    }
}

/// Where a listener stands on the way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It serves.
    Open,
    /// It serves, and asks its clients to go.
    Asking,
    /// Nothing new is accepted; what is open ends in its own time.
    Leaving,
    /// What is open ends now.
    Cut,
}

impl Stage {
    /// The word for JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Asking => "lb_grace",
            Self::Leaving => "draining",
            Self::Cut => "cut",
        }
    }
}

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Why.
    pub occasion: Occasion,
    /// Where it stands.
    pub stage: Stage,
    /// What is left.
    pub left: Left,
    /// When what is left is cut.
    pub deadline: Instant,
    /// What it came to, once it has ended.
    pub drained: Option<Drained>,
}

impl Progress {
    /// Until the deadline.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stage, left) = (self.stage.as_str(), self.remaining().as_secs());
        write!(f, "{stage}: {}, {left} s left", self.left)
    }
}

/// What a drain still waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Client connections, those included that wait for their last bytes to arrive.
    pub connections: u64,
    /// Requests on them.
    pub requests: u64,
    /// WebSockets and other tunnels.
    pub tunnels: u64,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections, {} requests, {} tunnels",
            self.connections, self.requests, self.tunnels
        )
    }
}

/// What a drain came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// What the deadline cut, by kind.
    pub cuts: DrainCuts,
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cuts.lost(), self.cuts.idle()) {
            (0, 0) => f.write_str("drained"),
            (0, _) => write!(f, "drained; closed while idle: {}", self.cuts),
            (lost, _) => write!(f, "drained; {lost} were cut at the end: {}", self.cuts),
        }
    }
}

/// The node's one drain.
pub struct Drain {
    told: watch::Receiver<Progress>,
    hurry: Arc<Notify>,
}

/// Starts the node's one drain, or finds it under way, whatever its occasion was. What comes of it is told by the
/// receiver, whoever waits and whoever leaves.
pub fn start(server: &Arc<Server>, occasion: Occasion) -> watch::Receiver<Progress> {
    let mut under_way = server.drain.lock();
    if let Some(known) = &*under_way {
        return known.told.clone();
    }
    let times = server.settings().drain;
    let (tell, told) = watch::channel(Progress {
        occasion,
        stage: Stage::Open,
        left: Left::default(),
        deadline: Instant::now() + times.deadline,
        drained: None,
    });
    let hurry = Arc::new(Notify::new());
    *under_way = Some(Drain {
        told: told.clone(),
        hurry: Arc::clone(&hurry),
    });
    let draining = Draining {
        server: Arc::clone(server),
        tell,
        hurry,
        lb_grace: times.lb_grace,
    };
    tokio::spawn(draining.run());
    told
}

/// How far the node's drain has come, if there is one.
pub fn progress(server: &Server) -> Option<Progress> {
    let under_way = server.drain.lock();
    under_way.as_ref().map(|drain| *drain.told.borrow())
}

/// The drain waits no longer: what is open is cut now. Nothing happens without a drain.
pub fn hurry(server: &Server) {
    if let Some(drain) = &*server.drain.lock() {
        drain.hurry.notify_one();
    }
}

/// Waits for the end of a drain.
pub async fn ended(mut told: watch::Receiver<Progress>) -> Drained {
    let ended = told.wait_for(|progress| progress.drained.is_some()).await;
    ended.ok().and_then(|last| last.drained).unwrap_or_default()
}

/// A drain at work.
struct Draining {
    server: Arc<Server>,
    tell: watch::Sender<Progress>,
    hurry: Arc<Notify>,
    lb_grace: Duration,
}

impl Draining {
    async fn run(self) {
        let (occasion, deadline) = {
            let now = self.tell.borrow();
            (now.occasion, now.deadline)
        };
        let node = &self.server.node;
        node.leaving.store(true, Ordering::SeqCst);
        let mut in_time = true;
        if occasion == Occasion::Stop {
            node.draining.store(true, Ordering::SeqCst);
            log::info!("draining: health checks fail from now on");
            self.at(Stage::Asking);
            let end = deadline.min(Instant::now() + self.lb_grace);
            in_time = self.wait(end, false).await;
            self.server.listeners.lock().stop();
        }
        // After an upgrade nothing has been accepted since the sockets were handed over.
        log::info!("draining: no new connections are taken");
        self.at(Stage::Leaving);
        if in_time {
            self.wait(deadline, true).await;
        }
        let mut drained = Drained::default();
        if !self.is_empty() {
            self.at(Stage::Cut);
            self.server.listeners.lock().cut();
            self.wait(Instant::now() + CUT, true).await;
            drained.cuts = self.cut();
        }
        match drained.cuts.lost() {
            0 => log::info!("draining: {drained}"),
            _ => log::warn!("draining: {drained}"),
        }
        self.tell.send_modify(|progress| {
            progress.left = self.left();
            progress.drained = Some(drained);
        });
    }

    /// What was cut. Whoever did not take note in time ends with the process.
    fn cut(&self) -> DrainCuts {
        let metrics = self.server.node.metrics.drain();
        let left = self.server.listeners.lock().open();
        for _ in 0..left {
            metrics.cut(crate::telemetry::DrainCut::Dropped);
        }
        metrics.cuts()
    }

    /// Connections. Those that are closing have been sent something that the end of the process would destroy.
    fn open(&self) -> u64 {
        // In this order: one that goes begins to close before it ends to be open.
        let open = u64::from(self.server.listeners.lock().open());
        open.saturating_add(u64::try_from(linger::under_way()).unwrap_or(u64::MAX))
    }

    /// True if nothing is left, and nothing can come.
    fn is_empty(&self) -> bool {
        !self.server.listeners.lock().is_accepting() && self.open() == 0
    }

    fn left(&self) -> Left {
        let under_way = self.server.node.metrics.under_way();
        Left {
            connections: self.open(),
            requests: under_way.requests,
            tunnels: under_way.tunnels,
        }
    }

    fn at(&self, stage: Stage) {
        let left = self.left();
        self.tell.send_modify(|progress| {
            progress.stage = stage;
            progress.left = left;
        });
    }

    /// Waits until `end`, or, where that is `enough`, until nothing is left. False: nobody wants to wait any longer.
    async fn wait(&self, end: Instant, enough: bool) -> bool {
        loop {
            let left = self.left();
            self.tell.send_if_modified(|progress| {
                let changed = progress.left != left;
                progress.left = left;
                changed
            });
            let now = Instant::now();
            if (enough && self.is_empty()) || now >= end {
                return true;
            }
            let look = end.min(now + LOOK);
            tokio::select! {
                () = linger::NOTHING_LEFT.notified() => {}
                () = tokio::time::sleep_until(look.into()) => {}
                () = self.hurry.notified() => return false,
            }
        }
    }
}
