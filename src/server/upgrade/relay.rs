//! One cache in several processes: what is purged or changed in one is so in all.
//!
//! | process | tells |
//! |---|---|
//! | the one that serves | every old process that drains |
//! | one that drains | the one that serves, which writes the journal, and tells the others |
//! | while the folders change hands | nobody: purges are to be asked again, other changes are told when it is over |

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::channel::Message;
use super::elders::Elders;
use super::letters::{self, Change, Letters, MovedPurge, Outbox, Replies, Reply, letters};
use crate::cache::key::KeyHash;
use crate::cache::shared::{Confirmed, Others, Purge};
use crate::server::Server;

/// How long an old process may take to purge.
const ELDER: Duration = Duration::from_secs(2);
/// How long the process that serves may take: it waits for the others.
const SERVING: Duration = Duration::from_secs(4);
/// Changes that are kept while the folders change hands; more become one for everything.
const KEPT: usize = 16_384;
/// What the process that took over is called among those that are to answer.
const SUCCESSOR: u32 = 0;

/// What a process is in the node.
#[derive(Debug)]
enum Part {
    /// It serves.
    Serving,
    /// The folders change hands.
    Changing(Vec<Change>),
    /// Another one serves.
    Draining(Letters),
}

/// What is told the other processes.
#[derive(Debug)]
pub struct Relay {
    elders: Arc<Elders>,
    replies: Arc<Replies>,
    /// With how often it has changed.
    part: Mutex<(u64, Part)>,
}

impl Relay {
    /// `heir`: another process serves still.
    pub fn new(elders: &Arc<Elders>, heir: bool) -> Self {
        let part = if heir {
            Part::Changing(Vec::new())
        } else {
            Part::Serving
        };
        Self {
            elders: Arc::clone(elders),
            replies: Arc::clone(elders.replies()),
            part: Mutex::new((0, part)),
        }
    }

    fn become_(&self, part: Part) -> Vec<Change> {
        let mut now = self.part.lock();
        now.0 += 1;
        match std::mem::replace(&mut now.1, part) {
            Part::Changing(changes) => changes,
            Part::Serving | Part::Draining(_) => Vec::new(),
        }
    }

    /// The folders change hands from now on.
    pub fn change(&self) {
        self.become_(Part::Changing(Vec::new()));
    }

    /// This process serves, and has the folders. Gives what changed meanwhile: what is on disk may not know of it.
    pub fn serve(&self) -> Vec<Change> {
        let changes = self.become_(Part::Serving);
        for change in &changes {
            self.elders.change(*change);
        }
        changes
    }

    /// Another process serves. What it is to be told is taken out of the box.
    pub fn drain(&self) -> Outbox {
        let (letters, outbox) = letters();
        let changes = self.become_(Part::Draining(letters.clone()));
        for change in changes {
            letters.change(change);
        }
        outbox
    }

    /// The process that serves has answered, or does so no more.
    pub fn replied(&self, id: u64, reply: Reply) {
        self.replies.came(id, reply);
    }

    /// The process that serves is gone.
    pub fn alone(&self) {
        self.replies.silent(SUCCESSOR);
    }

    fn note(&self, change: Change) {
        match &mut self.part.lock().1 {
            Part::Serving => self.elders.change(change),
            Part::Draining(letters) => letters.change(change),
            Part::Changing(changes) if changes.len() < KEPT => changes.push(change),
            Part::Changing(changes) => *changes = vec![Change::everything()],
        }
    }
}

impl Others for Relay {
    fn turn(&self) -> Option<u64> {
        let part = self.part.lock();
        (!matches!(part.1, Part::Changing(_))).then_some(part.0)
    }

    fn purge(&self, purges: &[Purge]) -> Confirmed {
        let order = |id| Message::Purge {
            id,
            purges: purges.iter().copied().map(MovedPurge::from).collect(),
        };
        let part = self.part.lock();
        let (mut expected, longest) = match &part.1 {
            Part::Serving => (self.elders.purge(&order), ELDER),
            Part::Draining(letters) => {
                let expected = self.replies.expect(SUCCESSOR);
                if !letters.put(order(expected.id)) {
                    self.replies.silent(SUCCESSOR);
                }
                (vec![expected], SERVING)
            }
            Part::Changing(_) => (Vec::new(), ELDER),
        };
        drop(part);
        let until = Instant::now() + longest;
        Box::pin(async move {
            let mut number = None;
            let mut silent = Vec::new();
            for one in &mut expected {
                let who = match one.pid {
                    SUCCESSOR => "the process that serves".to_owned(),
                    pid => format!("process {pid}"),
                };
                match timeout_at(until, one.reply()).await {
                    Ok(Some(Reply {
                        error: None,
                        number: theirs,
                    })) => number = number.max(theirs),
                    Ok(Some(Reply {
                        error: Some(error), ..
                    })) => silent.push(format!("{who}: {error}")),
                    Ok(None) | Err(_) => silent.push(format!("{who} did not confirm")),
                }
            }
            if silent.is_empty() {
                Ok(number)
            } else {
                Err(silent.join(", "))
            }
        })
    }

    fn tell(&self, purge: Purge) {
        self.note(Change::Purge(purge));
    }

    fn gone(&self, primary: KeyHash) {
        self.note(Change::Gone(primary));
    }
}

/// What an old process says to the one that serves. Gives the answer, if one is expected.
pub async fn hear_elder(server: &Server, message: Message) -> Option<Message> {
    let cache = server.state.cache.get();
    match message {
        Message::Gone { key } => {
            cache?.shared.invalidate(letters::key(key));
            None
        }
        Message::Purge { id, purges } => {
            let purges: Vec<Purge> = purges.into_iter().map(Purge::from).collect();
            let (number, error) = match cache {
                // Nothing is stored here.
                None => (Some(0), None),
                Some(held) => match held.shared.order(&purges).await {
                    Err(_) => (None, Some("another process takes over just now".to_owned())),
                    Ok(done) => match (done.journal, done.others) {
                        (Ok(()), Ok(())) => (Some(done.number), None),
                        (Err(error), _) => (None, Some(error.to_string())),
                        (_, Err(error)) => (None, Some(error)),
                    },
                },
            };
            (id != 0).then_some(Message::Purged { id, number, error })
        }
        _ => None,
    }
}

/// What the process that serves says to an old one. Gives the answer, if one is expected.
pub fn hear_successor(server: &Server, message: Message) -> Option<Message> {
    let cache = server.state.cache.get();
    match message {
        Message::Gone { key } => {
            cache?.shared.invalidate_here(letters::key(key));
            None
        }
        Message::Purge { id, purges } => {
            let purges: Vec<Purge> = purges.into_iter().map(Purge::from).collect();
            if let Some(held) = cache {
                // The journal is written by the other one.
                drop(held.shared.purge_here(&purges));
            }
            (id != 0).then_some(Message::Purged {
                id,
                number: None,
                error: None,
            })
        }
        Message::Purged { id, number, error } => {
            server.upgrades.relay.replied(id, Reply { number, error });
            None
        }
        _ => None,
    }
}

/// What was changed while the folders changed hands is so in this process, too: what it found on disk is older.
pub fn make_up_for(server: &Server, changes: &[Change]) {
    let Some(held) = server.state.cache.get() else {
        return;
    };
    for change in changes {
        match change {
            Change::Gone(key) => held.shared.invalidate_here(*key),
            Change::Purge(purge) => drop(held.shared.purge_here(&[*purge])),
        }
    }
}
