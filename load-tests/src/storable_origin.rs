//! The origin behind the caches: every target is an object of its own that may be stored for a day, and what is asked
//! is counted.
//!
//! Like the fixed origin it shares its core with the load generator: one thread, one read and one write per small
//! answer. It can be slow on purpose, for clients that wait for the same answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use memchr::memchr;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::body::{Bodies, object};
use crate::heads::Heads;

/// Answered with the number of requests for anything else. Asked directly, never through a contestant.
pub(crate) const COUNT_TARGET: &str = "/requests-so-far";

/// Parts of a body that is sent slowly.
const SLOW_PARTS: usize = 5;

/// What it answers, and how fast.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct StorableOptions {
    /// Address to listen on
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    /// Bytes of every body
    #[arg(long, default_value_t = 1024)]
    pub(crate) size: usize,
    /// Milliseconds until the head and the first part of a body are sent
    #[arg(long, default_value_t = 0)]
    pub(crate) head_ms: u64,
    /// Milliseconds from there to the last part
    #[arg(long, default_value_t = 0)]
    pub(crate) body_ms: u64,
}

/// Serves until the process ends. Fails when the address cannot be bound.
pub(crate) fn run(options: StorableOptions) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(options.listen).await?;
        serve(listener, options).await
    })
}

struct Origin {
    options: StorableOptions,
    bodies: Bodies,
    requests: AtomicU64,
}

impl Origin {
    fn new(options: StorableOptions) -> Self {
        Self {
            options,
            bodies: Bodies::new(),
            requests: AtomicU64::new(0),
        }
    }

    /// The head for an object. Its date is true: caches reckon the age from it.
    fn head(&self, number: u64) -> String {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let size = self.options.size;
        format!(
            "HTTP/1.1 200 OK\r\nserver: origin\r\ndate: {date}\r\ncontent-type: text/plain\r\n\
             cache-control: public, max-age=86400\r\netag: \"{number:016x}\"\r\ncontent-length: {size}\r\n\r\n"
        )
    }

    async fn answer(&self, stream: &mut TcpStream, target: &[u8]) -> io::Result<()> {
        if target == COUNT_TARGET.as_bytes() {
            let count = self.requests.load(Ordering::Relaxed).to_string();
            let length = count.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{count}");
            return stream.write_all(answer.as_bytes()).await;
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let number = object(target);
        let StorableOptions {
            size,
            head_ms,
            body_ms,
            ..
        } = self.options;
        let is_slow = head_ms > 0 || body_ms > 0;
        let most = if is_slow {
            size.div_ceil(SLOW_PARTS).max(1)
        } else {
            usize::MAX
        };
        pause(head_ms).await;
        // Head and first part in one write: a small answer is one packet.
        let mut bytes = self.head(number).into_bytes();
        let first = self.bodies.part(number, 0, most.min(size));
        bytes.extend_from_slice(first);
        stream.write_all(&bytes).await?;
        let mut sent = first.len();
        while sent < size {
            if is_slow {
                pause(body_ms / (SLOW_PARTS as u64 - 1)).await;
            }
            let part = self.bodies.part(number, sent, most.min(size - sent));
            stream.write_all(part).await?;
            sent += part.len();
        }
        Ok(())
    }
}

/// The slowness that a case asks for.
async fn pause(ms: u64) {
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
}

/// Serves those who connect to `listener`, whatever address the options name.
pub(crate) async fn serve(listener: TcpListener, options: StorableOptions) -> io::Result<()> {
    let origin = Arc::new(Origin::new(options));
    loop {
        let (stream, _) = listener.accept().await?;
        let origin = Arc::clone(&origin);
        // A broken connection is the generator's to count; here it just ends.
        tokio::spawn(async move { serve_connection(stream, &origin).await });
    }
}

async fn serve_connection(mut stream: TcpStream, origin: &Origin) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut heads = Heads::new();
    while let Some(target) = heads.next(&mut stream).await?.and_then(target) {
        origin.answer(&mut stream, target).await?;
    }
    Ok(())
}

/// The target of a request: the second word.
fn target(head: &[u8]) -> Option<&[u8]> {
    let (_, rest) = head.split_at_checked(memchr(b' ', head)? + 1)?;
    rest.get(..memchr(b' ', rest)?)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn start(size: usize, head_ms: u64, body_ms: u64) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = StorableOptions {
            listen: address,
            size,
            head_ms,
            body_ms,
        };
        tokio::spawn(serve(listener, options));
        TcpStream::connect(address).await.unwrap()
    }

    /// Asks, and gives back head and body.
    async fn ask(stream: &mut TcpStream, target: &str, body_bytes: usize) -> (String, Vec<u8>) {
        let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let mut body = vec![0; body_bytes];
        stream.read_exact(&mut body).await.unwrap();
        (String::from_utf8(head).unwrap(), body)
    }

    #[tokio::test]
    async fn every_object_is_its_own_and_requests_are_counted() {
        let mut stream = start(200_000, 0, 0).await;
        let bodies = Bodies::new();
        for target in ["/o/1", "/o/2", "/o/1"] {
            let (head, body) = ask(&mut stream, target, 200_000).await;
            assert!(head.contains("content-length: 200000\r\n"), "{head}");
            assert!(head.contains("max-age=86400"), "{head}");
            assert!(bodies.has(object(target.as_bytes()), 0, &body), "{target}");
        }
        let (_, count) = ask(&mut stream, COUNT_TARGET, 1).await;
        assert_eq!(count, b"3");
        // To ask for the count does not count.
        let (_, count) = ask(&mut stream, COUNT_TARGET, 1).await;
        assert_eq!(count, b"3");
    }

    #[tokio::test]
    async fn a_slow_body_is_whole_too() {
        let mut stream = start(11, 1, 4).await;
        let (_, body) = ask(&mut stream, "/o/9", 11).await;
        assert!(Bodies::new().has(object(b"/o/9"), 0, &body));
    }

    #[test]
    fn the_target_is_the_second_word() {
        assert_eq!(target(b"GET /a?b HTTP/1.1\r\nx: y"), Some(&b"/a?b"[..]));
        assert_eq!(target(b"GET"), None);
        assert_eq!(target(b"GET /"), None);
    }
}
