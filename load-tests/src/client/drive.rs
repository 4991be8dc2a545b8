//! The closed loops of a run: each sends its next request, or begins its next handshake, when the last one is done.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::dial::{Bytestream, Dial};
use super::exchange::{Order, Sender, protocol};
use super::tally::Tally;
use super::{ANSWER_LIMIT, Outcome};
use crate::case::{Load, Unit};
use crate::measure::cpu_time;

/// After a connection that could not be made, so that a contestant that is gone is not hammered.
const PAUSE: Duration = Duration::from_millis(20);

/// What all loops of a run share.
struct Shared {
    load: Load,
    dial: Dial,
    order: Order,
    tally: Mutex<Tally>,
    end: Instant,
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }
}

/// Loads what `dial` reaches for `length`, after the connections stand. `watched` is the process whose CPU time
/// is read at the begin and at the end. Fails when that process is gone.
pub(crate) async fn drive(
    load: Load,
    dial: Dial,
    order: Order,
    length: Duration,
    watched: u32,
) -> Result<Outcome, String> {
    let mut tally = Tally::new();
    let mut standing = Vec::new();
    if load.unit() == Unit::Request {
        standing = open_all(&load, &dial, &order, &mut tally).await;
    }
    let before = cpu_time(watched)?;
    let begin = Instant::now();
    let shared = Arc::new(Shared {
        load,
        dial,
        order,
        tally: Mutex::new(tally),
        end: begin + length,
    });
    let mut loops = JoinSet::new();
    match shared.load.unit() {
        Unit::Request => {
            for sender in standing {
                loops.spawn(keep_asking(Arc::clone(&shared), sender));
            }
        }
        Unit::Handshake => {
            for _ in 0..shared.load.connections {
                loops.spawn(keep_shaking_hands(Arc::clone(&shared)));
            }
        }
    }
    while loops.join_next().await.is_some() {}
    // What was asked before the end is answered, counted and paid for.
    let run = shared.tally().result(begin.elapsed());
    let spent = cpu_time(watched)?.saturating_sub(before);
    Ok(Outcome::new(run, spent))
}

/// Opens the case's connections and sends a first request on each: neither handshakes nor first buffers are part
/// of what a request on a kept connection costs.
async fn open_all(
    load: &Load,
    dial: &Dial,
    order: &Order,
    tally: &mut Tally,
) -> Vec<Option<Sender>> {
    let mut standing = Vec::new();
    for _ in 0..load.connections {
        let mut opened = open(load, dial).await;
        if let Some(sender) = &mut opened
            && !matches!(timeout(ANSWER_LIMIT, sender.ask(order)).await, Ok(Ok(_)))
        {
            opened = None;
        }
        tally.connect_errors += u64::from(opened.is_none());
        standing.push(opened);
    }
    standing
}

async fn open(load: &Load, dial: &Dial) -> Option<Sender> {
    let stream = dial.open().await.ok()?;
    Sender::start(stream, protocol(load)).await.ok()
}

/// One connection, opened again when it breaks.
async fn keep_asking(shared: Arc<Shared>, mut sender: Option<Sender>) {
    while !shared.is_over() {
        let Some(first) = sender.take() else {
            sender = open(&shared.load, &shared.dial).await;
            if sender.is_none() {
                shared.tally().connect_errors += 1;
                // Not a wait for anything: it only bounds the rate.
                sleep(PAUSE).await;
            }
            continue;
        };
        let streams = shared.load.tls.as_ref().map_or(1, |tls| tls.streams);
        let mut loops = JoinSet::new();
        for other in (1..streams).map_while(|_| first.beside()) {
            loops.spawn(ask_on(Arc::clone(&shared), other));
        }
        ask_on(Arc::clone(&shared), first).await;
        while loops.join_next().await.is_some() {}
    }
}

/// One stream, until it fails or time is over.
async fn ask_on(shared: Arc<Shared>, mut sender: Sender) {
    while !shared.is_over() {
        let begin = Instant::now();
        let answer = timeout(ANSWER_LIMIT, sender.ask(&shared.order)).await;
        let latency = begin.elapsed();
        let mut tally = shared.tally();
        match answer {
            Ok(Ok(answer)) => {
                tally.add(latency, answer.body_bytes);
                let is_good =
                    answer.status.is_success() && answer.body_bytes == shared.load.response_bytes;
                tally.bad_answers += u64::from(!is_good);
            }
            Ok(Err(_)) => {
                tally.read_errors += 1;
                return;
            }
            Err(_) => {
                tally.timeouts += 1;
                return;
            }
        }
    }
}

async fn keep_shaking_hands(shared: Arc<Shared>) {
    while !shared.is_over() {
        let begin = Instant::now();
        let Ok(stream) = shared.dial.open().await else {
            shared.tally().connect_errors += 1;
            sleep(PAUSE).await;
            continue;
        };
        let latency = begin.elapsed();
        match timeout(ANSWER_LIMIT, close(stream)).await {
            Ok(Ok(())) => shared.tally().add(latency, 0),
            Ok(Err(_)) => shared.tally().read_errors += 1,
            Err(_) => shared.tally().timeouts += 1,
        }
    }
}

/// Says goodbye and waits until the other side is gone too. In TLS 1.3 the client is done first: only a close
/// without an alert or a reset shows that the server took its Finished.
async fn close(mut stream: Box<dyn Bytestream>) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}
