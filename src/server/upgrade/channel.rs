//! The channel between two processes of a node: JSON messages over a socket pair, each with its length before it.
//!
//! Old and new may be of different versions: fields that one side does not know are ignored, fields that are
//! missing have defaults, and messages of an unknown kind are passed over.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::letters::MovedPurge;
use super::moved::records::Chunk;

/// The longest message: the sockets of a node with very many listeners. State comes in chunks that are much shorter.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// A peer that takes nothing for this long is given up.
const SEND: Duration = Duration::from_secs(20);

/// What one process tells the other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// Old to new, first of all: the sockets it holds.
    Hello(Hello),
    /// New to old: everything is loaded and bound, nothing is accepted yet.
    Ready(Ready),
    /// New to old: it cannot serve, and ends.
    Failed {
        /// Why.
        why: String,
    },
    /// Old to new, before `Go`: a piece of the state that moves.
    State(Chunk),
    /// Old to new: serve from now on.
    Go(Go),
    /// New to old: it accepts.
    Serving,
    /// Old to new: the service manager was told, and the old process answers nobody new. What it counted until then
    /// came before.
    Committed,
    /// Draining to serving, about once a second, and once before `Committed`.
    Progress {
        /// Connections still open.
        open: u32,
        /// Requests on them.
        #[serde(default)]
        requests: u64,
        /// WebSockets and other tunnels.
        #[serde(default)]
        tunnels: u64,
        /// Milliseconds until what is left is cut.
        left_ms: u64,
        /// What was counted since the last message.
        #[serde(default)]
        counted: Value,
    },
    /// Draining to serving, last of all.
    Drained {
        /// What was cut before its end.
        cut: u32,
        /// All that the drain came to, in words.
        #[serde(default)]
        told: String,
        /// What was counted since the last message.
        #[serde(default)]
        counted: Value,
    },
    /// Serving to draining: the node stops, end now.
    Hurry,
    /// Serving to draining: log files were moved away, open them again.
    ReopenLogs,
    /// Either way: these are purged.
    Purge {
        /// Names the answer; 0 where none is expected.
        #[serde(default)]
        id: u64,
        /// What.
        #[serde(default)]
        purges: Vec<MovedPurge>,
    },
    /// Either way: they are in force, and on disk where this process writes the journal.
    Purged {
        /// That of the order.
        id: u64,
        /// The number of the last one in the journal.
        #[serde(default)]
        number: Option<u64>,
        /// Or why not.
        #[serde(default)]
        error: Option<String>,
    },
    /// Either way: what is stored at a key is gone; no answer.
    Gone {
        /// The halves of its hash.
        #[serde(default)]
        key: [u64; 2],
    },
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

/// What is handed over at once.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hello {
    /// The version of the old process.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Listening sockets, by number in the new process.
    pub sockets: Vec<SocketEntry>,
    /// The newest generation of the old process: the new one counts on.
    pub generation: u64,
    /// Channels to processes that drained when the new one was started: those that end before it takes over are not
    /// among the elders it is told of, and are closed.
    pub elders: Vec<i32>,
}

/// What a socket is for.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Clients.
    #[default]
    Listener,
    /// The control socket.
    Control,
    /// The admin address.
    Admin,
}

/// A listening socket.
#[derive(Debug, Serialize, Deserialize)]
pub struct SocketEntry {
    /// What it is for.
    pub role: Role,
    /// The address as configured.
    pub address: String,
    /// Its descriptor.
    pub fd: i32,
}

/// The new process can serve.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ready {
    /// Its version.
    pub version: String,
    /// The generation it will serve.
    pub generation: u64,
    /// The sockets it took, of those it was offered.
    pub taken: Vec<(Role, String)>,
}

/// Who else is to be looked after.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Go {
    /// Processes of earlier upgrades that still drain: the new one looks after them.
    pub elders: Vec<ElderEntry>,
}

/// A process that drains.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ElderEntry {
    /// Its process id.
    pub pid: u32,
    /// The descriptor of its channel.
    pub fd: i32,
    /// Seconds since 1970 of its upgrade.
    pub since: u64,
    /// What was read of its next message, in base64.
    #[serde(default)]
    pub begun: String,
}

/// One end.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    inbox: BytesMut,
    /// A message was sent in part.
    broken: bool,
}

impl Channel {
    /// A channel over a socket; `begun` was read of it before.
    ///
    /// # Errors
    /// The socket cannot be registered with the runtime.
    pub fn new(socket: OwnedFd, begun: &[u8]) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self {
            stream: UnixStream::from_std(socket)?,
            inbox: BytesMut::from(begun),
            broken: false,
        })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The other process is gone, or takes nothing for 20 s.
    pub async fn send(&mut self, message: &Message) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let length = u32::try_from(text.len())
            .ok()
            .filter(|length| *length as usize <= MAX_BYTES)
            .ok_or_else(|| io::Error::other("the message is too long"))?;
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let write = async {
            self.stream.write_all(&length.to_le_bytes()).await?;
            self.stream.write_all(&text).await
        };
        // Until it is whole: after half a message nothing else would be understood.
        self.broken = true;
        let sent = timeout(SEND, write).await;
        let sent = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        self.broken = sent.is_err();
        sent
    }

    /// The next message; none when the other process is gone. May be dropped and asked again: what was read stays.
    ///
    /// # Errors
    /// It is no message.
    pub async fn next(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some((length, rest)) = self.inbox.split_first_chunk::<4>() {
                let length = u32::from_le_bytes(*length) as usize;
                if length > MAX_BYTES {
                    return Err(io::Error::other("the message is too long"));
                }
                if let Some(text) = rest.get(..length) {
                    let message = serde_json::from_slice(text)?;
                    self.inbox.advance(4 + length);
                    return Ok(Some(message));
                }
                self.inbox.reserve(length);
            }
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The number that the process wrote before its first message, between fork and exec.
    ///
    /// # Errors
    /// Nothing came.
    pub async fn pid(&mut self) -> io::Result<u32> {
        while self.inbox.len() < 4 {
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.inbox.get_u32_ne())
    }

    /// False once the other process has closed its end, as its death does too. What it said before was read.
    pub fn is_open(&self) -> bool {
        let mut byte = [MaybeUninit::uninit(); 1];
        match SockRef::from(&self.stream).peek(&mut byte) {
            Ok(length) => length > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// The socket again, for a process that inherits it.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.stream.as_fd().try_clone_to_owned()
    }

    /// What was read of the next message.
    pub fn begun(&self) -> &[u8] {
        &self.inbox
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Channel, Channel) {
        let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        (
            Channel::new(a.into(), b"").unwrap(),
            Channel::new(b.into(), b"").unwrap(),
        )
    }

    #[tokio::test]
    async fn messages_arrive_whole_and_in_order() {
        let (mut old, mut new) = pair();
        let hello = Hello {
            version: "1".into(),
            sockets: (0..500)
                .map(|n| SocketEntry {
                    role: Role::Listener,
                    address: format!("127.0.0.1:{n}"),
                    fd: n,
                })
                .collect(),
            ..Hello::default()
        };
        let sent = tokio::spawn(async move {
            old.send(&Message::Hello(hello)).await.unwrap();
            old.send(&Message::Committed).await.unwrap();
        });
        let Some(Message::Hello(hello)) = new.next().await.unwrap() else {
            panic!("no hello");
        };
        assert_eq!(hello.sockets.len(), 500);
        assert!(matches!(
            new.next().await.unwrap(),
            Some(Message::Committed)
        ));
        sent.await.unwrap();
        assert!(new.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_end_of_the_other_side_is_seen() {
        let (mut old, mut new) = pair();
        assert!(old.is_open() && new.is_open());
        new.send(&Message::Serving).await.unwrap();
        assert!(old.is_open());
        let next = old.next().await.unwrap();
        assert!(matches!(next, Some(Message::Serving)));
        assert!(old.is_open());
        drop(new);
        assert!(!old.is_open());
    }

    #[tokio::test]
    async fn a_begun_message_goes_on_in_another_process() {
        let (mut draining, mut first) = pair();
        let text = serde_json::to_vec(&Message::Serving).unwrap();
        let mut frame = u32::try_from(text.len()).unwrap().to_le_bytes().to_vec();
        frame.extend(text);
        draining.stream.write_all(&frame[..7]).await.unwrap();
        let waited = timeout(Duration::from_millis(20), first.next()).await;
        assert!(waited.is_err());
        let begun = first.begun().to_vec();
        assert_eq!(begun, &frame[..7]);
        let socket = first.stream.into_std().unwrap();
        let mut second = Channel::new(socket.into(), &begun).unwrap();
        draining.stream.write_all(&frame[7..]).await.unwrap();
        let next = second.next().await.unwrap();
        assert!(matches!(next, Some(Message::Serving)));
    }

    #[tokio::test]
    async fn another_version_is_understood() {
        let (mut old, mut new) = pair();
        for text in [
            r#"{"kind":"dance","tempo":120}"#,
            r#"{"kind":"ready","version":"9","later":[1]}"#,
        ] {
            let length = u32::try_from(text.len()).unwrap();
            old.stream.write_all(&length.to_le_bytes()).await.unwrap();
            old.stream.write_all(text.as_bytes()).await.unwrap();
        }
        assert!(matches!(new.next().await.unwrap(), Some(Message::Unknown)));
        let Some(Message::Ready(ready)) = new.next().await.unwrap() else {
            panic!("no ready");
        };
        assert_eq!((ready.version.as_str(), ready.generation), ("9", 0));
    }

    #[tokio::test]
    async fn a_length_beyond_reason_is_refused() {
        let (mut old, mut new) = pair();
        old.stream.write_all(&[0xff; 8]).await.unwrap();
        assert!(new.next().await.is_err());
    }
}
