//! How the follower asks a source, whatever it is.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::fetch::public;
use super::source::{Discovered, SourceError, SourceOptions};

/// What a source says now, and how long to wait before it is asked again.
pub type Said = Result<(Discovered, Duration), SourceError>;

/// The future of one question.
pub type Next<'a> = Pin<Box<dyn Future<Output = Said> + Send + 'a>>;

/// A source of endpoints, with what it remembers between two questions (a connection, an ETag, a stamp).
pub trait Source: Send {
    /// Asks once. It may wait for a change, but says something at least every minute, so that a source that hangs
    /// is told from one that is quiet. After an error it is asked again; it may be dropped while it is asked.
    fn next(&mut self) -> Next<'_>;

    /// The longest pause between two questions after failures.
    fn longest_pause(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// What of the last good answer could not be used and was left out, for operators.
    fn left_out(&self) -> Option<String> {
        None
    }
}

/// Where the endpoints come from, in one line without secrets: for `explain`.
pub fn origin(options: &SourceOptions) -> String {
    match options {
        SourceOptions::Dns(dns) => {
            let port = dns.port.map(|port| format!(" port {port}"));
            let (name, record) = (&dns.name, dns.record.word());
            format!("dns {name} {record}{}", port.unwrap_or_default())
        }
        SourceOptions::File(file) => format!("file {}", file.path.display()),
        SourceOptions::Http(http) => format!("http {}", public(&http.url)),
        SourceOptions::Etcd(etcd) => {
            let servers: Vec<String> = etcd.servers.iter().map(public).collect();
            let prefix = etcd.prefix.escape_debug();
            format!("etcd {prefix} of {}", servers.join(", "))
        }
    }
}

/// Tells one source from another: a kept set of another one is not used. 32 hexadecimal digits.
pub(super) fn mark(options: &SourceOptions) -> String {
    let query = match options {
        SourceOptions::Http(http) => http.url.query().unwrap_or_default(),
        _ => "",
    };
    let sum = Sha256::digest(format!("{}\n{query}", origin(options)));
    sum.iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Most characters of somebody else's text in a message of ours.
const SHOWN: usize = 200;

/// Text of a peer for a log: one line, no control characters, not long.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.trim().chars().take(SHOWN).collect();
    if shown.len() < text.trim().len() {
        shown.push_str("...");
    }
    shown.escape_debug().to_string()
}
