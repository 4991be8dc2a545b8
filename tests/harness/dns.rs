//! A DNS server that answers as it is told, over UDP and TCP, and remembers what it was asked.
//!
//! Unit tests of discovery include this file too, so it leans on nothing else here.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// What is done with one question.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// NOERROR with these records.
    Records(Vec<Record>),
    /// NOERROR with answers, and with additional records.
    WithAdditional(Vec<Record>, Vec<Record>),
    /// NXDOMAIN, with the zone's SOA if there is a time for it.
    NoSuchName(Option<u32>),
    /// NOERROR without a record, with the zone's SOA if there is a time for it.
    Nothing(Option<u32>),
    /// NOERROR with the name of another server and nothing else.
    Referral,
    /// This code and nothing else.
    Code(ResponseCode),
    /// No answer, ever.
    Silence,
    /// The right identifier, then bytes that are no message.
    Garbage,
    /// A fitting answer with the identifier of another question.
    Stranger,
    /// An answer to a question that was not asked.
    OtherQuestion,
    /// FORMERR to a question with EDNS, as servers from before 1999 say; this to one without.
    WithoutEdns(Box<Reply>),
    /// Over UDP "too long"; over TCP this.
    OverTcp(Box<Reply>),
    /// Cut in the middle of a record over UDP, without a word about it; whole over TCP.
    Cut(Vec<Record>),
}

/// A question as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) kind: RecordType,
    pub(crate) tcp: bool,
}

#[derive(Debug, Default)]
struct State {
    scripts: HashMap<(String, RecordType), VecDeque<Reply>>,
    asked: Vec<Question>,
}

/// The running server; it ends when this is dropped.
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

impl DnsServer {
    /// Listens on a free port of 127.0.0.1, UDP and TCP.
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1".parse().unwrap()).await
    }

    /// Listens on a free port of `ip`.
    pub(crate) async fn start_at(ip: IpAddr) -> Self {
        for _ in 0..100 {
            let udp = UdpSocket::bind((ip, 0)).await.unwrap();
            let address = udp.local_addr().unwrap();
            // The port is free for UDP; another process may have it for TCP.
            let Ok(tcp) = TcpListener::bind(address).await else {
                continue;
            };
            let state = Arc::new(Mutex::new(State::default()));
            let mut tasks = JoinSet::new();
            tasks.spawn(serve_udp(udp, state.clone()));
            tasks.spawn(serve_tcp(tcp, state.clone()));
            return Self {
                address,
                state,
                _tasks: tasks,
            };
        }
        panic!("no port of {ip} is free for both UDP and TCP");
    }

    /// What is answered from now on.
    pub(crate) fn set(&self, name: &str, kind: RecordType, reply: Reply) {
        self.script(name, kind, vec![reply]);
    }

    /// What is answered, one after the other; the last one repeats. A name without a script does not exist.
    pub(crate) fn script(&self, name: &str, kind: RecordType, replies: Vec<Reply>) {
        let mut state = self.state.lock();
        state.scripts.insert((key(name), kind), replies.into());
    }

    /// All questions so far.
    pub(crate) fn asked(&self) -> Vec<Question> {
        self.state.lock().asked.clone()
    }

    /// How often this was asked.
    pub(crate) fn times(&self, name: &str, kind: RecordType) -> usize {
        let asked = self.asked();
        let of = asked.iter();
        of.filter(|q| q.name == key(name) && q.kind == kind).count()
    }
}

/// A name as the scripts are kept by.
fn key(name: &str) -> String {
    full(name).to_string().to_lowercase()
}

fn full(name: &str) -> Name {
    let mut name = Name::from_str(name).unwrap();
    name.set_fqdn(true);
    name
}

/// An A or AAAA record.
pub(crate) fn address(name: &str, ttl: u32, ip: &str) -> Record {
    Record::from_rdata(full(name), ttl, ip.parse::<IpAddr>().unwrap().into())
}

/// An alias.
pub(crate) fn alias(name: &str, ttl: u32, to: &str) -> Record {
    Record::from_rdata(full(name), ttl, RData::CNAME(CNAME(full(to))))
}

/// A service.
pub(crate) fn service(
    name: &str,
    ttl: u32,
    (priority, weight, port): (u16, u16, u16),
    target: &str,
) -> Record {
    let data = SRV::new(priority, weight, port, full(target));
    Record::from_rdata(full(name), ttl, RData::SRV(data))
}

async fn serve_udp(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut buffer = vec![0; 4096];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let Ok(question) = Message::from_vec(&buffer[..length]) else {
            continue;
        };
        if let Some(answer) = answer(&question, false, &state) {
            socket.send_to(&answer, client).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        connections.spawn(serve_connection(connection, state.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Until the client goes away.
async fn serve_connection(mut connection: TcpStream, state: Arc<Mutex<State>>) {
    while let Ok(length) = connection.read_u16().await {
        let mut question = vec![0; usize::from(length)];
        if connection.read_exact(&mut question).await.is_err() {
            return;
        }
        let Ok(question) = Message::from_vec(&question) else {
            return;
        };
        let Some(answer) = answer(&question, true, &state) else {
            // Silent, with the connection left open.
            continue;
        };
        let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
        framed.extend(answer);
        if connection.write_all(&framed).await.is_err() {
            return;
        }
    }
}

fn answer(question: &Message, tcp: bool, state: &Mutex<State>) -> Option<Vec<u8>> {
    let query = question.queries.first()?;
    let name = query.name().to_string().to_lowercase();
    let kind = query.query_type();
    let reply = {
        let mut state = state.lock();
        state.asked.push(Question {
            name: name.clone(),
            kind,
            tcp,
        });
        match state.scripts.get_mut(&(name, kind)) {
            // The question over TCP repeats the one over UDP.
            Some(script) if script.len() > 1 && !tcp => script.pop_front(),
            Some(script) => script.front().cloned(),
            None => Some(Reply::NoSuchName(Some(5))),
        }
    }?;
    write(question, reply, tcp)
}

fn write(question: &Message, reply: Reply, tcp: bool) -> Option<Vec<u8>> {
    let id = question.metadata.id;
    let mut message = Message::response(id, OpCode::Query);
    message.add_queries(question.queries.clone());
    message.metadata.recursion_available = true;
    match reply {
        Reply::Records(records) => {
            message.add_answers(records);
        }
        Reply::WithAdditional(records, additional) => {
            message.add_answers(records);
            message.add_additionals(additional);
        }
        Reply::NoSuchName(soa) => {
            message.metadata.response_code = ResponseCode::NXDomain;
            message.add_authorities(soa.map(zone));
        }
        Reply::Nothing(soa) => {
            message.add_authorities(soa.map(zone));
        }
        Reply::Referral => {
            let other = hickory_resolver::proto::rr::rdata::NS(full("ns.elsewhere.test"));
            message.add_authority(Record::from_rdata(full("test"), 60, RData::NS(other)));
        }
        Reply::Code(code) => message.metadata.response_code = code,
        Reply::Silence => return None,
        Reply::Garbage => {
            let mut bytes = id.to_be_bytes().to_vec();
            bytes.extend([0x81, 0x80, 0, 1, 0xff, 0xff, 0, 0, 0, 0, 0xc0, 0xc0, 7]);
            return Some(bytes);
        }
        Reply::Stranger => message.metadata.id = id.wrapping_add(1),
        Reply::OtherQuestion => {
            for query in &mut message.queries {
                query.set_name(full("other.test"));
            }
            message.add_answer(address("other.test", 60, "10.6.6.6"));
        }
        Reply::WithoutEdns(_) if question.edns.is_some() => {
            message.metadata.response_code = ResponseCode::FormErr;
        }
        Reply::WithoutEdns(reply) => return write(question, *reply, tcp),
        Reply::OverTcp(_) if !tcp => message.metadata.truncation = true,
        Reply::OverTcp(reply) => return write(question, *reply, tcp),
        Reply::Cut(records) => {
            message.add_answers(records);
            let mut bytes = message.to_vec().unwrap();
            if !tcp {
                bytes.truncate(bytes.len() - 3);
            }
            return Some(bytes);
        }
    }
    let bytes = message.to_vec().unwrap();
    if !tcp && bytes.len() > usize::from(question.max_payload()) {
        return Some(message.truncate().to_vec().unwrap());
    }
    Some(bytes)
}

/// The SOA of the zone "test"; both its times are `ttl`.
fn zone(ttl: u32) -> Record {
    let data = SOA::new(full("ns.test"), full("admin.test"), 1, 60, 60, 60, ttl);
    Record::from_rdata(full("test"), ttl, RData::SOA(data))
}
