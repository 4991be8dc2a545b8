//! Deciding about a request by the login it brings along.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::services::{Clock, Counter, CounterBy, Offload};
use farmgate_plugin_api::{
    Answer, Credential, Facts, Filter, FilterError, Phases, Reply, Services, Source, Verdict,
};
use http::{HeaderValue, StatusCode, header};
use zeroize::Zeroizing;

use super::flights::{Bounds, Check, Checked, Flights};
use super::login::{Login, NoLogin};
use super::users::{User, Users};
use super::verdicts::{Claimed, Ticket, Verdicts};

/// When a client may come back if there was no room to check its password.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

const CREDENTIALS: &[Credential] = &[Credential::Header(header::AUTHORIZATION)];

/// Lets in who knows a password.
pub(super) struct BasicAuthFilter {
    pub(super) challenge: HeaderValue,
    pub(super) users: Arc<ArcSwap<Users>>,
    pub(super) verdicts: Arc<Verdicts>,
    pub(super) flights: Arc<Flights>,
    pub(super) cache_ttl: Duration,
    pub(super) max_cached: usize,
    pub(super) bounds: Bounds,
    pub(super) keep_credential: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) offload: Arc<dyn Offload>,
    pub(super) metrics: Metrics,
}

/// What is counted.
pub(super) struct Metrics {
    allowed: Arc<dyn Counter>,
    refused: Arc<dyn CounterBy>,
    checks: Arc<dyn Counter>,
    evicted: Arc<dyn Counter>,
}

/// The words that `refused` counts by.
const REASONS: [&str; 5] = [
    "missing",
    "malformed",
    "unknown_user",
    "wrong_password",
    "busy",
];

impl Metrics {
    pub(super) fn new(services: &dyn Services) -> Self {
        let help = "Requests that were refused.";
        let refused = services.counter_by("refused", help, "reason", REASONS.len());
        // Named now, so that they show from the start and go on over a reload.
        REASONS.iter().for_each(|reason| refused.add(reason, 0));
        Self {
            allowed: services.counter("allowed", "Requests with a right password."),
            refused,
            checks: services.counter("checks", "Passwords that were checked against a hash."),
            evicted: services.counter(
                "evicted",
                "Right passwords that were forgotten before their time, to make room for others.",
            ),
        }
    }
}

impl Filter for BasicAuthFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    fn credentials(&self) -> &[Credential] {
        CREDENTIALS
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let login = match Login::read(request.headers()) {
            Ok(login) => login,
            Err(NoLogin::Missing) => return Answer::Now(self.refuse("missing", "login_missing")),
            Err(NoLogin::Malformed) => {
                return Answer::Now(self.refuse("malformed", "login_refused"));
            }
        };
        let users = self.users.load();
        let known = users.find(login.user());
        // An unknown user costs what a known one does: a hash is checked, of somebody else.
        let stand_in = || users.stand_in(self.verdicts.spread(login.user()));
        let Some(user) = known.or_else(stand_in) else {
            return Answer::Now(self.refuse("unknown_user", "login_refused"));
        };
        let claimed = Claimed {
            user,
            unknown: known.is_none().then(|| login.user()),
        };
        let is_known = known.is_some();
        let ticket = self.verdicts.login(&claimed, login.password());
        match self.verdicts.find(ticket, self.clock.now()) {
            Some(true) => Answer::Now(self.settle(request, user, is_known, Checked::Right)),
            Some(false) => Answer::Now(self.settle(request, user, is_known, Checked::Wrong)),
            None => {
                let user = Arc::clone(user);
                let password = Zeroizing::new(login.password().to_vec());
                drop(login);
                self.check(request, ticket, user, is_known, password)
            }
        }
    }
}

impl BasicAuthFilter {
    /// Checks a password that is not remembered.
    fn check<'a>(
        &'a self,
        request: &'a mut dyn Request,
        ticket: Ticket,
        user: Arc<User>,
        is_known: bool,
        password: Zeroizing<Vec<u8>>,
    ) -> Answer<'a> {
        let begin = || self.begin(ticket, Arc::clone(&user), is_known, password);
        let joined = self
            .flights
            .join(ticket, client(&*request), self.bounds, begin);
        let Ok((flight, place)) = joined else {
            return Answer::Now(self.settle(request, &user, is_known, Checked::Busy));
        };
        Answer::Wait(Box::pin(async move {
            let checked = flight.await;
            drop(place);
            self.settle(request, &user, is_known, checked)
        }))
    }

    /// A check on another thread, which remembers what it comes to.
    fn begin(
        &self,
        ticket: Ticket,
        user: Arc<User>,
        is_known: bool,
        password: Zeroizing<Vec<u8>>,
    ) -> Check {
        self.metrics.checks.add(1);
        let work = move || {
            // A panic would go on in whoever waits; here it is one more check that could not be done.
            catch_unwind(AssertUnwindSafe(|| user.password.check(&password))).unwrap_or_default()
        };
        let running = self.offload.run(Box::new(move || Box::new(work())));
        let verdicts = Arc::clone(&self.verdicts);
        let clock = Arc::clone(&self.clock);
        let evicted = Arc::clone(&self.metrics.evicted);
        let (cache_ttl, max_cached) = (self.cache_ttl, self.max_cached);
        Box::pin(async move {
            let Ok(done) = running.await else {
                return Checked::Busy;
            };
            let Ok(Some(is_password)) = done.downcast::<Option<bool>>().map(|done| *done) else {
                return Checked::Failed;
            };
            let is_right = is_password && is_known;
            let forgotten = verdicts.remember(ticket, is_right, clock.now(), cache_ttl, max_cached);
            if forgotten > 0 {
                evicted.add(forgotten);
            }
            if is_right {
                Checked::Right
            } else {
                Checked::Wrong
            }
        })
    }

    /// What follows from a check.
    fn settle(
        &self,
        request: &mut (dyn Request + '_),
        user: &User,
        is_known: bool,
        checked: Checked,
    ) -> Verdict {
        match checked {
            Checked::Right => {
                self.metrics.allowed.add(1);
                if !self.keep_credential {
                    request.edit().remove(&header::AUTHORIZATION);
                }
                request.set_consumer(user.consumer.clone());
                Verdict::Continue
            }
            Checked::Wrong if is_known => self.refuse("wrong_password", "login_refused"),
            Checked::Wrong => self.refuse("unknown_user", "login_refused"),
            Checked::Busy => {
                self.metrics.refused.add("busy", 1);
                let reply = Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "login_busy");
                Verdict::Reply(Box::new(reply.header(header::RETRY_AFTER, RETRY_AFTER)))
            }
            Checked::Failed => {
                Verdict::Error(FilterError::new("the password could not be checked"))
            }
        }
    }

    fn refuse(&self, reason: &'static str, detail: &'static str) -> Verdict {
        self.metrics.refused.add(reason, 1);
        let reply = Reply::problem(StatusCode::UNAUTHORIZED, detail);
        Verdict::Reply(Box::new(
            reply.header(header::WWW_AUTHENTICATE, self.challenge.clone()),
        ))
    }
}

/// A number for the client, as limits see it: an IPv6 address counts by its /64.
fn client(facts: &dyn Facts) -> u128 {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(1, |all: u128, b| (all << 8) | u128::from(*b))
    };
    Source::ClientIp.with_key(facts, number).unwrap_or_default()
}
