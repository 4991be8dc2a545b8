//! One question to DNS servers: over UDP, and over TCP when the answer does not fit (RFC 1035, RFC 7766).
//!
//! hickory makes and reads the messages, picks random ports and identifiers and asks again over UDP. What happens
//! between several servers is decided here, because its pool spends the whole time of a question on a first server
//! that is silent, and because an answer should say who gave it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsRequestSender, FirstAnswer};
use hickory_resolver::proto::op::{
    DnsRequest, DnsRequestOptions, Message, MessageType, Query, ResponseCode,
};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::source::SourceError;

/// Most servers asked in turn; resolv.conf(5) knows three.
pub(super) const MAX_SERVERS: usize = 8;

/// Times a question is sent over UDP to one server, evenly over the time it has.
const UDP_TIMES: u32 = 3;

/// An answer, and who gave it.
#[derive(Debug)]
pub(super) struct Replied {
    /// NOERROR or NXDOMAIN, to the question that was asked.
    pub(super) message: Message,
    /// The server.
    pub(super) server: SocketAddr,
}

/// Servers that know the same names, in order of preference.
#[derive(Debug)]
pub(super) struct Servers {
    /// Never empty.
    pub(super) list: Vec<SocketAddr>,
    /// The one that answered last is asked first: a dead one is waited for once, not at every question.
    first: AtomicUsize,
    /// Time for one server to answer one question, UDP and TCP each.
    patience: Duration,
}

impl Servers {
    /// `list` may not be empty.
    pub(super) fn new(list: Vec<SocketAddr>, patience: Duration) -> Self {
        Self {
            list,
            first: AtomicUsize::new(0),
            patience,
        }
    }

    /// Asks one server after the other until one gives a usable answer. NXDOMAIN is one; SERVFAIL, REFUSED, garbage
    /// and silence are not.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Replied, SourceError> {
        let first = self.first.load(Ordering::Relaxed);
        let mut faults = Vec::new();
        for turn in 0..self.list.len() {
            let index = (first + turn) % self.list.len();
            let Some(&server) = self.list.get(index) else {
                break;
            };
            match self.ask_one(server, name, kind).await {
                Ok(message) => {
                    if turn > 0 {
                        self.first.store(index, Ordering::Relaxed);
                    }
                    return Ok(Replied { message, server });
                }
                Err(fault) => faults.push(format!("{server} {fault}")),
            }
        }
        let faults = faults.join(", ");
        Err(SourceError::new(format!("{kind} of {name}: {faults}")))
    }

    async fn ask_one(
        &self,
        server: SocketAddr,
        name: &Name,
        kind: RecordType,
    ) -> Result<Message, String> {
        let query = Query::query(name.clone(), kind);
        let mut options = DnsRequestOptions::default();
        options.retry_interval = self.patience / UDP_TIMES;
        let mut message = self.ask_either(server, &query, options).await?;
        if message.metadata.response_code == ResponseCode::FormErr {
            // A server from before EDNS (RFC 6891, 6.2.2).
            options.use_edns = false;
            message = self.ask_either(server, &query, options).await?;
        }
        check(&message, &query)?;
        Ok(message)
    }

    /// Over UDP, and over TCP if that is not enough.
    async fn ask_either(
        &self,
        server: SocketAddr,
        query: &Query,
        options: DnsRequestOptions,
    ) -> Result<Message, String> {
        let request = DnsRequest::from_query(query.clone(), options);
        match self.ask_udp(server, request.clone()).await {
            Ok(message) if !message.metadata.truncation => Ok(message),
            // Some servers cut a message in the middle instead of saying that it is too long.
            Ok(_) | Err(NetError::Proto(_)) => {
                match timeout(self.patience, ask_tcp(server, &request)).await {
                    Ok(result) => result,
                    Err(_) => Err(format!("gave no answer over TCP in {:?}", self.patience)),
                }
            }
            Err(NetError::Timeout) => Err(format!("gave no answer in {:?}", self.patience)),
            Err(error) => Err(format!("cannot be asked: {error}")),
        }
    }

    async fn ask_udp(&self, server: SocketAddr, request: DnsRequest) -> Result<Message, NetError> {
        let mut stream = UdpClientStream::builder(server, TokioRuntimeProvider::default())
            .with_timeout(Some(self.patience))
            .with_max_retries(UDP_TIMES as u8)
            .build();
        let answer = stream.send_message(request).first_answer().await?;
        Ok(answer.into_message())
    }
}

/// One message on a connection of its own. A message has at most 64 KiB.
async fn ask_tcp(server: SocketAddr, request: &DnsRequest) -> Result<Message, String> {
    let fault = |error: std::io::Error| format!("cannot be asked over TCP: {error}");
    let question = request.to_vec().map_err(|error| error.to_string())?;
    let length = u16::try_from(question.len()).map_err(|error| error.to_string())?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(&question);
    let mut connection = TcpStream::connect(server).await.map_err(fault)?;
    connection.write_all(&framed).await.map_err(fault)?;
    let length = connection.read_u16().await.map_err(fault)?;
    let mut answer = vec![0; usize::from(length)];
    connection.read_exact(&mut answer).await.map_err(fault)?;
    let message = Message::from_vec(&answer).map_err(|e| format!("sent garbage over TCP: {e}"))?;
    if message.metadata.id != request.metadata.id {
        return Err("answered another question over TCP".into());
    }
    if message.metadata.truncation {
        return Err("cuts its answer over TCP too".into());
    }
    Ok(message)
}

/// Refuses what is no answer to `query`.
fn check(message: &Message, query: &Query) -> Result<(), String> {
    let asked = message.queries.as_slice() == std::slice::from_ref(query);
    if message.metadata.message_type != MessageType::Response || !asked {
        return Err("answered another question".into());
    }
    match message.metadata.response_code {
        ResponseCode::NXDomain => Ok(()),
        // Names of other servers and nothing else: it does not resolve for us.
        ResponseCode::NoError if is_referral(message) => {
            Err("refers to other servers: it does not resolve names for others".into())
        }
        ResponseCode::NoError => Ok(()),
        code => Err(format!("answered {code:?}")),
    }
}

fn is_referral(message: &Message) -> bool {
    let has = |kind| {
        let mut records = message.authorities.iter();
        records.any(|record| record.record_type() == kind)
    };
    message.answers.is_empty()
        && !message.metadata.authoritative
        && has(RecordType::NS)
        && !has(RecordType::SOA)
}
