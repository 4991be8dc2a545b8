//! One attempt, under the lease: the account, the order, and its result in the storage.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::Orders;
use crate::tls::acme::account::{Accounts, on_disk};
use crate::tls::acme::authority::{Authority, Issued, Refusal};
use crate::tls::acme::error::{AcmeError, Stage};
use crate::tls::acme::renewal::{self, Window};
use crate::tls::acme::storage::lease::Lease;
use crate::tls::acme::storage::record::{Record, Stored};
use crate::tls::acme::transport::Transport;
use crate::tls::certificate::Certificate;

/// Longest time of an attempt; a hundred names at a slow authority take minutes.
const ATTEMPT: Duration = Duration::from_secs(900);

/// What an attempt under the lease led to.
pub(super) enum Outcome {
    /// Ordered, stored.
    Stored(Stored),
    /// Failed, and noted in the storage for all nodes.
    Failed {
        error: AcmeError,
        failures: u32,
        next_attempt: i64,
    },
}

impl Orders {
    /// Orders, and notes what came of it. `record` is what the storage said under the lease.
    pub(super) async fn attempt(
        &self,
        mut lease: Lease,
        record: Record,
        old: Option<&Stored>,
    ) -> Outcome {
        let certificate = old.map(|old| Arc::clone(&old.certificate));
        let work = guarded(Stage::Order, ATTEMPT, self.order(certificate.as_deref()));
        let mut work = std::pin::pin!(work);
        let issued = loop {
            tokio::select! {
                issued = &mut work => break issued,
                () = tokio::time::sleep(lease.renewal_interval()) => {
                    let now = (self.clock)();
                    let renewed = on_disk(move || {
                        let renewed = lease.renew(now, Instant::now());
                        (lease, renewed)
                    })
                    .await;
                    match renewed {
                        // A failure of files may pass before the lease ends.
                        Ok((held, Ok(true) | Err(_))) => lease = held,
                        Ok((held, Ok(false))) => {
                            lease = held;
                            let lost = "another node has taken the lease over";
                            break Err(AcmeError::new(Stage::Storage, lost));
                        }
                        Err(error) => return self.failed_here(error, &record),
                    }
                }
            }
        };
        let life = old.map(|old| old.life);
        let now = (self.clock)();
        match issued {
            Ok(issued) => {
                let noted = record.clone();
                match self.store(lease, issued, now).await {
                    Ok(stored) => Outcome::Stored(stored),
                    Err(error) => self.failed_here(error, &noted),
                }
            }
            Err(error) => {
                let failures = record.failures.saturating_add(1);
                let seed = renewal::seed(&self.node, self.place.id());
                let wait = renewal::retry_delay_s(failures, error.retry_after_s, life, now, seed);
                let next_attempt = now.saturating_add(wait);
                let record = Record {
                    failures,
                    last_error: Some(error.to_string()),
                    next_attempt: Some(next_attempt),
                    tried_with: Some(self.settings.digest()),
                    ..record
                };
                let place = self.place.clone();
                // Should this fail, the caller's own memory holds the next attempt back.
                let _ = on_disk(move || {
                    if lease.is_held(Instant::now()).unwrap_or(false) {
                        let _ = place.save(&record);
                    }
                })
                .await;
                Outcome::Failed {
                    error,
                    failures,
                    next_attempt,
                }
            }
        }
    }

    /// A failure that could not be noted for the others.
    fn failed_here(&self, error: AcmeError, record: &Record) -> Outcome {
        let failures = record.failures.saturating_add(1);
        let seed = renewal::seed(&self.node, self.place.id());
        let now = (self.clock)();
        Outcome::Failed {
            error,
            failures,
            next_attempt: now
                .saturating_add(renewal::retry_delay_s(failures, None, None, now, seed)),
        }
    }

    async fn store(&self, mut lease: Lease, issued: Issued, now: i64) -> Result<Stored, AcmeError> {
        let (place, node) = (self.place.clone(), self.node.clone());
        let domains = self.settings.domains.clone();
        on_disk(move || {
            if !lease.is_held(Instant::now())? {
                let lost = "another node has taken the lease over; its certificate counts";
                return Err(AcmeError::new(Stage::Storage, lost));
            }
            place.replace(issued.chain.as_bytes(), &issued.key, now, |stored| Record {
                domains,
                version: Some(stored.version.clone()),
                ordered_at: Some(now),
                not_after: Some(stored.life.not_after),
                renew_at: Some(renewal::by_age(
                    stored.life,
                    renewal::seed(&node, &stored.version),
                )),
                ordered_by: Some(node),
                ..Record::default()
            })
        })
        .await?
    }

    async fn order(&self, old: Option<&Certificate>) -> Result<Issued, AcmeError> {
        let transport = self.transport().await?;
        let accounts = self.accounts(&transport);
        let mut lost = None;
        for _ in 0..2 {
            let authority = Authority {
                account: accounts.open().await?,
                transport: &transport,
                settings: &self.settings,
                challenges: &self.challenges,
            };
            match authority.order(old.map(Certificate::leaf)).await {
                Ok(issued) => return Ok(issued),
                Err(Refusal::Failed(error)) => return Err(error),
                Err(Refusal::UnknownAccount(error)) => {
                    accounts.forget().await?;
                    lost = Some(error);
                }
            }
        }
        Err(lost.unwrap_or_else(|| AcmeError::new(Stage::Account, "the account is unknown")))
    }

    /// When the authority wants the certificate renewed, and in how many seconds to ask again.
    pub(super) async fn renewal_info(
        &self,
        certificate: &Certificate,
    ) -> Result<Option<(Window, u64)>, AcmeError> {
        let ask = async {
            let transport = self.transport().await?;
            let Some(account) = self.accounts(&transport).load().await? else {
                return Ok(None);
            };
            let authority = Authority {
                account,
                transport: &transport,
                settings: &self.settings,
                challenges: &self.challenges,
            };
            authority.renewal_info(certificate.leaf()).await
        };
        guarded(Stage::RenewalInfo, Duration::from_secs(120), ask)
            .await
            .map_err(|error| AcmeError {
                stage: Stage::RenewalInfo,
                ..error
            })
    }

    async fn transport(&self) -> Result<Transport, AcmeError> {
        let ca = self.settings.ca.clone();
        on_disk(move || Transport::new(ca.as_deref())).await?
    }

    fn accounts<'a>(&'a self, transport: &'a Transport) -> Accounts<'a> {
        Accounts {
            settings: &self.settings,
            storage: &self.storage,
            transport,
            node: &self.node,
            clock: &self.clock,
        }
    }
}

/// Work with an end, that takes nobody with it: the library expects some things of an authority's answers that a
/// broken one does not keep.
async fn guarded<T>(
    stage: Stage,
    most: Duration,
    work: impl Future<Output = Result<T, AcmeError>>,
) -> Result<T, AcmeError> {
    let work = AssertUnwindSafe(Box::pin(work)).catch_unwind();
    match tokio::time::timeout(most, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(AcmeError::new(
            stage,
            "the authority's answer cannot be understood",
        )),
        Err(_) => Err(AcmeError::new(
            stage,
            format!("not done within {} s", most.as_secs()),
        )),
    }
}
