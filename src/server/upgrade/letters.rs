//! What the processes of a node tell each other of their caches, and the answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::channel::Message;
use crate::cache::key::KeyHash;
use crate::cache::shared::{Kind, Purge, Scope};
use crate::proxy::id;

/// Letters that wait for one process.
const WAITING: usize = 1_024;

/// A purge on its way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MovedPurge {
    scope: MovedScope,
    #[serde(default)]
    soft: bool,
    #[serde(default)]
    at_ms: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
enum MovedScope {
    Host {
        host: u64,
    },
    Prefix {
        host: u64,
        len: u32,
        hash: u64,
    },
    Tag {
        tag: u64,
    },
    Url {
        url: u64,
    },
    /// And what only a later version knows: more is purged than was asked for, never less.
    #[serde(other)]
    All,
}

impl From<Purge> for MovedPurge {
    fn from(purge: Purge) -> Self {
        let scope = match purge.scope {
            Scope::All => MovedScope::All,
            Scope::Host(host) => MovedScope::Host { host },
            Scope::Prefix { host, len, hash } => MovedScope::Prefix { host, len, hash },
            Scope::Tag(tag) => MovedScope::Tag { tag },
            Scope::Url(url) => MovedScope::Url { url },
        };
        Self {
            scope,
            soft: purge.kind == Kind::Soft,
            at_ms: purge.at_ms,
        }
    }
}

impl From<MovedPurge> for Purge {
    fn from(moved: MovedPurge) -> Self {
        let scope = match moved.scope {
            MovedScope::All => Scope::All,
            MovedScope::Host { host } => Scope::Host(host),
            MovedScope::Prefix { host, len, hash } => Scope::Prefix { host, len, hash },
            MovedScope::Tag { tag } => Scope::Tag(tag),
            MovedScope::Url { url } => Scope::Url(url),
        };
        Self {
            scope,
            kind: if moved.soft { Kind::Soft } else { Kind::Hard },
            at_ms: moved.at_ms,
        }
    }
}

/// A change that nobody waits for.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// A purge.
    Purge(Purge),
    /// What is stored at a key is gone.
    Gone(KeyHash),
}

impl Change {
    /// What stands for changes that were too many: all is stale, and confirmed before it is used.
    pub fn everything() -> Self {
        Self::Purge(Purge {
            scope: Scope::All,
            kind: Kind::Soft,
            at_ms: crate::telemetry::clock::unix_ms(),
        })
    }

    fn message(self) -> Message {
        match self {
            Self::Purge(purge) => Message::Purge {
                id: 0,
                purges: vec![purge.into()],
            },
            Self::Gone(KeyHash(hash)) => {
                let hash = u128::from_le_bytes(hash);
                Message::Gone {
                    key: [hash as u64, (hash >> 64) as u64],
                }
            }
        }
    }
}

/// The key of a message.
pub fn key(halves: [u64; 2]) -> KeyHash {
    let [low, high] = halves.map(u128::from);
    KeyHash((low | high << 64).to_le_bytes())
}

/// Where letters to a process are put.
#[derive(Clone, Debug)]
pub struct Letters {
    queue: mpsc::Sender<Message>,
    lost: Arc<AtomicBool>,
}

/// Where whoever has the channel takes them.
#[derive(Debug)]
pub struct Outbox {
    queue: mpsc::Receiver<Message>,
    lost: Arc<AtomicBool>,
}

/// A queue of letters.
pub fn letters() -> (Letters, Outbox) {
    let (sender, queue) = mpsc::channel(WAITING);
    let lost = Arc::<AtomicBool>::default();
    let letters = Letters {
        queue: sender,
        lost: Arc::clone(&lost),
    };
    (letters, Outbox { queue, lost })
}

impl Letters {
    /// Puts one there; false when there is no room, or nobody takes them any more.
    pub fn put(&self, message: Message) -> bool {
        self.queue.try_send(message).is_ok()
    }

    /// Puts a change there. Without room the other process is to hold everything for stale.
    pub fn change(&self, change: Change) {
        if !self.put(change.message()) {
            self.lost.store(true, Ordering::Release);
        }
    }
}

impl Outbox {
    /// The next one; waits for ever when none comes. May be dropped and asked again.
    pub async fn next(&mut self) -> Message {
        match self.at_once() {
            Some(message) => message,
            None => match self.queue.recv().await {
                Some(message) => message,
                None => std::future::pending().await,
            },
        }
    }

    /// Takes none any more.
    pub fn close(&mut self) {
        self.queue.close();
    }

    /// The next one, if there is one.
    pub fn at_once(&mut self) -> Option<Message> {
        if self.lost.swap(false, Ordering::AcqRel) {
            return Some(Change::everything().message());
        }
        self.queue.try_recv().ok()
    }
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The number of the last purge in the journal.
    pub number: Option<u64>,
    /// Why it is not in force there.
    pub error: Option<String>,
}

/// Answers that are waited for, with the process they come from.
#[derive(Debug, Default)]
pub struct Replies(Mutex<HashMap<u64, (u32, oneshot::Sender<Reply>)>>);

/// One that is waited for; dropped, it is not any more.
#[derive(Debug)]
pub struct Expected {
    /// What names it.
    pub id: u64,
    /// Who is to answer.
    pub pid: u32,
    reply: oneshot::Receiver<Reply>,
    replies: Arc<Replies>,
}

impl Expected {
    /// The answer; none when it does not come any more.
    pub async fn reply(&mut self) -> Option<Reply> {
        (&mut self.reply).await.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.replies.0.lock().remove(&self.id);
    }
}

impl Replies {
    /// Waits for an answer of a process from now on.
    pub fn expect(self: &Arc<Self>, pid: u32) -> Expected {
        // Random, since those of the process before us are answered to us.
        let id = id::random().max(1);
        let (sender, reply) = oneshot::channel();
        self.0.lock().insert(id, (pid, sender));
        Expected {
            id,
            pid,
            reply,
            replies: Arc::clone(self),
        }
    }

    /// An answer came.
    pub fn came(&self, id: u64, reply: Reply) {
        if let Some((_, waiting)) = self.0.lock().remove(&id) {
            // Whoever waited may have gone.
            let _ = waiting.send(reply);
        }
    }

    /// A process has ended: what it held is gone with it.
    pub fn ended(&self, pid: u32) {
        let mut waiting = self.0.lock();
        let of: Vec<u64> = waiting
            .iter()
            .filter(|(_, (one, _))| *one == pid)
            .map(|(id, _)| *id)
            .collect();
        for id in of {
            if let Some((_, waiting)) = waiting.remove(&id) {
                let _ = waiting.send(Reply::default());
            }
        }
    }

    /// A process answers us no more.
    pub fn silent(&self, pid: u32) {
        self.0.lock().retain(|_, (one, _)| *one != pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purges_and_keys_arrive_as_they_were() {
        let host = 7;
        for scope in [
            Scope::All,
            Scope::Host(host),
            Scope::prefix(host, b"/static/"),
            Scope::Tag(u64::MAX),
            Scope::Url(9),
        ] {
            for kind in [Kind::Hard, Kind::Soft] {
                let purge = Purge {
                    scope,
                    kind,
                    at_ms: 11,
                };
                let text = serde_json::to_string(&MovedPurge::from(purge)).unwrap();
                let moved: MovedPurge = serde_json::from_str(&text).unwrap();
                assert_eq!(Purge::from(moved), purge, "{text}");
            }
        }
        let later: MovedPurge = serde_json::from_str(r#"{"scope":{"of":"moon","n":1}}"#).unwrap();
        assert_eq!(Purge::from(later).scope, Scope::All);
        let hash = KeyHash(std::array::from_fn(|n| n as u8));
        let Message::Gone { key: halves } = Change::Gone(hash).message() else {
            panic!("another message");
        };
        assert_eq!(key(halves), hash);
    }

    #[tokio::test]
    async fn changes_that_find_no_room_make_everything_stale() {
        let (letters, mut outbox) = letters();
        for n in 0..=WAITING {
            letters.change(Change::Gone(KeyHash([n as u8; 16])));
        }
        let Message::Purge { id: 0, purges } = outbox.next().await else {
            panic!("another message");
        };
        let purge = Purge::from(purges[0]);
        assert_eq!((purge.scope, purge.kind), (Scope::All, Kind::Soft));
        let rest = std::iter::from_fn(|| outbox.at_once()).count();
        assert_eq!(rest, WAITING);
    }

    #[tokio::test]
    async fn an_answer_goes_to_who_waits_for_it() {
        let replies = Arc::<Replies>::default();
        let mut one = replies.expect(1);
        let mut other = replies.expect(2);
        let mut silent = replies.expect(3);
        replies.came(
            one.id,
            Reply {
                number: Some(5),
                error: None,
            },
        );
        replies.ended(2);
        replies.silent(3);
        assert_eq!(one.reply().await.unwrap().number, Some(5));
        assert!(other.reply().await.unwrap().error.is_none());
        assert!(silent.reply().await.is_none());
        drop((one, other, silent));
        assert!(replies.0.lock().is_empty());
    }
}
