//! The generator of the cases with a cache, in a process of its own: [`ask`] is what it sends and how it reads answers,
//! [`loops`] asks one by one, [`groups`] many at the same moment. It checks what comes back against [`crate::body`]
//! and asks the origin how often it was asked.

mod ask;
mod groups;
mod loops;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::Uri;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::ask::Requests;
use crate::body::Bodies;
use crate::case::{Asks, CacheLoad, Load, Per};
use crate::client::exchange::Order;
use crate::client::tally::Tally;
use crate::client::{ANSWER_LIMIT, runtime};
use crate::generator::Run;
use crate::measure::cpu_time;
use crate::storable_origin::COUNT_TARGET;

/// Walks through all objects that a cache may need until it has stored every one.
const WARM_PASSES: u32 = 10;
/// After a connection that could not be made, so that a contestant that is gone is not hammered.
const PAUSE: Duration = Duration::from_millis(20);

/// What the generator is told on its command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CachedOptions {
    /// The case's load.toml
    #[arg(long)]
    load: PathBuf,
    /// Address of the contestant
    #[arg(long)]
    address: SocketAddr,
    /// Address of the origin, which is asked how often it was asked
    #[arg(long)]
    origin: SocketAddr,
    /// Process of the contestant, whose CPU time is read
    #[arg(long)]
    watch: u32,
    /// Length of the run; 0 only shows the objects of a case with hits to the cache, until it answers them all alone
    #[arg(long)]
    seconds: u64,
}

/// What came out of a run.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    /// What was seen from outside. Where clients come in groups, latencies are those of the first byte of the body.
    pub(crate) run: Run,
    /// User and system time of the contestant.
    pub(crate) cpu_us: u64,
    /// Requests that reached the origin.
    pub(crate) origin_requests: u64,
    /// Groups of clients; 0 where they do not come in groups.
    pub(crate) groups: u64,
}

impl Outcome {
    /// Requests at the origin per group, or per request where there are no groups.
    pub(crate) fn origin_fetches(&self) -> f64 {
        let by = if self.groups > 0 {
            self.groups
        } else {
            self.run.requests
        };
        self.origin_requests as f64 / by.max(1) as f64
    }
}

/// Runs once and prints the outcome as `RESULT` and a line of JSON; after a walk for warmth, nothing.
pub(crate) fn run(options: &CachedOptions) -> Result<ExitCode, String> {
    let shared = Shared::new(options)?;
    if options.seconds == 0 {
        runtime()?.block_on(loops::warm(&shared))?;
        return Ok(ExitCode::SUCCESS);
    }
    let length = Duration::from_secs(options.seconds);
    let outcome = runtime()?.block_on(drive(shared, length))?;
    let line = serde_json::to_string(&outcome).map_err(|error| error.to_string())?;
    println!("RESULT {line}");
    Ok(ExitCode::SUCCESS)
}

/// What all clients of a run share.
struct Shared {
    address: SocketAddr,
    origin: SocketAddr,
    watch: u32,
    load: Load,
    asks: Asks,
    requests: Requests,
    order: Order,
    bodies: Bodies,
    tally: Mutex<Tally>,
    /// Makes the names of new objects differ from those of every other run.
    run: u128,
    new_objects: AtomicU64,
    groups: AtomicU64,
    end: Instant,
}

impl Shared {
    fn new(options: &CachedOptions) -> Result<Self, String> {
        let load = Load::read(&options.load)?;
        let Some(CacheLoad { asks }) = load.cache.clone() else {
            let file = options.load.display();
            return Err(format!("{file}: this generator wants a `[cache]`"));
        };
        Ok(Self {
            address: options.address,
            origin: options.origin,
            watch: options.watch,
            requests: Requests::new(&load),
            order: Order::new(&load)?,
            load,
            asks,
            bodies: Bodies::new(),
            tally: Mutex::new(Tally::new()),
            run: SystemTime::UNIX_EPOCH
                .elapsed()
                .map_or(0, |since| since.as_nanos()),
            new_objects: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            end: Instant::now(),
        })
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// The name of an object that nobody asked for before.
    fn new_name(&self) -> String {
        let number = self.new_objects.fetch_add(1, Ordering::Relaxed);
        format!("{:x}-{number}", self.run)
    }

    /// Where the object `name` is. The case's target was a path when it was read, and names add letters and digits.
    fn target(&self, name: &str) -> Uri {
        let target = format!("{}{name}", self.load.target);
        target.parse().unwrap_or_default()
    }

    async fn open(&self) -> Option<TcpStream> {
        let stream = timeout(ANSWER_LIMIT, TcpStream::connect(self.address)).await;
        let stream = stream.ok()?.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(stream)
    }
}

/// Loads the contestant for `length`, after the connections stand. Fails when its process or the origin is gone.
async fn drive(mut shared: Shared, length: Duration) -> Result<Outcome, String> {
    let per = shared.load.cache.as_ref().map(CacheLoad::per);
    let (one_by_one, together) = match per {
        Some(Per::Group) => (Vec::new(), groups::open_all(&shared).await),
        _ => (loops::open_all(&shared).await, Vec::new()),
    };
    let asked_before = asked(shared.origin).await?;
    let before = cpu_time(shared.watch)?;
    let begin = Instant::now();
    shared.end = begin + length;
    let shared = std::sync::Arc::new(shared);
    loops::run(&shared, one_by_one).await;
    groups::run(&shared, together).await;
    // What was asked before the end is answered, counted and paid for.
    let run = shared.tally().result(begin.elapsed());
    let spent = cpu_time(shared.watch)?.saturating_sub(before);
    Ok(Outcome {
        run,
        cpu_us: u64::try_from(spent.as_micros()).unwrap_or(u64::MAX),
        origin_requests: asked(shared.origin).await?.saturating_sub(asked_before),
        groups: shared.groups.load(Ordering::Relaxed),
    })
}

/// How many requests the origin has had so far.
async fn asked(origin: SocketAddr) -> Result<u64, String> {
    let count = async {
        let mut stream = TcpStream::connect(origin).await?;
        let request = format!("GET {COUNT_TARGET} HTTP/1.1\r\nhost: origin\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        // It closes once it has read that there is no more.
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(ANSWER_LIMIT, count)
        .await
        .map_err(|_| {
            format!("the origin did not say within {ANSWER_LIMIT:?} how often it was asked")
        })?
        .map_err(|error| format!("the origin: {error}"))?;
    let (_, count) = answer.rsplit_once("\r\n").unwrap_or_default();
    count
        .parse()
        .map_err(|_| format!("the origin did not say how often it was asked: {answer}"))
}

#[cfg(test)]
mod tests;
