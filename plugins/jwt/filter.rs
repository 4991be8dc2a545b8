//! Letting requests in by their tokens.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::services::Clock;
use farmgate_plugin_api::{Answer, Facts, Filter, FilterError, Phases, Verdict as Answered};
use farmgate_plugin_api::{Credential, filter::Explained};
use http::HeaderName;
use tokio::sync::watch;

use super::cache::{Cache, Stored, Verdict};
use super::metrics::Metrics;
use super::place::{Found, Place};
use super::refusal::{Challenges, Refusal};
use super::rules::{Keys, Lack, Opinion, Rules};
use super::store::Store;

/// Lets in who has a token that a provider signed.
pub(super) struct JwtFilter {
    pub(super) places: Box<[Place]>,
    pub(super) credentials: Box<[Credential]>,
    pub(super) identity: Box<[HeaderName]>,
    pub(super) rules: Rules,
    pub(super) cache: Cache,
    pub(super) challenges: Challenges,
    pub(super) optional: bool,
    pub(super) keep_credential: bool,
    pub(super) max_token_bytes: usize,
    pub(super) wait: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
}

/// What comes of a request.
enum Step {
    /// It goes on under this identity.
    Pass {
        verdict: Arc<Verdict>,
        bearer: bool,
    },
    /// It goes on without any.
    Anonymous,
    Refuse(Refusal),
    Lack(Lack),
}

impl Filter for JwtFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    fn identity_headers(&self) -> &[HeaderName] {
        &self.identity
    }

    fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let lack = match self.decide(request) {
            Step::Lack(lack) => lack,
            step => return Answer::Now(self.finish(request, step)),
        };
        // Listened to before anything is asked, so that no answer is missed.
        let rounds = self.fetched(lack).map(|(store, _)| store.rounds());
        match rounds {
            Some(rounds) if self.may_wait(lack) && !self.wait.is_zero() => {
                Answer::Wait(Box::pin(self.wait_for_keys(request, lack, rounds)))
            }
            _ => Answer::Now(self.give_up(request, lack)),
        }
    }

    fn explain(&self, request: &Explained<'_>) -> Vec<String> {
        let said = match self.find(request.facts) {
            Err(refusal) => format!("refuses: {}", refusal.reason()),
            Ok(None) if self.optional => "lets pass without a token".to_owned(),
            Ok(None) => format!("refuses: {}", Refusal::Missing.reason()),
            Ok(Some((token, _))) => {
                let (now, wall) = (self.clock.now(), self.wall());
                match self.rules.judge(&token, now, wall) {
                    Opinion::Right(verdict, _) => match verdict.consumer {
                        Some(consumer) => format!("lets pass as {}", consumer.name),
                        None => "lets pass without a consumer".to_owned(),
                    },
                    Opinion::Wrong(refusal) => format!("refuses: {}", refusal.reason()),
                    Opinion::Lacking(_) => "would need keys that are not here".to_owned(),
                }
            }
        };
        vec![format!("jwt {said}")]
    }
}

impl JwtFilter {
    /// The token of a request, and whether it stands in the Authorization field.
    #[expect(clippy::type_complexity, reason = "used twice, here only")]
    fn find<'r>(
        &self,
        facts: &'r (impl Facts + ?Sized),
    ) -> Result<Option<(std::borrow::Cow<'r, [u8]>, bool)>, Refusal> {
        for place in &self.places {
            match place.find(facts) {
                Found::Nothing => {}
                Found::Several => return Err(Refusal::Ambiguous),
                Found::One(token) if token.len() > self.max_token_bytes => {
                    return Err(Refusal::TooLarge);
                }
                Found::One(token) => return Ok(Some((token, *place == Place::Bearer))),
            }
        }
        Ok(None)
    }

    fn decide(&self, request: &dyn Request) -> Step {
        let (token, bearer) = match self.find(request) {
            Err(refusal) => return Step::Refuse(refusal),
            Ok(None) if self.optional => return Step::Anonymous,
            Ok(None) => return Step::Refuse(Refusal::Missing),
            Ok(Some(found)) => found,
        };
        let (now, wall) = (self.clock.now(), self.wall());
        let name = self.cache.name(&token);
        if let Some(verdict) = self.cache.get(name)
            && self.rules.holds(&verdict, now, wall)
        {
            self.metrics.cache_hits.add(1);
            return Step::Pass { verdict, bearer };
        }
        match self.rules.judge(&token, now, wall) {
            Opinion::Wrong(refusal) => Step::Refuse(refusal),
            Opinion::Lacking(lack) => Step::Lack(lack),
            Opinion::Right(verdict, cut) => {
                self.metrics.verified.add(1);
                if cut {
                    self.metrics.tags_cut.add(1);
                }
                let verdict = Arc::new(verdict);
                if self.cache.put(name, &verdict, wall) == Stored::Evicted {
                    self.metrics.cache_evicted.add(1);
                }
                Step::Pass { verdict, bearer }
            }
        }
    }

    /// Seconds since 1970.
    fn wall(&self) -> i64 {
        let since = self.clock.wall().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
    }

    fn finish(&self, request: &mut dyn Request, step: Step) -> Answered {
        match step {
            Step::Pass { verdict, bearer } => self.admit(request, &verdict, bearer),
            Step::Anonymous => Answered::Continue,
            Step::Refuse(refusal) => self.refuse(refusal),
            Step::Lack(lack) => self.give_up(request, lack),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Answered {
        self.metrics.refused.add(refusal.reason(), 1);
        Answered::Reply(Box::new(refusal.reply(&self.challenges)))
    }

    /// Takes tokens out of the request, unless they may stay. False if that cannot be done.
    fn empty(&self, request: &mut dyn Request) -> bool {
        self.keep_credential || self.places.iter().all(|place| place.empty(request))
    }

    fn admit(&self, request: &mut dyn Request, verdict: &Verdict, bearer: bool) -> Answered {
        if !self.empty(request) {
            let text = "the token cannot be taken out of the request";
            return Answered::Error(FilterError::new(text));
        }
        for (name, value) in &verdict.fields {
            request.edit().set(name, value.clone());
        }
        if let Some(consumer) = &verdict.consumer {
            let mut consumer = consumer.clone();
            consumer.by_authorization = bearer;
            request.set_consumer(consumer);
        }
        Answered::Continue
    }

    /// The keys that are missing and the least time between two questions for them, if they can be
    /// fetched.
    fn fetched(&self, lack: Lack) -> Option<(&Store, Duration)> {
        let (Lack::NoKeys(at) | Lack::UnknownKey(at)) = lack;
        match &self.rules.provider(at)?.keys {
            Keys::Fetched { store, refetch, .. } => Some((store, *refetch)),
            Keys::Secret(_) | Keys::Given(_) => None,
        }
    }

    /// True if a fetch is on its way that may bring what is missing; asks for one if it may.
    fn may_wait(&self, lack: Lack) -> bool {
        match (lack, self.fetched(lack)) {
            (_, None) => false,
            (Lack::NoKeys(_), Some((store, _))) => store.is_expecting(),
            (Lack::UnknownKey(_), Some((store, refetch))) => {
                let asked = store.ask(refetch);
                if !asked {
                    self.metrics.refetch_limited.add(1);
                }
                asked
            }
        }
    }

    fn give_up(&self, request: &mut dyn Request, lack: Lack) -> Answered {
        match lack {
            Lack::UnknownKey(_) => self.refuse(Refusal::UnknownKey),
            Lack::NoKeys(_) => {
                self.metrics.unavailable.add(1);
                // With `fail = "open"` the request goes on; a token that nobody looked at does not.
                self.empty(request);
                Answered::Error(FilterError::new("there are no keys of the provider"))
            }
        }
    }

    async fn wait_for_keys(
        &self,
        request: &mut dyn Request,
        first: Lack,
        mut rounds: watch::Receiver<u64>,
    ) -> Answered {
        let until = self.clock.now() + self.wait;
        let Some(place) = self.fetched(first).map(|(store, _)| store.waiter()) else {
            return self.give_up(request, first);
        };
        let Some(_place) = place else {
            self.metrics.waiters_refused.add(1);
            return self.give_up(request, first);
        };
        loop {
            let left = until.saturating_duration_since(self.clock.now());
            let is_over = tokio::select! {
                biased;
                changed = rounds.changed() => changed.is_err(),
                () = self.clock.sleep(left) => true,
            };
            let lack = match self.decide(request) {
                Step::Lack(lack) => lack,
                step => return self.finish(request, step),
            };
            // One fetch is enough to know a key; the first keys may take several.
            let goes_on = matches!(lack, Lack::NoKeys(_)) && self.may_wait(lack);
            if is_over || !goes_on {
                return self.give_up(request, lack);
            }
        }
    }
}
