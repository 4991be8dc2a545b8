//! Clients of every kind at once, none of which tries twice: what an upgrade, a reload or a crash costs
//! those who are being served.
//!
//! [`kind`] says what is asked and what the answer must be, [`asking`] (HTTP/1.1, by [`http1`]),
//! [`streams`] (HTTP/2) and [`websocket`] do so in closed loops, [`tally`] counts, [`report`] prints.
//! Behind the server stands `farmgate origin`.

mod asking;
mod dial;
mod http1;
mod kind;
mod report;
mod streams;
mod tally;
mod websocket;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::dial::Dial;
use self::kind::Kind;
use self::report::MixedReport;
use self::tally::Tally;
use crate::client::runtime;

/// After a failure, so that a server that is gone is not hammered.
const AFTER_FAILURE: Duration = Duration::from_millis(20);
/// How often it is looked whether all kinds have begun.
const LOOK: Duration = Duration::from_millis(20);
/// Most clients of a kind.
const CLIENTS: i64 = 1000;

/// What `mixed` is told on its command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MixedOptions {
    /// Address of the server, on loopback; given several times, the clients spread over them
    #[arg(long, required = true, value_name = "HOST:PORT")]
    address: Vec<SocketAddr>,
    /// Speak TLS; the certificate is not looked at
    #[arg(long)]
    tls: bool,
    /// Length of the run; SIGTERM or SIGINT ends it before
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Host asked for
    #[arg(long, default_value = "www.example.test")]
    host: String,
    /// Clients that keep their connection
    #[arg(long, default_value_t = 0, value_parser = clients())]
    keep_alive: usize,
    /// Clients that open a connection for each request
    #[arg(long, default_value_t = 0, value_parser = clients())]
    fresh: usize,
    /// Clients that keep their connection and think for 0.6 s between requests
    #[arg(long, default_value_t = 0, value_parser = clients())]
    think: usize,
    /// Connections of HTTP/2 with 4 streams each; without --tls by prior knowledge
    #[arg(long, default_value_t = 0, value_parser = clients())]
    h2: usize,
    /// WebSockets that send a message and wait for it to come back
    #[arg(long, default_value_t = 0, value_parser = clients())]
    websocket: usize,
    /// Clients that read answers of 2.25 s
    #[arg(long, default_value_t = 0, value_parser = clients())]
    download: usize,
    /// Clients that send bodies for 1.5 s
    #[arg(long, default_value_t = 0, value_parser = clients())]
    upload: usize,
    /// Milliseconds between two requests of keep-alive clients and streams
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pause_ms: u64,
    /// A connection that is closed less than so many milliseconds before the next request is due has failed:
    /// on a network the two would have crossed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=1000))]
    flight_ms: u64,
}

fn clients() -> clap::builder::ValueParser {
    let range = clap::value_parser!(i64).range(0..=CLIENTS);
    clap::builder::ValueParser::from(clap::builder::TypedValueParser::map(range, |count| {
        usize::try_from(count).unwrap_or(0)
    }))
}

impl MixedOptions {
    fn clients(&self, kind: Kind) -> usize {
        match kind {
            Kind::KeepAlive => self.keep_alive,
            Kind::Fresh => self.fresh,
            Kind::Think => self.think,
            Kind::H2 => self.h2,
            Kind::WebSocket => self.websocket,
            Kind::Download => self.download,
            Kind::Upload => self.upload,
        }
    }

    fn check(&self) -> Result<(), String> {
        if let Some(address) = self.address.iter().find(|a| !a.ip().is_loopback()) {
            return Err(format!(
                "{address} is not a loopback address: this loads its own machine only"
            ));
        }
        if Kind::ALL.iter().all(|kind| self.clients(*kind) == 0) {
            return Err("no clients: give at least one of --keep-alive, --fresh, ...".into());
        }
        Ok(())
    }
}

/// What all clients share.
struct Shared {
    http1: Dial,
    http2: Dial,
    host: String,
    tls: bool,
    pause: Duration,
    flight: Duration,
    tallies: Vec<Tally>,
    over: watch::Receiver<bool>,
}

impl Shared {
    fn tally(&self, kind: Kind) -> &Tally {
        // There is one for each kind, in the order of their declaration.
        &self.tallies[kind as usize]
    }

    fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Returns when the run is over.
    async fn over(&self) {
        // An error means that nobody is left who could say so.
        let _ = self.over.clone().wait_for(|over| *over).await;
    }

    /// Waits so long, or until the run is over.
    async fn pause(&self, length: Duration) {
        tokio::select! {
            () = sleep(length) => {}
            () = self.over() => {}
        }
    }
}

/// Runs and prints the report. The exit code is 1 when anything failed.
pub(crate) fn run(options: &MixedOptions) -> Result<ExitCode, String> {
    options.check()?;
    let length = Duration::from_secs(options.seconds);
    let report = runtime()?.block_on(load(options, length))?;
    if options.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        println!("{text}");
    } else {
        print!("{}", report.text());
    }
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn load(options: &MixedOptions, length: Duration) -> Result<MixedReport, String> {
    let begin = Instant::now();
    let (end, over) = watch::channel(false);
    let dial = |alpn| Dial::new(&options.address, options.tls, &options.host, alpn);
    let shared = Arc::new(Shared {
        http1: dial(b"\x08http/1.1")?,
        http2: dial(b"\x02h2")?,
        host: options.host.clone(),
        tls: options.tls,
        pause: Duration::from_millis(options.pause_ms),
        flight: Duration::from_millis(options.flight_ms),
        tallies: Kind::ALL.map(|_| Tally::new(begin.into_std())).into(),
        over,
    });
    let mut clients = JoinSet::new();
    for kind in Kind::ALL {
        for client in 0..options.clients(kind) {
            let shared = Arc::clone(&shared);
            match kind {
                Kind::H2 => clients.spawn(streams::ask(shared, client)),
                Kind::WebSocket => clients.spawn(websocket::ask(shared, client)),
                _ => clients.spawn(asking::ask(shared, kind, client)),
            };
        }
    }
    tokio::select! {
        stopped = stopped() => stopped?,
        () = sleep(length) => {}
        () = announce(&shared, options) => {}
    }
    // Nobody is left to be told only when all clients have ended.
    let _ = end.send(true);
    // What was begun is ended and counted; each exchange has its own limit.
    while clients.join_next().await.is_some() {}
    let kinds = Kind::ALL
        .into_iter()
        .filter(|kind| options.clients(*kind) > 0)
        .map(|kind| (kind, options.clients(kind), shared.tally(kind).counts()))
        .collect();
    Ok(MixedReport::new(begin.elapsed().as_secs_f64(), kinds))
}

/// Says on standard error when every kind is at work: whoever wants to disturb them waits for that line.
/// Never returns.
async fn announce(shared: &Shared, options: &MixedOptions) {
    let is_at_work = |kind: Kind| {
        let counts = shared.tally(kind).counts();
        let begun = if kind.is_quick() {
            counts.ok
        } else {
            counts.connections
        };
        begun > 0 || options.clients(kind) == 0
    };
    while !Kind::ALL.into_iter().all(is_at_work) {
        sleep(LOOK).await;
    }
    eprintln!("under load");
    std::future::pending::<()>().await;
}

async fn stopped() -> Result<(), String> {
    let open = |kind| signal(kind).map_err(|error| error.to_string());
    let (mut terminate, mut interrupt) = (
        open(SignalKind::terminate())?,
        open(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
