//! A node that keeps one certificate, as its configuration would have it, and what it did.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use farmgate::tls::Certificate;
use farmgate::tls::acme::{
    AcmeEvent, Asked, Challenge, Challenges, Orders, Pace, Settings, settings,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::pebble::Pebble;
use crate::harness::{eventually, soon};

/// Short, so that tests are: a killed holder is replaced after two seconds.
pub(super) const PACE: Pace = Pace {
    idle: Duration::from_millis(100),
    waiting: Duration::from_millis(50),
    term: Duration::from_secs(2),
};

/// What was asked of the authority; panics if it is wrong.
pub(super) fn settings(
    pebble: &Pebble,
    storage: &Path,
    challenge: Challenge,
    domains: &[&str],
) -> Settings {
    let (directory, ca) = (pebble.directory(), pebble.ca());
    let asked = Asked {
        directory: &directory,
        ca: Some(&ca),
        email: Some("ops@example.test"),
        terms_agreed: true,
        domains: domains.to_vec(),
        challenge,
        storage,
    };
    settings::check(&asked).expect("right settings")
}

/// A running node.
pub(super) struct Node {
    seen: Arc<Seen>,
    challenges: Arc<Challenges>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// Added to the clock, in seconds.
    ahead_s: AtomicI64,
    certificates: Mutex<Vec<Arc<Certificate>>>,
    events: Mutex<Vec<AcmeEvent>>,
}

impl Node {
    /// Starts one.
    pub(super) fn start(settings: Settings, name: &str) -> Self {
        Self::start_ahead(settings, name, 0)
    }

    /// Starts one whose clock is ahead by so many seconds.
    pub(super) fn start_ahead(settings: Settings, name: &str, ahead_s: i64) -> Self {
        let seen = Arc::new(Seen::default());
        seen.ahead_s.store(ahead_s, Ordering::Relaxed);
        let clock = Arc::clone(&seen);
        let orders = Orders::new(settings, "auto", name)
            .with_pace(PACE)
            .with_clock(move || now() + clock.ahead_s.load(Ordering::Relaxed));
        let challenges = Arc::clone(orders.challenges());
        let (stop, stopped) = oneshot::channel::<()>();
        let (served, told) = (Arc::clone(&seen), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let publish = move |certificate| served.certificates.lock().unwrap().push(certificate);
            let events = move |event| told.events.lock().unwrap().push(event);
            let stop = async {
                let _ = stopped.await;
            };
            orders.run(publish, events, stop).await;
        });
        Self {
            seen,
            challenges,
            stop: Some(stop),
            task,
        }
    }

    /// What it would answer the authority.
    pub(super) fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// What it serves.
    pub(super) fn served(&self) -> Option<Arc<Certificate>> {
        self.seen.certificates.lock().unwrap().last().cloned()
    }

    /// Everything it ever served, in order.
    pub(super) fn all_served(&self) -> Vec<Arc<Certificate>> {
        self.seen.certificates.lock().unwrap().clone()
    }

    /// What happened so far.
    pub(super) fn events(&self) -> Vec<AcmeEvent> {
        self.seen.events.lock().unwrap().clone()
    }

    /// Moves its clock.
    pub(super) fn ahead(&self, by: Duration) {
        let by = i64::try_from(by.as_secs()).unwrap();
        self.seen.ahead_s.fetch_add(by, Ordering::Relaxed);
    }

    /// Waits for an event for which `wanted` gives something.
    pub(super) async fn hears<T>(&self, what: &str, wanted: impl Fn(&AcmeEvent) -> Option<T>) -> T {
        let what = format!("{what} in {:?}", self.events());
        eventually(&what, || async { self.events().iter().find_map(&wanted) }).await
    }

    /// Waits until it has ordered its first certificate.
    pub(super) async fn ordered(&self) -> Arc<Certificate> {
        self.hears("an order", |event| {
            matches!(event, AcmeEvent::Ordered { .. }).then_some(())
        })
        .await;
        self.served().expect("a certificate")
    }

    /// Waits until it has said when it tries next.
    pub(super) async fn rests(&self) -> i64 {
        self.hears("a rest", |event| match event {
            AcmeEvent::NextAttempt { at } => Some(*at),
            _ => None,
        })
        .await
    }

    /// Stops it and waits for its end.
    pub(super) async fn stop(mut self) -> Vec<AcmeEvent> {
        drop(self.stop.take());
        soon("the end of the task", &mut self.task)
            .await
            .expect("no panic");
        self.events()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
