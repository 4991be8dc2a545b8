//! What the service manager is told (sd_notify(3)): readiness, who the main process is, what it does, that it is
//! alive; and the listening sockets it keeps for us, so that a crash refuses no connection.
//!
//! Without `NOTIFY_SOCKET` all of this does nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;
use sha2::Digest as _;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Longest line of status: systemd shows one line, and a datagram has an end.
const STATUS_BYTES: usize = 1000;
/// Datagrams that wait for the service manager: one for each of very many listeners.
const QUEUED: usize = 4096;
/// How long a service manager may be busy with other things.
const HEARD: Duration = Duration::from_secs(5);

/// The service is up.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
}

/// What it does, for `systemctl status`.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&line(status))]);
}

/// Another process is the service from now on. One datagram: systemd never sees one without the other.
pub fn hand_over(pid: u32, status: &str) {
    tell(&[
        NotifyState::MainPid(pid),
        NotifyState::Ready,
        NotifyState::Status(&line(status)),
    ]);
}

/// Waits until the service manager has read all that it was told, for at most [`HEARD`].
pub async fn heard() {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    // It closes what comes with this message when its turn has come (sd_notify_barrier(3)).
    let asked = UnixStream::pair().and_then(|(ours, theirs)| Ok((ours, theirs.into_std()?)));
    let heard = match asked {
        Ok((mut closed, theirs)) => {
            say(&[NotifyState::Custom("BARRIER=1")], Some(theirs.into()));
            timeout(HEARD, closed.read_u8()).await
        }
        Err(error) => return log::warn!("the service manager cannot be told: {error}"),
    };
    if heard.is_err() {
        log::warn!(
            "the service manager has not read what it was told for {} s",
            HEARD.as_secs()
        );
    }
}

/// The service goes down. `within` is how long systemd is to wait for the next word from us.
pub fn stopping(status: &str, within: Duration) {
    tell(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(micros(within)),
        NotifyState::Status(&line(status)),
    ]);
}

/// Keeps a listening socket over a crash. Told again, the same socket is kept once.
pub fn store(address: &str, socket: BorrowedFd<'_>) {
    let name = stored_name(address);
    let states = [NotifyState::FdStore, NotifyState::FdName(&name)];
    match socket.try_clone_to_owned() {
        Ok(socket) => say(&states, Some(socket)),
        Err(error) => {
            log::warn!("the service manager does not keep the socket of {address}: {error}");
        }
    }
}

/// Keeps the socket of this address no longer: with nobody to accept there, clients would connect and hang.
pub fn forget(address: &str) {
    forget_name(&stored_name(address));
}

/// The same by the name it is kept under.
pub fn forget_name(name: &str) {
    tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
}

/// Says that we are alive, as long as every thread that serves makes progress: it sleeps, or it has worked since the
/// last look. A thread that hangs for the whole time of the watchdog ends in a restart by systemd.
pub async fn watchdog(serving: Handle) {
    let Some(period) = sd_notify::watchdog_enabled().filter(|period| !period.is_zero()) else {
        return;
    };
    let mut threads = Threads::new(serving);
    let mut looks = interval(period / 3);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        match threads.stuck() {
            None => tell(&[NotifyState::Watchdog]),
            Some(thread) => log::error!(
                "serving thread {thread} has made no progress for {:.1} s; systemd restarts the service if that goes on",
                (period / 3).as_secs_f64()
            ),
        }
    }
}

/// The progress of the serving threads.
struct Threads {
    serving: Handle,
    /// Of each thread, at the last look: how often it went to sleep and woke, and how long it worked.
    seen: Vec<(u64, Duration)>,
}

impl Threads {
    fn new(serving: Handle) -> Self {
        let seen = vec![(u64::MAX, Duration::ZERO); serving.metrics().num_workers()];
        Self { serving, seen }
    }

    /// A thread that is awake and has done nothing since the last look. Its time at work counts on every few dozen
    /// tasks, so a busy thread moves.
    fn stuck(&mut self) -> Option<usize> {
        let metrics = self.serving.metrics();
        let mut stuck = None;
        for (thread, seen) in self.seen.iter_mut().enumerate() {
            let parks = metrics.worker_park_unpark_count(thread);
            let now = (parks, metrics.worker_total_busy_duration(thread));
            // Odd: it sleeps.
            if parks.is_multiple_of(2) && *seen == now {
                stuck = Some(thread);
            }
            *seen = now;
        }
        stuck
    }
}

fn tell(states: &[NotifyState<'_>]) {
    say(states, None);
}

/// A datagram on its way to the service manager.
struct Said {
    states: String,
    socket: Option<OwnedFd>,
}

/// Sends one datagram, in the order of the calls. It never waits: a service manager that does not read would else stop
/// whoever tells it something, and with it the node.
fn say(states: &[NotifyState<'_>], socket: Option<OwnedFd>) {
    static QUEUE: LazyLock<Option<SyncSender<Said>>> = LazyLock::new(|| {
        let (queue, said) = sync_channel(QUEUED);
        let thread = std::thread::Builder::new().name("farmgate-notify".to_owned());
        let spawned = thread.spawn(move || said.iter().for_each(|said| send(&said)));
        spawned.is_ok().then_some(queue)
    });
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let states: Vec<String> = states.iter().map(ToString::to_string).collect();
    let said = Said {
        states: states.join("\n"),
        socket,
    };
    let queued = QUEUE.as_ref().map(|queue| queue.try_send(said));
    if !matches!(queued, Some(Ok(()))) {
        log::warn!("the service manager reads too slowly: it is not told of everything");
    }
}

/// Waits until the service manager takes it.
fn send(said: &Said) {
    let states = [NotifyState::Custom(&said.states)];
    let sent = match &said.socket {
        Some(socket) => sd_notify::notify_with_fds(&states, &[socket.as_fd()]),
        None => sd_notify::notify(&states),
    };
    if let Err(error) = sent {
        log::warn!("the service manager cannot be told: {error}");
    }
}

/// One line, of a length that fits.
fn line(text: &str) -> String {
    let mut line: String = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ");
    if line.len() > STATUS_BYTES {
        line.truncate(line.floor_char_boundary(STATUS_BYTES));
        line.push_str("...");
    }
    line
}

/// How much of an address stands in a name.
const MAX_NAME: usize = 200;

/// A name that systemd takes: no colon, at most 255 bytes.
fn stored_name(address: &str) -> String {
    let clean: String = address
        .chars()
        .map(|c| match c {
            '0'..='9' | 'a'..='z' | 'A'..='Z' | '.' | '-' | '_' | '/' | '[' | ']' => c,
            _ => '_',
        })
        .collect();
    // What was replaced still tells two addresses apart.
    let digest = sha2::Sha256::digest(address.as_bytes());
    let digest: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
    let clean = clean.get(..MAX_NAME).unwrap_or(&clean);
    format!("farmgate-{clean}-{digest}")
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_addresses_differ_and_are_allowed() {
        let addresses = [
            "127.0.0.1:80",
            "127.0.0.1:8080",
            "[::1]:80",
            "unix:/run/farmgate/web.sock",
        ];
        let mut names: Vec<_> = addresses.into_iter().map(stored_name).collect();
        assert!(
            names
                .iter()
                .all(|name| !name.contains(':') && name.len() < 255)
        );
        names.dedup();
        assert_eq!(names.len(), addresses.len());
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(
            line("upgrade failed:\n  a.toml:3: wrong\n\n"),
            "upgrade failed:; a.toml:3: wrong"
        );
        assert!(line(&"ä".repeat(5000)).len() <= STATUS_BYTES + 3);
    }

    #[test]
    fn a_thread_that_hangs_is_seen() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let mut threads = Threads::new(runtime.handle().clone());
        let (hang, release) = std::sync::mpsc::channel::<()>();
        let (running, ran) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            running.send(()).unwrap();
            // A task that blocks its thread: what the watchdog is for.
            let _ = release.recv();
        });
        ran.recv().unwrap();
        threads.stuck();
        assert_eq!(threads.stuck(), Some(0));
        drop(hang);
        let slept = || runtime.metrics().worker_park_unpark_count(0) % 2 == 1;
        while !slept() {
            std::thread::yield_now();
        }
        assert_eq!(threads.stuck(), None);
        assert_eq!(threads.stuck(), None);
    }
}
