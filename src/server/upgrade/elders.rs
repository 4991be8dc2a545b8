//! The processes of earlier upgrades that still drain, as the process that serves sees them.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::channel::{Channel, ElderEntry, Message};
use super::letters::{Change, Expected, Letters, Outbox, Replies, Reply, letters};
use super::moved;
use crate::telemetry::metrics::Metrics;

/// Commands that wait for one elder.
const COMMANDS: usize = 4;
/// How long a channel may take to pause: its task only has to get a turn.
const PAUSE: Duration = Duration::from_secs(5);

/// All of them.
pub struct Elders {
    metrics: Arc<Metrics>,
    known: Mutex<BTreeMap<u32, Elder>>,
    /// How many there are.
    count: watch::Sender<usize>,
    /// Told when the last one has ended.
    ended: Notify,
    replies: Arc<Replies>,
    /// Hears what they say of their caches.
    ear: OnceLock<Ear>,
}

/// Hears a message, and has its answer sent.
type Ear = Box<dyn Fn(Message, Letters) + Send + Sync>;

impl std::fmt::Debug for Elders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elders")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

struct Elder {
    since: u64,
    open: u32,
    requests: u64,
    tunnels: u64,
    ends: Instant,
    socket: Arc<OwnedFd>,
    commands: mpsc::Sender<Command>,
    letters: Letters,
}

enum Command {
    /// Give the channel to another process.
    Pause(oneshot::Sender<Channel>),
    /// End now.
    Hurry,
    /// Open log files again.
    ReopenLogs,
}

/// The channel to an elder, while another process is about to take it.
pub struct Paused {
    pid: u32,
    since: u64,
    channel: Channel,
    socket: Arc<OwnedFd>,
}

impl Paused {
    /// As the next process is told of it.
    pub fn entry(&self) -> ElderEntry {
        ElderEntry {
            pid: self.pid,
            fd: self.socket.as_raw_fd(),
            since: self.since,
            begun: STANDARD.encode(self.channel.begun()),
        }
    }
}

impl Elders {
    /// None yet.
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            known: Mutex::default(),
            count: watch::Sender::new(0),
            ended: Notify::new(),
            replies: Arc::default(),
            ear: OnceLock::new(),
        }
    }

    /// How many drain.
    pub fn count(&self) -> usize {
        self.known.lock().len()
    }

    /// The sockets of their channels, for a process that inherits them: open as long as they are held, though an elder
    /// may end meanwhile and its number be given to a client.
    pub fn sockets(&self) -> Vec<Arc<OwnedFd>> {
        let known = self.known.lock();
        known.values().map(|one| Arc::clone(&one.socket)).collect()
    }

    /// Takes over those that an old process looked after. `channels` were inherited, by their numbers; what belongs to
    /// none of them is closed.
    pub fn adopt(self: &Arc<Self>, entries: &[ElderEntry], mut channels: BTreeMap<RawFd, OwnedFd>) {
        for entry in entries {
            let begun = STANDARD.decode(&entry.begun).unwrap_or_default();
            let channel = channels
                .remove(&entry.fd)
                .ok_or_else(|| std::io::Error::other("its channel did not arrive"))
                .and_then(|socket| Channel::new(socket, &begun));
            match channel {
                Ok(channel) => self.add(entry.pid, entry.since, channel),
                Err(error) => log::warn!("process {} drains unseen: {error}", entry.pid),
            }
        }
    }

    /// Looks after a process from now on. `since` is the second of its upgrade.
    pub fn add(self: &Arc<Self>, pid: u32, since: u64, channel: Channel) {
        let socket = match channel.duplicate() {
            Ok(socket) => Arc::new(socket),
            Err(error) => return log::warn!("process {pid} drains unseen: {error}"),
        };
        let (commands, asked) = mpsc::channel(COMMANDS);
        let (letters, outbox) = letters();
        let elder = Elder {
            since,
            open: 0,
            requests: 0,
            tunnels: 0,
            ends: Instant::now(),
            socket,
            commands,
            letters: letters.clone(),
        };
        self.known.lock().insert(pid, elder);
        self.counted();
        let this = Arc::clone(self);
        tokio::spawn(async move { this.follow(pid, channel, asked, (letters, outbox)).await });
    }

    async fn follow(
        &self,
        pid: u32,
        mut channel: Channel,
        mut asked: mpsc::Receiver<Command>,
        (letters, mut outbox): (Letters, Outbox),
    ) {
        let why = loop {
            let message = tokio::select! {
                command = asked.recv() => match command {
                    Some(Command::Pause(taker)) => {
                        self.forget(pid);
                        self.replies.silent(pid);
                        // What it was to be told it is told; nobody tells it more.
                        while let Some(letter) = outbox.at_once() {
                            let _ = channel.send(&letter).await;
                        }
                        // Whoever asked may have given up: then the channel ends, and the elder drains unseen.
                        let _ = taker.send(channel);
                        return;
                    }
                    Some(Command::Hurry) => {
                        // It is gone already, or it hears of it.
                        let _ = channel.send(&Message::Hurry).await;
                        continue;
                    }
                    Some(Command::ReopenLogs) => {
                        let _ = channel.send(&Message::ReopenLogs).await;
                        continue;
                    }
                    None => return,
                },
                letter = outbox.next() => {
                    // One that is gone is seen below.
                    let _ = channel.send(&letter).await;
                    continue;
                }
                message = channel.next() => message,
            };
            match message {
                Ok(Some(Message::Purged { id, number, error })) => {
                    self.replies.came(id, Reply { number, error });
                }
                Ok(Some(message @ (Message::Purge { .. } | Message::Gone { .. }))) => {
                    if let Some(ear) = self.ear.get() {
                        ear(message, letters.clone());
                    }
                }
                Ok(Some(Message::Progress {
                    open,
                    requests,
                    tunnels,
                    left_ms,
                    counted,
                })) => {
                    moved::add_counted(&self.metrics, counted);
                    if let Some(elder) = self.known.lock().get_mut(&pid) {
                        (elder.open, elder.requests, elder.tunnels) = (open, requests, tunnels);
                        elder.ends = Instant::now() + Duration::from_millis(left_ms);
                    }
                }
                Ok(Some(Message::Drained { cut, told, counted })) => {
                    moved::add_counted(&self.metrics, counted);
                    break match (told.is_empty(), cut) {
                        (false, _) => format!("has {told}"),
                        (true, 0) => "has drained".to_owned(),
                        (true, cut) => format!("has ended, {cut} were cut at the end"),
                    };
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    log::warn!("old process {pid} ended without a word: it was killed, or crashed");
                    self.has_ended(pid);
                    return;
                }
                Err(error) => break format!("drains unseen: {error}"),
            }
        };
        log::info!("old process {pid} {why}");
        self.has_ended(pid);
    }

    fn has_ended(&self, pid: u32) {
        self.forget(pid);
        self.replies.ended(pid);
        if self.count() == 0 {
            self.ended.notify_one();
        }
    }

    /// Waits until the last one has ended, since it was last asked. Others that were given to the next process do not
    /// count as ended.
    pub async fn last_ended(&self) {
        self.ended.notified().await;
    }

    fn forget(&self, pid: u32) {
        self.known.lock().remove(&pid);
        self.counted();
    }

    fn counted(&self) {
        let count = self.count();
        self.metrics
            .config()
            .draining_processes
            .set(i64::try_from(count).unwrap_or(i64::MAX));
        self.count.send_replace(count);
    }

    /// Lets go of all channels, for the next process.
    pub async fn pause(&self) -> Vec<Paused> {
        let asked: Vec<_> = self
            .known
            .lock()
            .iter()
            .map(|(pid, elder)| {
                let socket = Arc::clone(&elder.socket);
                (*pid, elder.since, elder.commands.clone(), socket)
            })
            .collect();
        let mut paused = Vec::new();
        for (pid, since, commands, socket) in asked {
            let (give, taken) = oneshot::channel();
            // One that ends in this very moment does not answer.
            if commands.try_send(Command::Pause(give)).is_ok()
                && let Ok(Ok(channel)) = timeout(PAUSE, taken).await
            {
                paused.push(Paused {
                    pid,
                    since,
                    channel,
                    socket,
                });
            }
        }
        paused
    }

    /// Looks after them again: the next process did not come to be.
    pub fn resume(self: &Arc<Self>, paused: Vec<Paused>) {
        for one in paused {
            self.add(one.pid, one.since, one.channel);
        }
    }

    /// Answers that are waited for.
    pub fn replies(&self) -> &Arc<Replies> {
        &self.replies
    }

    /// What hears what they say of their caches. Only the first one counts.
    pub fn listen(&self, ear: Ear) {
        let _ = self.ear.set(ear);
    }

    /// Has all of them purge; gives whose answers are to be waited for.
    pub fn purge(&self, order: &dyn Fn(u64) -> Message) -> Vec<Expected> {
        let known = self.known.lock();
        let told = known.iter().map(|(pid, elder)| {
            let expected = self.replies.expect(*pid);
            if !elder.letters.put(order(expected.id)) {
                self.replies.silent(*pid);
            }
            expected
        });
        told.collect()
    }

    /// Tells all of them of a change.
    pub fn change(&self, change: Change) {
        for elder in self.known.lock().values() {
            elder.letters.change(change);
        }
    }

    /// Waits until none drains.
    pub async fn gone(&self) {
        // The sender lives as long as we do.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Log files were moved away: they open them again too.
    pub fn reopen_logs(&self) {
        for elder in self.known.lock().values() {
            // A full queue has one of these already, or the process is about to end.
            let _ = elder.commands.try_send(Command::ReopenLogs);
        }
    }

    /// The node stops: they are to end now.
    pub fn hurry(&self) {
        for elder in self.known.lock().values() {
            // A full queue has one of these already.
            let _ = elder.commands.try_send(Command::Hurry);
        }
    }

    /// For `status`.
    pub fn status(&self) -> Vec<Value> {
        let now = Instant::now();
        self.known
            .lock()
            .iter()
            .map(|(pid, elder)| {
                json!({
                    "pid": pid,
                    "since": elder.since,
                    "connections": elder.open,
                    "requests": elder.requests,
                    "tunnels": elder.tunnels,
                    "seconds_left": elder.ends.saturating_duration_since(now).as_secs(),
                })
            })
            .collect()
    }
}
