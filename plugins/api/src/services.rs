//! What the host lends to plugins, by name. A plugin spawns nothing, opens nothing and reads no file
//! on the request path: it asks here, when its table is built.

use std::any::Any;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

/// A future that the host drives.
pub type HostFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Takes over a file's new content, or says what is wrong with it.
pub type Parse = Box<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>;

/// Makes something of files, and says what is wrong with them.
pub type Load = Box<dyn Fn(&dyn Files) -> Result<(), String> + Send + Sync>;

/// Work for another thread.
pub type Work = Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>;

/// The host's services. `check` and `explain` lend a dry implementation that keeps nothing.
pub trait Services: Send + Sync {
    /// The clock; tests lend one they move by hand.
    fn clock(&self) -> Arc<dyn Clock>;

    /// A source of random numbers, not for secrets.
    fn random(&self) -> Arc<dyn Random>;

    /// A counter `farmgate_plugin_<kind>_<name>_total{plugin}`. Bounded by `metrics.max_series`.
    fn counter(&self, name: &'static str, help: &'static str) -> Arc<dyn Counter>;

    /// A gauge `farmgate_plugin_<kind>_<name>{plugin}`.
    fn gauge(&self, name: &'static str, help: &'static str) -> Arc<dyn Gauge>;

    /// A counter with one label more: `farmgate_plugin_<kind>_<name>_total{plugin,<label>}`. The
    /// first `most` values that are counted get a series each, all others count under `other`.
    fn counter_by(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        most: usize,
    ) -> Arc<dyn CounterBy>;

    /// A histogram `farmgate_plugin_<kind>_<name>{plugin}`. Its buckets are those of all histograms
    /// of Farmgate, 0.0001 to 60.
    fn histogram(&self, name: &'static str, help: &'static str) -> Arc<dyn Histogram>;

    /// State that outlives a reload, found again by plugin name, `key` and type. `make` runs when
    /// there is none yet. Freed when no configuration uses it any more.
    fn shared(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync>;

    /// The same for state that also goes along with an upgrade, when another process takes over: it
    /// is saved there and restored here, before the first request. Saved state is cut at
    /// [`MAX_SAVED_BYTES`] for all values of a plugin together, which the host logs.
    fn kept(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Kept>,
    ) -> Arc<dyn Any + Send + Sync>;

    /// Reads `path` now and again whenever it changes, off the worker threads; `parse` gets the
    /// bytes. A later version that fails to parse leaves the last good one and raises a metric.
    ///
    /// # Errors
    /// The first read or parse failed.
    fn watch_file(&self, path: &Path, max_bytes: u64, parse: Parse) -> Result<(), String>;

    /// Runs `load` now, and again off the worker threads whenever a file that it read, or a folder
    /// that it listed, changes. For what is made of many files. A later run that fails leaves what
    /// is there; it is logged and counted like one of [`Services::watch_file`].
    ///
    /// # Errors
    /// What the first run says.
    fn watch_files(&self, load: Load) -> Result<(), String>;

    /// Runs `task` every `period` while the configuration that asked for it lives.
    fn periodic(&self, period: Duration, task: Box<dyn Fn() -> HostFuture<()> + Send + Sync>);

    /// A client for `http` and `https` URLs outside the configuration's upstreams. A server with `https` is verified
    /// against the authorities of the system and the host of the URL.
    fn http_client(&self) -> Arc<dyn HttpClient>;

    /// A client to a configured upstream: balanced and pooled like a route's.
    ///
    /// # Errors
    /// No upstream has this name; the text names the nearest.
    fn upstream_client(&self, upstream: &str) -> Result<Arc<dyn HttpClient>, String>;

    /// Runs blocking or heavy work off the worker threads (bounded; fails when the queue is full).
    fn offload(&self, work: Work) -> HostFuture<Result<Box<dyn Any + Send>, Busy>>;

    /// The same for later: a filter keeps it and offloads work of requests.
    fn offloader(&self) -> Arc<dyn Offload>;

    /// A log file of the plugin's own, written in the background through a bounded queue.
    ///
    /// # Errors
    /// The file cannot be opened.
    fn log_writer(&self, path: &Path) -> Result<Arc<dyn LogWriter>, String>;

    /// The plugin's own folder below the state folder, if the node has one.
    fn state_folder(&self) -> Option<PathBuf>;

    /// True unless `farmgate plugin NAME off` was given. The engine asks it before every call, so
    /// a plugin needs it only for what it does outside requests.
    fn is_on(&self) -> bool;

    /// The same for later: what a filter or a periodic task keeps to ask it.
    fn switch(&self) -> Arc<dyn Switch> {
        Arc::new(Nowhere)
    }

    /// Runs work that no request waits for: it goes on when its request is over. Kept by the filter.
    fn background(&self) -> Arc<dyn Background> {
        Arc::new(Nowhere)
    }

    /// Lines for the node's event log, for what operators must know. Not for what each request says.
    fn events(&self) -> Arc<dyn Events> {
        Arc::new(Nowhere)
    }
}

/// A host that lends none of these: always on, always busy, and silent.
struct Nowhere;

impl Switch for Nowhere {
    fn is_on(&self) -> bool {
        true
    }
}

impl Background for Nowhere {
    fn run(&self, _task: HostFuture<()>) -> Result<(), Busy> {
        Err(Busy)
    }
}

impl Events for Nowhere {
    fn warn(&self, _text: &str) {}
}

/// Most bytes of saved state of one plugin, all its values together: 8 MiB.
pub const MAX_SAVED_BYTES: usize = 8 * 1024 * 1024;

/// State that goes along with an upgrade. Both calls come from a control thread while requests
/// are served, so they lock briefly; a panic in them is caught, and the state begins afresh.
///
/// The bytes are read by another version of the plugin too, so they begin with a version of their
/// own. `Instant`s and random seeds of this process mean nothing there.
pub trait Kept: Any + Send + Sync {
    /// The state in at most `most_bytes`. When it does not fit, what matters least is left out.
    fn save(&self, most_bytes: usize) -> Saved;

    /// Takes over what another process saved, `age` ago. Returns how many entries it took.
    ///
    /// # Errors
    /// The bytes cannot be read; then nothing has changed. The text says why, without values.
    fn restore(&self, saved: &[u8], age: Duration) -> Result<usize, String>;
}

/// State in bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// What [`Kept::restore`] reads.
    pub bytes: Vec<u8>,
    /// Entries in it.
    pub entries: usize,
    /// Entries that found no room.
    pub left_out: usize,
}

/// Without the bytes: they may hold values of requests, and secrets.
impl std::fmt::Debug for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saved")
            .field("bytes", &self.bytes.len())
            .field("entries", &self.entries)
            .field("left_out", &self.left_out)
            .finish()
    }
}

/// All work places are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Time, as a plugin may see it.
pub trait Clock: Send + Sync {
    /// Monotonic time, for measuring.
    fn now(&self) -> Instant;
    /// Wall-clock time, for stamps. It may jump.
    fn wall(&self) -> SystemTime;
    /// Waits this long. The clock of tests moves itself on by as much, and waits not at all.
    fn sleep(&self, time: Duration) -> HostFuture<()>;
}

/// Random numbers.
pub trait Random: Send + Sync {
    /// 64 random bits. Does not block.
    fn next(&self) -> u64;
}

/// A number that only grows.
pub trait Counter: Send + Sync {
    /// Adds `n`.
    fn add(&self, n: u64);
}

/// Numbers that only grow, by the values of a label.
pub trait CounterBy: Send + Sync {
    /// Adds `n` to the number of this value.
    fn add(&self, value: &str, n: u64);
}

/// Observed values in buckets.
pub trait Histogram: Send + Sync {
    /// Counts one value: seconds, or whatever the name says. Below 0 counts as 0.
    fn observe(&self, value: f64);
}

/// The files of [`Services::watch_files`].
pub trait Files {
    /// The content of a regular file.
    ///
    /// # Errors
    /// A short text that follows the file's name: it cannot be read, or is larger than `max_bytes`.
    fn read(&self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, String>;

    /// The names in a folder, sorted; at most [`MAX_LISTED`].
    ///
    /// # Errors
    /// A short text that follows the folder's name.
    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, String>;
}

/// Most names that [`Files::list`] gives.
pub const MAX_LISTED: usize = 4096;

/// Runs heavy work elsewhere, see [`Services::offload`].
pub trait Offload: Send + Sync {
    /// Runs it.
    fn run(&self, work: Work) -> HostFuture<Result<Box<dyn Any + Send>, Busy>>;
}

/// What `farmgate plugin NAME off` turns, see [`Services::switch`].
pub trait Switch: Send + Sync {
    /// True while the plugin works.
    fn is_on(&self) -> bool;
}

/// Runs work that no request waits for, see [`Services::background`].
pub trait Background: Send + Sync {
    /// Begins `task`, never on a thread that serves. It outlives the request and, for a while, the configuration:
    /// after [`MAX_BACKGROUND_TIME`] it is ended where it waits. A panic ends it alone, and is counted.
    ///
    /// # Errors
    /// As many tasks as may run are running; this one is dropped.
    fn run(&self, task: HostFuture<()>) -> Result<(), Busy>;
}

/// Longest life of a task of [`Background`]: five minutes.
pub const MAX_BACKGROUND_TIME: Duration = Duration::from_secs(300);

/// Writes to the node's event log, see [`Services::events`].
pub trait Events: Send + Sync {
    /// A warning, under the plugin's name. Without secrets, and without values of requests.
    fn warn(&self, text: &str);
}

/// A number that goes up and down.
pub trait Gauge: Send + Sync {
    /// Sets the value.
    fn set(&self, value: i64);
    /// Adds to it; `n` may be negative. For counts of what goes on: they stay right over reloads, where the old and the
    /// new instance of a plugin count together.
    fn add(&self, n: i64);
}

/// A request of a plugin's own.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    /// Method, target (absolute URL for [`Services::http_client`], path for an upstream) and headers.
    pub head: http::Request<()>,
    /// The body.
    pub body: Bytes,
    /// Everything must be over within this time.
    pub timeout: Duration,
    /// Most bytes of response body that are read; more is an error.
    pub max_response_bytes: usize,
}

/// Sends requests of a plugin's own.
pub trait HttpClient: Send + Sync {
    /// Sends one and reads the whole answer. The error is a short text without secrets.
    fn send(&self, request: ClientRequest) -> HostFuture<Result<http::Response<Bytes>, String>>;

    /// Sends one whose answer nobody reads: its body is thrown away as it comes, however long it is, and
    /// [`ClientRequest::max_response_bytes`] says nothing. Such requests have places of their own at the host, so that
    /// they never take those of questions.
    fn send_and_discard(
        &self,
        request: ClientRequest,
    ) -> HostFuture<Result<http::Response<()>, String>> {
        let answer = self.send(request);
        Box::pin(async move { answer.await.map(|answer| answer.map(drop)) })
    }
}

/// Lines written in the background.
pub trait LogWriter: Send + Sync {
    /// Queues a line; false when the queue is full and the line was dropped (and counted).
    fn write(&self, line: &[u8]) -> bool;
}
