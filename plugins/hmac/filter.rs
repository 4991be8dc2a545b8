//! Deciding about a request by its signature: what can be told without the body at once, the rest when it is
//! there.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use farmgate_plugin_api::exchange::{BufferedBody, Request, Response};
use farmgate_plugin_api::filter::Outcome;
use farmgate_plugin_api::services::{Clock, Counter, CounterBy, Gauge, Offload};
use farmgate_plugin_api::{
    Answer, BodyMode, Consumer, Credential, Facts, Filter, FilterError, OverLimit, Phases, Reply,
    Services, Verdict,
};
use http::{HeaderName, StatusCode};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::claim::{Claim, NoClaim};
use super::scheme::Scheme;
use super::seen::{Mark, Remembered, Seen};
use super::sign::{Signature, Signer};

/// Longer bodies are hashed off the threads that serve: this much takes some 0.2 ms.
const INLINE_BYTES: usize = 64 * 1024;

/// What follows when a request comes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Repeats {
    /// It is refused.
    #[default]
    Refuse,
    /// It is answered with 204, and the origin is not asked: a sender that missed the answer is content.
    Confirm,
}

/// Lets in what is signed.
pub(super) struct HmacFilter {
    pub(super) scheme: Arc<Scheme>,
    /// The signature of one of them is enough.
    pub(super) secrets: Arc<[Signer]>,
    pub(super) tolerance: Duration,
    pub(super) max_body: u64,
    /// None: the scheme signs no time, so what comes again cannot be told.
    pub(super) seen: Option<Arc<Seen>>,
    pub(super) max_seen: usize,
    pub(super) repeats: Repeats,
    pub(super) consumer: Consumer,
    pub(super) credentials: [Credential; 1],
    pub(super) keep_credential: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) offload: Arc<dyn Offload>,
    pub(super) metrics: Metrics,
}

/// What is counted.
pub(super) struct Metrics {
    allowed: Arc<dyn Counter>,
    refused: Arc<dyn CounterBy>,
    confirmed: Arc<dyn Counter>,
    evicted: Arc<dyn Counter>,
    seen: Arc<dyn Gauge>,
}

/// The words that `refused` counts by.
const REASONS: [&str; 5] = ["missing", "malformed", "stale", "wrong", "replayed"];

impl Metrics {
    pub(super) fn new(services: &dyn Services) -> Self {
        let help = "Requests that were refused.";
        let refused = services.counter_by("refused", help, "reason", REASONS.len());
        // Named now, so that they show from the start and go on over a reload.
        REASONS.iter().for_each(|reason| refused.add(reason, 0));
        Self {
            allowed: services.counter("allowed", "Requests whose signature is right."),
            refused,
            confirmed: services.counter("confirmed", "Requests that came again and were answered with 204."),
            evicted: services.counter(
                "evicted",
                "Requests that could come again unnoticed, because the table of those seen was full.",
            ),
            seen: services.gauge("seen", "Requests that would be known if they came again."),
        }
    }
}

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Missing,
    Malformed,
    /// Its time is too far from ours.
    Stale,
    Wrong,
    Replayed,
}

impl Refusal {
    /// The reason for the metric, and what the client is told.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Missing => ("missing", "signature_missing"),
            Self::Malformed => ("malformed", "signature_refused"),
            Self::Stale => ("stale", "signature_refused"),
            Self::Wrong => ("wrong", "signature_refused"),
            Self::Replayed => ("replayed", "signature_replayed"),
        }
    }
}

/// What a request that was let in is known by, until it turned out that the origin did not take it.
struct Admitted(Option<Mark>);

impl Filter for HmacFilter {
    fn phases(&self) -> Phases {
        let phases = Phases::REQUEST_HEAD.and(Phases::REQUEST_BODY);
        match self.seen {
            Some(_) => phases.and(Phases::RESPONSE_HEAD).and(Phases::LOG),
            None => phases,
        }
    }

    fn body_mode(&self) -> BodyMode {
        BodyMode::Buffered {
            limit: self.max_body,
            over: OverLimit::Refuse,
        }
    }

    fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    /// Without a claim, or too late, no body needs to be read.
    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        match self.claim(&*request) {
            Ok(_) => Answer::CONTINUE,
            Err(refusal) => Answer::Now(self.refuse(refusal)),
        }
    }

    fn request_body<'a>(
        &'a self,
        request: &'a mut dyn Request,
        body: &'a mut BufferedBody,
    ) -> Answer<'a> {
        // Read again, as it stands: between the phases other filters were at work, and time went by.
        let claim = match self.claim(&*request) {
            Ok(claim) => claim,
            Err(refusal) => return Answer::Now(self.refuse(refusal)),
        };
        if body.len() <= INLINE_BYTES {
            let pieces = body.chunks().iter().map(|piece| &**piece);
            let signature = claim.verify(&self.scheme, &self.secrets, pieces);
            return Answer::Now(self.settle(request, &claim, signature));
        }
        let claim = Arc::new(claim);
        let job = Job {
            claim: Arc::clone(&claim),
            scheme: Arc::clone(&self.scheme),
            secrets: Arc::clone(&self.secrets),
            pieces: body.chunks().to_vec(),
        };
        let spare = job.clone();
        let running = self.offload.run(Box::new(move || Box::new(job.run())));
        Answer::Wait(Box::pin(async move {
            let signature = match running.await {
                Ok(done) => match done.downcast::<Option<Signature>>() {
                    Ok(signature) => *signature,
                    Err(_) => return Verdict::Error(FilterError::new("the signature was lost")),
                },
                // No thread is to be had: the limit of bodies bounds what this takes here.
                Err(_) => spare.run(),
            };
            self.settle(request, &claim, signature)
        }))
    }

    /// Before the sender knows that it may send again, so may it.
    fn response_head<'a>(&'a self, response: &'a mut dyn Response) -> Answer<'a> {
        if !response.status().is_success() {
            self.forget(response.request());
        }
        Answer::CONTINUE
    }

    /// The same where no answer was made, or the client left before it.
    fn log(&self, request: &mut dyn Request, outcome: &Outcome) {
        if !outcome.status.is_some_and(|status| status.is_success()) {
            self.forget(request);
        }
    }
}

/// A verification for another thread.
#[derive(Clone)]
struct Job {
    claim: Arc<Claim>,
    scheme: Arc<Scheme>,
    secrets: Arc<[Signer]>,
    pieces: Vec<Bytes>,
}

impl Job {
    fn run(&self) -> Option<Signature> {
        let pieces = self.pieces.iter().map(|piece| &**piece);
        self.claim.verify(&self.scheme, &self.secrets, pieces)
    }
}

impl HmacFilter {
    fn now(&self) -> u64 {
        let since = self.clock.wall().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }

    /// What the request says of itself, if its time is near ours.
    fn claim(&self, facts: &dyn Facts) -> Result<Claim, Refusal> {
        let claim = Claim::read(&self.scheme, facts.headers()).map_err(|error| match error {
            NoClaim::Missing => Refusal::Missing,
            NoClaim::Malformed => Refusal::Malformed,
        })?;
        match claim.time() {
            Some(time) if time.abs_diff(self.now()) > self.tolerance.as_secs() => {
                Err(Refusal::Stale)
            }
            _ => Ok(claim),
        }
    }

    /// What follows from a signature, or from none.
    fn settle(
        &self,
        request: &mut (dyn Request + '_),
        claim: &Claim,
        signature: Option<Signature>,
    ) -> Verdict {
        let Some(signature) = signature else {
            return self.refuse(Refusal::Wrong);
        };
        if let (Some(seen), Some(time)) = (&self.seen, claim.time()) {
            let mark = claim.id().map_or_else(|| signature.number(), mark_of);
            let until = time.saturating_add(self.tolerance.as_secs());
            match seen.remember(mark, self.now(), until, self.max_seen) {
                Remembered::New(evicted) => {
                    if evicted > 0 {
                        self.metrics.evicted.add(evicted);
                    }
                    self.gauge(seen);
                    request.set_state(Box::new(Admitted(Some(mark))));
                }
                Remembered::Again => return self.repeated(),
            }
        }
        if !self.keep_credential {
            let signature: &HeaderName = &self.scheme.signature;
            request.edit().remove(signature);
        }
        self.metrics.allowed.add(1);
        request.set_consumer(self.consumer.clone());
        Verdict::Continue
    }

    /// The origin did not take it, so its sender may send it again. Once: by then it may have come again.
    fn forget(&self, request: &mut (dyn Request + '_)) {
        let admitted = request
            .state()
            .and_then(|state| state.downcast_mut::<Admitted>());
        let mark = admitted.and_then(|admitted| admitted.0.take());
        if let (Some(mark), Some(seen)) = (mark, &self.seen) {
            seen.forget(mark);
            self.gauge(seen);
        }
    }

    fn repeated(&self) -> Verdict {
        match self.repeats {
            Repeats::Refuse => self.refuse(Refusal::Replayed),
            Repeats::Confirm => {
                self.metrics.confirmed.add(1);
                let reply = Reply::new(StatusCode::NO_CONTENT, "signature_replayed");
                Verdict::Reply(Box::new(reply))
            }
        }
    }

    /// A 403: no login is asked for, so a 401 with its challenge would say the wrong thing.
    fn refuse(&self, refusal: Refusal) -> Verdict {
        let (reason, detail) = refusal.words();
        self.metrics.refused.add(reason, 1);
        Verdict::Reply(Box::new(Reply::problem(StatusCode::FORBIDDEN, detail)))
    }

    fn gauge(&self, seen: &Seen) {
        self.metrics
            .seen
            .set(i64::try_from(seen.len()).unwrap_or(i64::MAX));
    }
}

fn mark_of(id: &[u8]) -> Mark {
    let digest = Sha256::digest(id);
    digest
        .first_chunk()
        .map_or(0, |bytes| Mark::from_be_bytes(*bytes))
}
