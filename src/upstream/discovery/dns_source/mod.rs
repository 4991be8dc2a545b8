//! Endpoints out of DNS: addresses of a name (A, AAAA), or services with port, priority and weight (SRV, RFC 2782).
//!
//! [`DnsSource::ask`] asks once and says when to ask again; it keeps no clock and no task. Nothing is cached: the
//! answer's own time to live is the pause, within the bounds of the options. Three outcomes are told apart: a set of
//! endpoints, the answer that there is none ([`DnsAnswer::nothing`]), and no answer ([`SourceError`]). The last good
//! set is kept by whoever asks, in the second and third case.
//!
//! One part of an answer may fail alone: the AAAA of a name whose A came, one target of many. What that part said the
//! last time stands in for it then, so that one slow server takes no endpoints away ([`DnsAnswer::partial`]).

mod ask;
mod next;
mod read;
mod shares;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RecordType};
use parking_lot::Mutex;

pub use next::DnsFollowed;

use super::hickory::{MAX_SERVERS, Servers};
use super::resolv_conf::SystemServers;
use super::source::{Discovered, SourceError};

/// The time one server has for one question, over UDP and over TCP each.
pub const SERVER_PATIENCE: Duration = Duration::from_secs(2);

/// The time of a whole answer, with all targets of SRV records, and enough for the last of 8 servers when the others
/// are silent.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// What is asked, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsOptions {
    /// The name, "orders.internal.test" or "_http._tcp.orders.internal.test". A dot at its end keeps the search
    /// domains of resolv.conf away.
    pub name: Arc<str>,
    /// Which records.
    pub record: Record,
    /// Of all endpoints; not with SRV, whose records say it.
    pub port: Option<u16>,
    /// Asked in this order, up to 8. None: those of /etc/resolv.conf, read again when it changes.
    pub resolvers: Vec<SocketAddr>,
    /// The name is asked at most this often, whatever its records say. 1 s or more.
    pub min_ttl: Duration,
    /// The name is asked at least this often.
    pub max_ttl: Duration,
    /// "Nothing there" is believed for the time in the zone's SOA (RFC 2308), and no longer than this; without a SOA
    /// for this long. Also the longest pause after an answer of which a part failed.
    pub negative_ttl: Duration,
}

impl DnsOptions {
    /// The usual bounds: asked every second at most and every 5 minutes at least; nothing is believed for 30 s.
    pub fn new(name: impl Into<Arc<str>>, record: Record, port: Option<u16>) -> Self {
        Self {
            name: name.into(),
            record,
            port,
            resolvers: Vec::new(),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(300),
            negative_ttl: Duration::from_secs(30),
        }
    }
}

/// Which records are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Addresses of both kinds.
    Both,
    /// Services; their targets' addresses are of both kinds.
    Srv,
}

impl Record {
    /// As in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::Aaaa => "aaaa",
            Self::Both => "both",
            Self::Srv => "srv",
        }
    }

    /// The kinds of addresses it leads to.
    fn addresses(self) -> &'static [RecordType] {
        match self {
            Self::A => &[RecordType::A],
            Self::Aaaa => &[RecordType::AAAA],
            Self::Both | Self::Srv => &[RecordType::A, RecordType::AAAA],
        }
    }
}

/// Why an answer has no endpoint. The server did answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// NXDOMAIN.
    NoSuchName,
    /// The name has no records of this kind.
    NoRecords,
    /// The one SRV record has the target ".": the service is decidedly not there (RFC 2782).
    NotOffered,
    /// There are SRV records, and no target of them has an address.
    NoAddress,
}

impl Nothing {
    /// For labels and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::NoSuchName => "no_such_name",
            Self::NoRecords => "no_records",
            Self::NotOffered => "not_offered",
            Self::NoAddress => "no_address",
        }
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsAnswer {
    /// The endpoints, not judged yet (see [`super::allow`]). Empty: see `nothing`.
    pub discovered: Discovered,
    /// The pause before the next question: the least time to live of all records, within the options' bounds. It has
    /// no jitter, and none may be added upwards: an answer is not used past its time.
    pub again: Duration,
    /// Why there is no endpoint; none when there are some.
    pub nothing: Option<Nothing>,
    /// A part that failed, and for which an earlier answer stands in, or nothing.
    pub partial: Option<SourceError>,
    /// The least time to live as the records had it, before the bounds; 0 is seen here.
    pub ttl: Option<Duration>,
    /// Who answered the first question.
    pub server: Option<SocketAddr>,
}

/// Who is asked.
#[derive(Debug)]
enum Asked {
    /// The options' own resolvers.
    Own(Arc<Servers>),
    /// Those of the system.
    System(SystemServers),
}

/// The last good addresses of each part of an answer.
type Parts = HashMap<(Name, RecordType), Arc<[IpAddr]>>;

/// A name in DNS.
#[derive(Debug)]
pub struct DnsSource {
    options: DnsOptions,
    /// Not fully qualified if the search domains may be tried.
    name: Name,
    asked: Asked,
    /// Of the last answer.
    parts: Mutex<Parts>,
    /// The time of a whole answer.
    patience: Duration,
}

impl DnsSource {
    /// Checks the options; asks nobody yet.
    pub fn new(options: DnsOptions) -> Result<Self, SourceError> {
        Self::with_patience(options, SERVER_PATIENCE, ANSWER_PATIENCE)
    }

    fn with_patience(
        options: DnsOptions,
        server: Duration,
        answer: Duration,
    ) -> Result<Self, SourceError> {
        let asked = if options.resolvers.is_empty() {
            let path = PathBuf::from("/etc/resolv.conf");
            Asked::System(SystemServers::new(path, 53, server))
        } else {
            Asked::Own(Arc::new(Servers::new(options.resolvers.clone(), server)))
        };
        Ok(Self {
            name: checked(&options)?,
            options,
            asked,
            parts: Mutex::default(),
            patience: answer,
        })
    }

    /// What it was made of.
    pub fn options(&self) -> &DnsOptions {
        &self.options
    }
}

/// The name, if all options can be used.
fn checked(options: &DnsOptions) -> Result<Name, SourceError> {
    let written = &options.name;
    let fault = |text: &str| Err(SourceError::new(format!("DNS name {written:?}: {text}")));
    if written.trim_end_matches('.').parse::<IpAddr>().is_ok() {
        return fault("this is an address; write it in `endpoints`");
    }
    let name = if written.is_ascii() {
        Name::from_str(written)
    } else {
        Name::from_utf8(written.as_ref())
    };
    let Ok(name) = name else {
        return fault("not a name; write labels of up to 63 letters with dots between them");
    };
    if name.num_labels() == 0 {
        return fault("it is empty; write the name that has the records");
    }
    match (options.record, options.port) {
        (Record::Srv, Some(_)) => {
            return fault("`port` has no use with SRV records, which say it; leave it out");
        }
        (Record::Srv, None) => {}
        (_, None | Some(0)) => return fault("write the `port` of its endpoints, 1 to 65535"),
        (_, Some(_)) => {}
    }
    if options.resolvers.len() > MAX_SERVERS {
        return fault("more than 8 `resolvers`; write those that answer best");
    }
    if options.resolvers.iter().any(|server| server.port() == 0) {
        return fault("a resolver with port 0; 53 is usual");
    }
    if options.min_ttl < Duration::from_secs(1) {
        return fault("`min_ttl` is below 1s");
    }
    if options.max_ttl < options.min_ttl || options.negative_ttl < options.min_ttl {
        return fault("`max_ttl` and `negative_ttl` may not be below `min_ttl`");
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
