//! The new process: it meets the old one, gets ready without touching a client, and takes over.

use std::collections::BTreeMap;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::channel::{Channel, Go, Hello, Message, Ready, Role};
use super::moved::records::Incoming;
use super::moved::{self, World};
use super::{folders, relay, selfcheck, spawn};
use crate::server::{Server, inherit, systemd};
use crate::telemetry::clock;

/// How long the old process may take to say what it hands over: it has it at hand.
const HELLO: Duration = Duration::from_secs(20);
/// How long it may take to tell the service manager.
const COMMIT: Duration = Duration::from_secs(20);

/// The old process, as the new one sees it.
pub struct Heir {
    channel: Channel,
    /// What it hands over.
    pub hello: Hello,
    /// The channels to older processes, by their numbers.
    elders: BTreeMap<RawFd, OwnedFd>,
}

/// How the old process let go.
enum Word {
    Go(Go, Incoming),
    /// It died first.
    Gone,
}

impl Heir {
    /// Meets the old process, if this one was started to take over from one.
    ///
    /// # Errors
    /// There should be one, and it does not speak.
    pub async fn meet() -> Result<Option<Self>, String> {
        let Ok(number) = std::env::var(spawn::CHANNEL) else {
            return Ok(None);
        };
        let socket = inherit::channel(&number).ok_or_else(|| {
            format!(
                "{}={number} names no open socket: it is set by an upgrade, by nobody else",
                spawn::CHANNEL
            )
        })?;
        let mut channel = Channel::new(socket, b"").map_err(|error| error.to_string())?;
        let hello = async {
            loop {
                match channel.next().await {
                    Ok(Some(Message::Hello(hello))) => return Ok(hello),
                    Ok(Some(_)) => {}
                    Ok(None) => return Err("the old process ended".to_owned()),
                    Err(error) => return Err(format!("the old process: {error}")),
                }
            }
        };
        let hello = timeout(HELLO, hello)
            .await
            .unwrap_or_else(|_| Err("the old process says nothing".to_owned()))?;
        log::info!("taking over from process {} ({})", hello.pid, hello.version);
        // They close on exec from here on, whether or not their processes are still there when it is our turn.
        let elders = hello.elders.iter();
        let elders = elders.filter_map(|fd| Some((*fd, inherit::channel_of(*fd)?)));
        Ok(Some(Self {
            channel,
            elders: elders.collect(),
            hello,
        }))
    }

    /// Tells the old process that nothing comes of it.
    pub async fn fail(mut self, why: &str) {
        let why = why.to_owned();
        // If it does not listen, it sees our end.
        let _ = self.channel.send(&Message::Failed { why }).await;
    }

    /// Everything is loaded and bound. Waits for the word, takes the state, and serves. Returns when the service
    /// manager knows.
    ///
    /// # Errors
    /// This process cannot serve.
    pub async fn take_over(mut self, server: &Arc<Server>) -> Result<(), (Self, String)> {
        if let Err(why) = selfcheck::look(server).await {
            return Err((self, why));
        }
        let ready = Message::Ready(Ready {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: server.node.current.load().generation,
            taken: self.taken(server),
        });
        // An old process that is gone is seen below.
        let _ = self.channel.send(&ready).await;
        let word = self.word().await;
        let mut elders = None;
        if let Word::Go(go, state) = word {
            log::info!("{}", moved::give(&World::of(server), state));
            folders::take(server, true).await;
            elders = Some(go.elders);
        } else {
            log::warn!("the old process is gone: taking over without its state");
            folders::take(server, false).await;
        }
        if let Err(error) = server.serve() {
            return Err((self, format!("the operators' sockets: {error}")));
        }
        let node = Arc::clone(server);
        server
            .upgrades
            .elders
            .listen(Box::new(move |message, letters| {
                let node = Arc::clone(&node);
                tokio::spawn(async move {
                    if let Some(answer) = relay::hear_elder(&node, message).await {
                        // Without room it is taken for silent.
                        let _ = letters.put(answer);
                    }
                });
            }));
        if let Some(elders) = elders {
            self.committed(server).await;
            // Not before: what is read of their channels would be lost to the old process, should this one fail.
            let channels = std::mem::take(&mut self.elders);
            server.upgrades.elders.adopt(&elders, channels);
        }
        // Only now: what we count includes all that the old process has shown to operators.
        server.operators.release();
        server.history.lock().settle();
        self.store(server);
        folders::follow_elders(server);
        // All others are known: from now on they hear of what changes, and now of what has.
        server.upgrades.relay.serve();
        Ok(())
    }

    /// The sockets that this process took, as the old one named them.
    fn taken(&self, server: &Server) -> Vec<(Role, String)> {
        let listeners = server.listeners.lock();
        let operators = server.operators.sockets();
        self.hello
            .sockets
            .iter()
            .filter(|entry| match entry.role {
                Role::Listener => listeners
                    .sockets()
                    .any(|(address, _)| address.to_string() == entry.address),
                role => operators
                    .iter()
                    .any(|(one, address, _)| *one == role && *address == entry.address),
            })
            .map(|entry| (entry.role, entry.address.clone()))
            .collect()
    }

    /// The old process gives up on us by killing us, so this may wait for ever.
    async fn word(&mut self) -> Word {
        let mut state = Incoming::default();
        loop {
            match self.channel.next().await {
                Ok(Some(Message::State(chunk))) => state.add(chunk, Instant::now()),
                Ok(Some(Message::Go(go))) => return Word::Go(go, state),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Word::Gone,
            }
        }
    }

    /// Says that we serve, and waits until the service manager knows us.
    async fn committed(&mut self, server: &Arc<Server>) {
        let commit = async {
            self.channel.send(&Message::Serving).await?;
            loop {
                match self.channel.next().await? {
                    Some(Message::Committed) => return Ok(()),
                    Some(Message::Progress { counted, .. }) => {
                        moved::add_counted(&server.node.metrics, counted);
                    }
                    Some(_) => {}
                    None => return Err(std::io::Error::other("it ended")),
                }
            }
        };
        match timeout(COMMIT, commit).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                log::error!("the old process did not tell the service manager: {error}")
            }
            Err(_) => log::error!("the old process does not tell the service manager"),
        }
    }

    /// The service manager keeps our sockets from now on, and those no longer that nobody accepts on.
    fn store(self, server: &Arc<Server>) {
        let listeners = server.listeners.lock();
        listeners.store();
        for entry in &self.hello.sockets {
            let kept = || {
                let mut ours = listeners.sockets();
                ours.any(|(address, _)| address.to_string() == entry.address)
            };
            if entry.role == Role::Listener && !kept() {
                systemd::forget(&entry.address);
            }
        }
        drop(listeners);
        let (pid, now) = (self.hello.pid, clock::unix_ms() / 1000);
        server.upgrades.elders.add(pid, now, self.channel);
    }
}
