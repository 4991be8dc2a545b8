//! Keeps one certificate alive: the task behind a `[[tls]]` with `acme`.

mod attempt;
mod keeper;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::challenges::Challenges;
use super::error::AcmeError;
use super::settings::Settings;
use super::storage::Storage;
use super::storage::record::Place;
use crate::tls::certificate::Certificate;
use keeper::Keeper;

/// Seconds since 1970.
type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What happened to the certificate, for metrics and the log. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcmeEvent {
    /// The stored one is served: after a start, or because another node has ordered it.
    Loaded {
        /// When it runs out.
        not_after: i64,
    },
    /// There is none for these names yet; one for other names that shares some is served until then.
    Borrowed {
        /// When it runs out.
        not_after: i64,
    },
    /// This node has ordered the first one.
    Ordered {
        /// When it runs out.
        not_after: i64,
    },
    /// This node has ordered one in place of another.
    Renewed {
        /// When it runs out.
        not_after: i64,
    },
    /// An attempt failed; what is served goes on being served.
    Failed {
        /// At which step, and why.
        error: AcmeError,
        /// Failures in a row, of all nodes; 0 where the failure was none of an order.
        failures: u32,
    },
    /// Another node orders; its result is picked up.
    WaitingForOtherNode {
        /// That node's name.
        holder: String,
    },
    /// What had failed is well again: the storage, or another node has ordered.
    Fine,
    /// Nothing will be ordered before this time.
    NextAttempt {
        /// The time.
        at: i64,
    },
}

/// How often things are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The storage, when nothing is due: how late this node may serve what another one ordered.
    pub idle: Duration,
    /// The storage, while another node orders.
    pub waiting: Duration,
    /// The term of the lease: how long a killed node keeps the others from ordering.
    pub term: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30),
            waiting: Duration::from_secs(2),
            term: Duration::from_secs(60),
        }
    }
}

/// One certificate to keep alive.
pub struct Orders {
    settings: Settings,
    node: String,
    storage: Storage,
    place: Place,
    challenges: Arc<Challenges>,
    pace: Pace,
    clock: Clock,
}

impl Orders {
    /// For the `[[tls]]` called `name`, by the node called `node`: that name is what the others see, and by it the nodes
    /// spread their renewals, so it should be one of a kind and the same after a restart. A storage that cannot be used
    /// yet is tried again while it runs.
    pub fn new(settings: Settings, name: &str, node: &str) -> Self {
        let storage = Storage::at(&settings.storage);
        let place = Place::new(&storage, name, &settings.directory, &settings.domains);
        let challenges = Arc::new(Challenges::new(&storage, &settings.domains));
        Self {
            settings,
            node: node.to_owned(),
            storage,
            place,
            challenges,
            pace: Pace::default(),
            clock: Arc::new(unix_now),
        }
    }

    /// Looks at things as often as this.
    #[must_use]
    pub fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Takes the time, in seconds since 1970, from here.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What the authority's questions are answered from. Every node must answer, whether it orders or not.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// The certificate that is stored for exactly these names, or one that shares some: to be served before the task
    /// begins. Reads a few files.
    pub fn stored(&self) -> Option<Arc<Certificate>> {
        let version = self.place.record().ok().and_then(|record| record.version);
        let own = version.and_then(|version| self.place.open(&version).ok());
        let found = own.or_else(|| self.place.neighbour((self.clock)()));
        found.map(|stored| stored.certificate)
    }

    /// Runs until `stop`. `publish` gets every certificate that should be served from now on, first the stored one;
    /// `events` hears what happens. Neither may block. A stop in the middle of an order gives the lease back and takes
    /// the answers to challenges away.
    pub async fn run(
        self,
        publish: impl Fn(Arc<Certificate>) + Send + Sync,
        events: impl Fn(AcmeEvent) + Send + Sync,
        stop: impl Future<Output = ()> + Send,
    ) {
        let mut keeper = Keeper::new(&self, &publish, &events);
        tokio::select! {
            () = stop => {}
            () = keeper.run() => {}
        }
    }
}

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orders")
            .field("place", &self.place.id())
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
