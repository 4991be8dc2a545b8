//! Deciding about requests by what a service says.

use std::sync::Arc;
use std::time::Duration;

use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::services::{Clock, Counter, CounterBy};
use farmgate_plugin_api::{
    Answer, Consumer, Credential, Explained, Filter, FilterError, Phases, Verdict,
};
use http::{HeaderName, header};

use super::answer::{Allowed, Decision, Failure, Judged};
use super::ask::Asker;
use super::decisions::{Decisions, Stored};
use super::flights::{Flights, HostOutcome, Landing, Seat};
use super::question::{Form, Keys};

/// Asks about requests, or remembers what was answered.
pub(super) struct ForwardAuthFilter {
    pub(super) form: Form,
    pub(super) asker: Arc<Asker>,
    pub(super) cache: Option<Cache>,
    /// The upstream that is asked, if it is one.
    pub(super) upstream: Option<Box<str>>,
    pub(super) clock: Arc<dyn Clock>,
    /// Fields that the answer writes into the request.
    pub(super) identity: Box<[HeaderName]>,
    pub(super) credentials: Box<[Credential]>,
    /// Fields that are taken out of a request that passes.
    pub(super) spent: Box<[HeaderName]>,
    pub(super) metrics: Metrics,
}

/// What keeps decisions.
pub(super) struct Cache {
    pub(super) keys: Keys,
    pub(super) decisions: Arc<Decisions>,
    pub(super) flights: Arc<Flights>,
    pub(super) evicted: Arc<dyn Counter>,
}

/// What is counted.
pub(super) struct Metrics {
    pub(super) allowed: Arc<dyn Counter>,
    pub(super) denied: Arc<dyn Counter>,
    pub(super) failed: Arc<dyn CounterBy>,
    pub(super) cached: Arc<dyn Counter>,
    pub(super) joined: Arc<dyn Counter>,
}

/// The kind's name, as consumers carry it.
const KIND: &str = "forward_auth";

impl Filter for ForwardAuthFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    fn identity_headers(&self) -> &[HeaderName] {
        &self.identity
    }

    fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    fn upstreams(&self) -> &[Box<str>] {
        self.upstream.as_slice()
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let key = match &self.cache {
            Some(cache) => {
                let key = cache.keys.of(&*request);
                if let Some(decision) = cache.decisions.get(key, self.clock.now()) {
                    self.metrics.cached.add(1);
                    return Answer::Now(self.apply(&decision, request));
                }
                Some((cache, key))
            }
            None => None,
        };
        let Some(question) = self.form.fill(&*request) else {
            return Answer::Now(self.fail(&Failure::new(
                "question",
                "the request cannot be described in fields",
            )));
        };
        Answer::Wait(Box::pin(async move {
            let outcome = match key {
                Some((cache, key)) => self.ask_together(cache, key, question).await,
                None => self.asker.ask(question).await,
            };
            match outcome {
                Ok(judged) => self.apply(&judged.decision, request),
                Err(failure) => self.fail(&failure),
            }
        }))
    }

    fn explain(&self, request: &Explained<'_>) -> Vec<String> {
        let kept = self.cache.as_ref().and_then(|cache| {
            let key = cache.keys.of(request.facts);
            cache.decisions.get(key, self.clock.now())
        });
        vec![match kept {
            Some(Decision::Allow(_)) => "it may pass, by a decision that is kept".to_owned(),
            Some(Decision::Refuse(refusal)) => {
                let status = refusal.status.as_u16();
                format!("it is refused with {status}, by a decision that is kept")
            }
            None => match &self.upstream {
                Some(upstream) => format!("upstream {upstream} would be asked"),
                None => format!("{} would be asked", self.form.uri),
            },
        }]
    }
}

impl ForwardAuthFilter {
    /// Asks, unless somebody asks the same just now. What may not be kept is for one request alone: then the others ask
    /// for themselves. A failure is no decision, and holds for all who waited.
    async fn ask_together(
        &self,
        cache: &Cache,
        key: u128,
        question: http::Request<()>,
    ) -> Result<Judged, Failure> {
        let own = question.clone();
        let (flight, seat) = cache
            .flights
            .join(key, |landing| self.begin(cache, key, own, landing));
        if seat == Seat::Joined {
            self.metrics.joined.add(1);
        }
        match flight.await {
            Ok(judged) if seat == Seat::Joined && judged.keep.is_none() => {
                self.asker.ask(question).await
            }
            outcome => outcome,
        }
    }

    fn begin(
        &self,
        cache: &Cache,
        key: u128,
        question: http::Request<()>,
        landing: Landing,
    ) -> HostOutcome {
        let asker = Arc::clone(&self.asker);
        let decisions = Arc::clone(&cache.decisions);
        let evicted = Arc::clone(&cache.evicted);
        let clock = Arc::clone(&self.clock);
        Box::pin(async move {
            // Dropped last: who comes later finds the flight, or the decision.
            let _landing = landing;
            let outcome = asker.ask(question).await;
            if let Ok(judged) = &outcome
                && let Some(keep) = judged.keep
            {
                let now = clock.now();
                let until = now.checked_add(keep.min(MAX_TTL)).unwrap_or(now);
                if decisions.put(key, judged.decision.clone(), until, now) == Stored::Evicted {
                    evicted.add(1);
                }
            }
            outcome
        })
    }

    fn apply(&self, decision: &Decision, request: &mut dyn Request) -> Verdict {
        match decision {
            Decision::Allow(allowed) => {
                self.metrics.allowed.add(1);
                self.let_pass(allowed, request);
                Verdict::Continue
            }
            Decision::Refuse(refusal) => {
                self.metrics.denied.add(1);
                Verdict::Reply(Box::new(refusal.reply()))
            }
        }
    }

    fn let_pass(&self, allowed: &Allowed, request: &mut dyn Request) {
        if let Some(name) = &allowed.consumer {
            let by_authorization = self.is_by_authorization(request);
            request.set_consumer(Consumer {
                name: Arc::clone(name),
                plan: allowed.plan.clone(),
                tags: Vec::new(),
                by: KIND,
                by_authorization,
            });
        }
        let headers = request.edit();
        for name in &self.spent {
            headers.remove(name);
        }
        // What the answer does not say is nobody's identity, whoever wrote the field before.
        for name in &self.identity {
            headers.remove(name);
        }
        for (name, value) in &allowed.fields {
            headers.append(name, value.clone());
        }
    }

    /// True if nothing but the Authorization field can have told the service who it is.
    fn is_by_authorization(&self, request: &dyn Request) -> bool {
        let headers = request.headers();
        let mut sent = self
            .form
            .send
            .iter()
            .filter(|name| headers.contains_key(*name));
        sent.next() == Some(&header::AUTHORIZATION) && sent.next().is_none()
    }

    fn fail(&self, failure: &Failure) -> Verdict {
        self.metrics.failed.add(failure.reason, 1);
        Verdict::Error(FilterError::new(&*failure.text))
    }
}

/// Longest time a decision is kept: an hour.
pub(super) const MAX_TTL: Duration = Duration::from_secs(3_600);
