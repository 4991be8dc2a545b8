//! `farmgate-load`: how Farmgate compares with its peers at equal work.
//!
//! `bench` runs the cases of `load-tests/cases` and prints CPU time per request beside the rivals;
//! `bare-pingora` is the smallest proxy the framework can be, and the budget's yardstick;
//! `origin-fixed` is the origin behind all of them; `client` is the generator where there is TLS; `cached` and
//! `origin-storable` are the two where the contestants are caches;
//! `judge` is Farmgate's firewall without a proxy around it;
//! `mixed` counts what clients of every kind lose while a server is upgraded, reloaded or killed.
//!
//! A bench reads top down: [`bench`] sequences, [`case`] says what to send, [`contestant`] starts
//! the proxies, [`engines`] the firewalls without one, [`generator`] loads them by wrk, [`client`] or [`cached`], [`measure`] counts, [`report`] prints.

mod bare_pingora;
mod bench;
mod body;
mod cached;
mod case;
mod certificate;
mod client;
mod contestant;
mod engines;
mod fixed_origin;
mod generator;
mod heads;
mod interrupt;
mod judge;
mod machine;
mod measure;
mod mixed;
mod process;
mod report;
mod storable_origin;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Load cases beside the peers.
#[derive(Parser)]
#[command(name = "farmgate-load", version)]
enum Command {
    /// Run load cases (`proxy` when none is named) and compare CPU time per request
    Bench(bench::BenchOptions),
    /// Serve as the smallest proxy on Pingora, one thread
    BarePingora {
        /// Address to listen on
        #[arg(long)]
        listen: SocketAddr,
        /// Address of the origin
        #[arg(long)]
        origin: SocketAddr,
        /// PEM file of a certificate; then it listens with TLS, for HTTP/1.1 and HTTP/2
        #[arg(long, requires = "key")]
        certificate: Option<PathBuf>,
        /// PEM file of its key
        #[arg(long)]
        key: Option<PathBuf>,
    },
    /// Load a contestant with TLS as a case says, and print what was seen; `bench` starts this
    Client(client::ClientOptions),
    /// Load a cache as a case says, check what it answers, and print what was seen; `bench` starts this
    Cached(cached::CachedOptions),
    /// Judge a case's request by Farmgate's firewall without a proxy, again and again; `bench` starts this
    Judge(judge::JudgeOptions),
    /// Load a server with clients of every kind, none of which tries twice, and count what fails
    Mixed(mixed::MixedOptions),
    /// Serve one fixed answer as cheaply as possible, one thread
    OriginFixed {
        /// Address to listen on
        #[arg(long)]
        listen: SocketAddr,
        /// Bytes of the answer's body
        #[arg(long, default_value_t = 1024)]
        size: usize,
        /// Bytes of every request's body
        #[arg(long, default_value_t = 0)]
        request_bytes: usize,
    },
    /// Serve objects that may be stored, each target its own, and count the requests; one thread
    OriginStorable(storable_origin::StorableOptions),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Bench(options) => bench::run(&options),
        Command::BarePingora {
            listen,
            origin,
            certificate,
            key,
        } => bare_pingora::run(listen, origin, certificate.zip(key)),
        Command::Client(options) => client::run(&options),
        Command::Cached(options) => cached::run(&options),
        Command::Judge(options) => judge::run(&options),
        Command::Mixed(options) => mixed::run(&options),
        Command::OriginFixed {
            listen,
            size,
            request_bytes,
        } => fixed_origin::run(listen, size, request_bytes)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| format!("origin-fixed on {listen}: {error}")),
        Command::OriginStorable(options) => storable_origin::run(options)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| format!("origin-storable: {error}")),
    };
    outcome.unwrap_or_else(|reason| {
        eprintln!("farmgate-load: {reason}");
        ExitCode::FAILURE
    })
}
