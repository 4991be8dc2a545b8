//! `farmgate origin`: the small demo and test origin.
//!
//! It speaks HTTP/1.1, HTTP/2 without TLS (prior knowledge) and WebSocket on one port,
//! and offers what a proxy has to be tried against: sizes, delays, stalls, resets.
//! It listens on loopback addresses only, unless `--public` is given.
//!
//! | target | answer |
//! |---|---|
//! | `/` and every path not named here | this list, and the request as it was seen |
//! | `/echo` | the request's body, streamed back; `?headers=1`: the head as JSON and the body's length |
//! | `/headers` | request line, peer and headers as JSON |
//! | `/bytes/N` | N bytes (at most 1 GiB) with Content-Length; byte i is `pattern_byte(i)` |
//! | `/chunked/N` | the same bytes without Content-Length |
//! | `/status/CODE` | that status, 200 to 599 |
//! | `/delay/MS` | 200, its head held back for MS milliseconds (at most 600000); with `--workers N` for N at a time |
//! | `/slow-body?chunks=5&size=64&interval_ms=200` | a body that stalls before each chunk but the first |
//! | `/sse?count=5&interval_ms=1000` | server-sent events |
//! | `/ws` | WebSocket echo (HTTP/1.1 upgrade, RFC 6455) |
//! | `/trailers` | a body and trailers; HTTP/1.1 clients must send `TE: trailers` to get them |
//! | `/reset` | the connection is reset after the head was read |
//! | `/close-mid?size=1024` | declares `size` bytes, sends half of them, closes |
//! | `/count` | requests and connections seen so far, as JSON |
//! | `/cookie?name=demo&value=1` | sets that cookie, shows the cookies received as JSON |
//! | `/redirect?to=/&status=302` | a redirect |
//!
//! Header names are shown in lower case, and repeated headers stand together:
//! the HTTP library keeps neither the letter case nor the order between names.

mod answer;
mod body;
mod page;
mod query;
mod serving;
mod websocket;
mod wire;

use std::io;
use std::net::SocketAddr;

pub use body::pattern_byte;
pub use serving::BoundOrigin;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// What `farmgate origin` is told on its command line.
#[derive(Clone, Debug, clap::Args)]
pub struct OriginOptions {
    /// Address and port to listen on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:19001")]
    pub address: SocketAddr,
    /// Allow an address that is not loopback: whoever reaches it can make this origin send 1 GiB bodies
    #[arg(long)]
    pub public: bool,
    /// Answer at most this many requests for /delay/MS at a time; the others wait their turn, first come first served
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub workers: Option<u32>,
}

/// Binds the origin without serving yet, so that the caller can learn the port.
///
/// Fails with `InvalidInput` when the address is not loopback and `public` is false,
/// else with what the system says about the address.
pub async fn bind(options: OriginOptions) -> io::Result<BoundOrigin> {
    if !options.public && !options.address.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{} is not a loopback address; add --public to serve it anyway",
                options.address
            ),
        ));
    }
    BoundOrigin::new(TcpListener::bind(options.address).await?, options.workers)
}

/// Binds and serves until SIGINT or SIGTERM, then lets open requests finish for a few seconds.
pub async fn serve(options: OriginOptions) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let origin = bind(options).await?;
    println!("farmgate origin listens on http://{}/", origin.local_addr());
    origin
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    Ok(())
}

#[cfg(test)]
mod tests;
