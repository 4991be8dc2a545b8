//! Clients that ask for the same new object at the same moment. What counts is how often the origin is asked, and when
//! each client has the first byte of the body.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{PAUSE, Shared};
use crate::body::object;
use crate::case::Asks;
use crate::client::ANSWER_LIMIT;

/// A kept connection; the rest of it runs beside, until this is dropped.
type Sender = SendRequest<Full<Bytes>>;

/// The clients of a group: one after another it asks for new objects.
pub(super) struct Group(Vec<Option<Sender>>);

/// Opens the connections of as many groups at a time as the case has.
pub(super) async fn open_all(shared: &Shared) -> Vec<Group> {
    let Asks::Groups { clients, .. } = shared.asks else {
        return Vec::new();
    };
    let mut groups = Vec::new();
    for _ in 0..shared.load.connections / clients.max(1) {
        let mut members = Vec::new();
        for _ in 0..clients {
            members.push(open(shared).await);
        }
        groups.push(Group(members));
    }
    groups
}

async fn open(shared: &Shared) -> Option<Sender> {
    let opened = async {
        let stream = shared.open().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        // How the connection ended is seen by who waits for an answer on it.
        tokio::spawn(connection);
        Some(sender)
    };
    let opened = opened.await;
    shared.tally().connect_errors += u64::from(opened.is_none());
    opened
}

/// Lets all groups ask until the run is over.
pub(super) async fn run(shared: &Arc<Shared>, groups: Vec<Group>) {
    let mut loops = JoinSet::new();
    for group in groups {
        loops.spawn(keep_asking(Arc::clone(shared), group));
    }
    while loops.join_next().await.is_some() {}
}

async fn keep_asking(shared: Arc<Shared>, mut group: Group) {
    while !shared.is_over() {
        let target = shared.target(&shared.new_name());
        let members = std::mem::take(&mut group.0);
        let clients = members.len();
        let asking = members
            .into_iter()
            .map(|member| ask(&shared, member, &target));
        group.0 = join_all(asking).await;
        shared.groups.fetch_add(1, Ordering::Relaxed);
        let lost = group.0.iter().filter(|member| member.is_none()).count();
        if lost == clients {
            // Not a wait for anything: it only bounds the rate.
            sleep(PAUSE).await;
        }
    }
}

/// One client. Gives back its connection when that is still good.
async fn ask(shared: &Shared, member: Option<Sender>, target: &Uri) -> Option<Sender> {
    let mut sender = match member {
        Some(sender) => sender,
        None => open(shared).await?,
    };
    let answer = timeout(ANSWER_LIMIT, exchange(shared, &mut sender, target)).await;
    let mut tally = shared.tally();
    match answer {
        Ok(Ok(answer)) => {
            tally.add(answer.first_byte, answer.bytes);
            tally.bad_answers += u64::from(!answer.is_good);
            return Some(sender);
        }
        Ok(Err(_)) => tally.read_errors += 1,
        Err(_) => tally.timeouts += 1,
    }
    None
}

struct Answer {
    /// From the request to the first byte of the body.
    first_byte: Duration,
    bytes: usize,
    is_good: bool,
}

async fn exchange(shared: &Shared, sender: &mut Sender, target: &Uri) -> hyper::Result<Answer> {
    let mut request = shared.order.request();
    *request.uri_mut() = target.clone();
    let begin = Instant::now();
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let mut is_good = response.status() == StatusCode::OK;
    let mut body = response.into_body();
    let mut bytes = 0;
    let mut first_byte = None;
    let number = object(target.path().as_bytes());
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) else {
            continue;
        };
        first_byte.get_or_insert_with(|| begin.elapsed());
        is_good &= shared.bodies.has(number, bytes, data);
        bytes += data.len();
    }
    Ok(Answer {
        first_byte: first_byte.unwrap_or_else(|| begin.elapsed()),
        bytes,
        is_good: is_good && bytes == shared.load.response_bytes,
    })
}
