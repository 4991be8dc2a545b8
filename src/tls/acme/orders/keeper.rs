//! The turns of the task: look at the storage, decide, order or wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::attempt::Outcome;
use super::{AcmeEvent, Orders};
use crate::tls::acme::account::on_disk;
use crate::tls::acme::error::AcmeError;
use crate::tls::acme::renewal::{self, Due, Facts, Why, Window};
use crate::tls::acme::storage::lease::{Attempt, Claim, Lease};
use crate::tls::acme::storage::record::{Record, Stored};
use crate::tls::certificate::Certificate;

/// How long until an authority that gave no answer about renewal is asked again, in seconds.
const ASK_AGAIN_S: i64 = 6 * 3_600;
/// The same for one that does not say such things.
const ASK_LATER_S: i64 = 86_400;
/// Storage that does not answer for so long is reported; the task goes on waiting for it.
const SLOW_DISK: Duration = Duration::from_secs(30);

/// What a node knows between two turns.
pub(super) struct Keeper<'a, P, E> {
    orders: &'a Orders,
    publish: &'a P,
    events: &'a E,
    /// Ours, for exactly these names.
    served: Option<Stored>,
    /// A stored order that cannot be served, so that this is said once.
    broken: Option<String>,
    /// A certificate for other names is served.
    is_borrowed: bool,
    window: Option<Window>,
    /// When to ask for the window.
    ask_at: i64,
    claim: Option<Claim>,
    waiting_for: Option<String>,
    /// After a failure that could not be stored.
    held_back: Option<i64>,
    announced: Option<i64>,
    /// A failure was told, and not yet that it is over.
    told: AtomicBool,
    /// The last question about renewal failed.
    unanswered: bool,
}

impl<'a, P, E> Keeper<'a, P, E>
where
    P: Fn(Arc<Certificate>) + Send + Sync,
    E: Fn(AcmeEvent) + Send + Sync,
{
    pub(super) fn new(orders: &'a Orders, publish: &'a P, events: &'a E) -> Self {
        Self {
            orders,
            publish,
            events,
            served: None,
            broken: None,
            is_borrowed: false,
            window: None,
            ask_at: i64::MIN,
            claim: None,
            waiting_for: None,
            held_back: None,
            announced: None,
            told: false.into(),
            unanswered: false,
        }
    }

    /// Turns without end.
    pub(super) async fn run(&mut self) {
        loop {
            let pause = match self.turn().await {
                Ok(pause) => pause,
                Err(error) => {
                    self.fail(error, 0);
                    self.orders.pace.idle
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// One turn; how long to pause after it.
    async fn turn(&mut self) -> Result<Duration, AcmeError> {
        let record = self.load().await?;
        if let Due::At(_) = self.due(&record) {
            self.ask().await;
        }
        let at = match self.due(&record) {
            Due::Now(_) => match self.claim().await? {
                None => return Ok(self.orders.pace.waiting),
                Some(lease) => self.under_lease(lease).await?,
            },
            Due::At(at) => {
                self.fine(&record);
                Some(at)
            }
        };
        self.waiting_for = None;
        let Some(at) = at else {
            return Ok(Duration::ZERO);
        };
        if self.announced != Some(at) {
            self.announced = Some(at);
            (self.events)(AcmeEvent::NextAttempt { at });
        }
        let left = u64::try_from(at.saturating_sub(self.now())).unwrap_or(0);
        // Not zero: what is due in this very second is done in the next turn.
        let left = Duration::from_secs(left.max(1));
        Ok(left.min(self.orders.pace.idle))
    }

    /// Looks whether there is a certificate that is not served yet.
    async fn load(&mut self) -> Result<Record, AcmeError> {
        let place = self.orders.place.clone();
        let served = self.served.as_ref().map(|served| served.version.clone());
        let broken = self.broken.clone();
        let (record, opened) = self
            .disk(move || {
                let record = place.record()?;
                let fresh = |version: &&String| {
                    Some(*version) != served.as_ref() && Some(*version) != broken.as_ref()
                };
                let version = record.version.as_ref().filter(fresh);
                let opened = version.map(|version| (version.clone(), place.open(version)));
                Ok((record, opened))
            })
            .await?;
        match opened {
            Some((_, Ok(stored))) => {
                let not_after = stored.life.not_after;
                self.serve(stored);
                (self.events)(AcmeEvent::Loaded { not_after });
            }
            Some((version, Err(error))) => {
                self.broken = Some(version);
                self.fail(error, 0);
            }
            None => {}
        }
        if self.served.is_none() && !self.is_borrowed {
            self.borrow().await?;
        }
        Ok(record)
    }

    async fn borrow(&mut self) -> Result<(), AcmeError> {
        let (place, now) = (self.orders.place.clone(), self.now());
        let found = self.disk(move || Ok(place.neighbour(now))).await?;
        // Found or not, it is looked for once.
        self.is_borrowed = true;
        if let Some(found) = found {
            (self.publish)(found.certificate);
            let not_after = found.life.not_after;
            (self.events)(AcmeEvent::Borrowed { not_after });
        }
        Ok(())
    }

    fn serve(&mut self, stored: Stored) {
        (self.publish)(Arc::clone(&stored.certificate));
        self.served = Some(stored);
        self.window = None;
        self.ask_at = i64::MIN;
        self.held_back = None;
        self.announced = None;
        self.broken = None;
    }

    fn due(&self, record: &Record) -> Due {
        let own = self.orders.settings.digest();
        let is_same = record.tried_with.as_ref() == Some(&own);
        let noted = record.next_attempt.filter(|_| is_same);
        let version = self.served.as_ref().map(|served| served.version.as_str());
        let id = self.orders.place.id();
        let facts = Facts {
            life: self.served.as_ref().map(|served| served.life),
            window: self.window,
            next_attempt: noted.max(self.held_back),
            seed: renewal::seed(&self.orders.node, version.unwrap_or(id)),
        };
        renewal::due(&facts, self.now())
    }

    /// Asks the authority when it wants the certificate renewed.
    async fn ask(&mut self) {
        let Some(served) = &self.served else { return };
        let now = (self.orders.clock)();
        if now < self.ask_at {
            return;
        }
        let answer = self.orders.renewal_info(&served.certificate).await;
        self.unanswered = answer.is_err();
        match answer {
            Ok(Some((window, again_s))) => {
                self.window = Some(window);
                let again_s = i64::try_from(again_s).unwrap_or(ASK_LATER_S);
                self.ask_at = now.saturating_add(again_s);
            }
            Ok(None) => {
                self.window = None;
                self.ask_at = now.saturating_add(ASK_LATER_S);
            }
            Err(error) => {
                self.ask_at = now.saturating_add(ASK_AGAIN_S);
                self.fail(error, 0);
            }
        }
    }

    /// The lease, or nothing while another node has it.
    async fn claim(&mut self) -> Result<Option<Lease>, AcmeError> {
        let orders = self.orders;
        let mut claim = self.claim.take().unwrap_or_else(|| {
            let id = orders.place.id();
            Claim::new(&orders.storage, id, &orders.node, orders.pace.term)
        });
        let (now, storage) = (self.now(), orders.storage.clone());
        let (claim, attempt) = self
            .disk(move || {
                storage.make()?;
                let attempt = claim.attempt(now, Instant::now());
                Ok((claim, attempt))
            })
            .await?;
        self.claim = Some(claim);
        match attempt? {
            Attempt::Held(lease) => Ok(Some(lease)),
            Attempt::Busy(holder) => {
                if self.waiting_for.as_ref() != Some(&holder) {
                    self.waiting_for = Some(holder.clone());
                    (self.events)(AcmeEvent::WaitingForOtherNode { holder });
                }
                Ok(None)
            }
        }
    }

    /// Orders, unless the node that had the lease before has done so; when the next attempt is, if that is known.
    async fn under_lease(&mut self, lease: Lease) -> Result<Option<i64>, AcmeError> {
        let record = self.load().await?;
        match self.due(&record) {
            Due::At(at) => {
                self.disk(move || {
                    drop(lease);
                    Ok(())
                })
                .await?;
                return Ok(Some(at));
            }
            Due::Now(Why::Missing | Why::Age | Why::Suggested) => {}
        }
        let served = self.served.clone();
        match self.orders.attempt(lease, record, served.as_ref()).await {
            Outcome::Stored(stored) => {
                let not_after = stored.life.not_after;
                let is_first = self.served.is_none();
                self.serve(stored);
                (self.events)(if is_first {
                    AcmeEvent::Ordered { not_after }
                } else {
                    AcmeEvent::Renewed { not_after }
                });
                Ok(None)
            }
            Outcome::Failed {
                error,
                failures,
                next_attempt,
            } => {
                self.held_back = Some(next_attempt);
                self.fail(error, failures);
                Ok(Some(next_attempt))
            }
        }
    }

    /// Nothing is wrong any more, unless something waits for its next attempt.
    fn fine(&mut self, record: &Record) {
        let waits = record.failures > 0 || self.held_back.is_some();
        let is_fine = !waits && self.broken.is_none() && !self.unanswered;
        if is_fine && std::mem::take(self.told.get_mut()) {
            (self.events)(AcmeEvent::Fine);
        }
    }

    fn fail(&self, error: AcmeError, failures: u32) {
        self.told.store(true, Ordering::Relaxed);
        (self.events)(AcmeEvent::Failed { error, failures });
    }

    fn now(&self) -> i64 {
        (self.orders.clock)()
    }

    /// Work with files. A storage that hangs is said to; then it is waited for, so that no second thread hangs there.
    async fn disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AcmeError> + Send + 'static,
    ) -> Result<T, AcmeError> {
        let mut work = std::pin::pin!(on_disk(work));
        match tokio::time::timeout(SLOW_DISK, &mut work).await {
            Ok(done) => done?,
            Err(_) => {
                let text = format!("no answer for {} s", SLOW_DISK.as_secs());
                let stage = crate::tls::acme::error::Stage::Storage;
                self.fail(AcmeError::new(stage, text), 0);
                work.await?
            }
        }
    }
}
