//! An open-loop generator: requests begin when they are due, whatever became of those before. So a slow answer delays no
//! request, and latencies count from when each was due (no coordinated omission).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::harness::Client;

/// Most connections at a time: more means that nobody is turned away any more, and the test says so.
const MAX_CONNECTIONS: usize = 8192;

/// A stream of requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// What is asked for.
    pub(super) target: &'static str,
    /// Requests a second; the times between them are random (exponential), the same in each run.
    pub(super) rate: f64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) target: &'static str,
    pub(super) status: u16,
    /// When it was due, since the beginning.
    pub(super) due: Duration,
    /// From then to the end of its answer.
    pub(super) took: Duration,
}

/// Sends all streams for `time`; what became of each request, without those that were not answered `patience` after the
/// last was sent.
pub(super) async fn offer(
    address: SocketAddr,
    streams: &[Stream],
    time: Duration,
    patience: Duration,
) -> Vec<Answer> {
    let idle: Arc<Mutex<Vec<Client>>> = Arc::default();
    let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for (due, target) in plan(streams, time) {
        tokio::time::sleep_until((began + due).into()).await;
        while tasks.try_join_next().is_some() {}
        assert!(tasks.len() < MAX_CONNECTIONS, "nobody is turned away");
        let (idle, answers) = (Arc::clone(&idle), Arc::clone(&answers));
        tasks.spawn(async move {
            let client = idle.lock().pop();
            let mut client = match client {
                Some(client) => client,
                None => Client::connect(address).await,
            };
            let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n");
            if !client.send(&request).await {
                return;
            }
            let Some(response) = client.response().await else {
                return;
            };
            answers.lock().push(Answer {
                target,
                status: response.status,
                due,
                took: began.elapsed() - due,
            });
            if response.header("connection") != Some("close") {
                idle.lock().push(client);
            }
        });
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(patience, all).await;
    let answers = answers.lock();
    answers.clone()
}

/// When each request is due, in order.
fn plan(streams: &[Stream], time: Duration) -> Vec<(Duration, &'static str)> {
    let mut plan = Vec::new();
    for (stream, seed) in streams.iter().zip(1u64..) {
        let mut random = Random(seed);
        let mut due = 0.0;
        loop {
            due += -(1.0 - random.next()).ln() / stream.rate;
            if due >= time.as_secs_f64() {
                break;
            }
            plan.push((Duration::from_secs_f64(due), stream.target));
        }
    }
    plan.sort();
    plan
}

/// SplitMix64 (Steele and others, 2014): the same in each run.
struct Random(u64);

impl Random {
    /// From 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The value below which this share of them lies.
pub(super) fn quantile(times: impl Iterator<Item = Duration>, share: f64) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    let at = (times.len() as f64 * share) as usize;
    times[at.min(times.len() - 1)]
}
