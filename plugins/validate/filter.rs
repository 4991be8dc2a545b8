//! Checking requests, phase by phase.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use farmgate_plugin_api::exchange::{BufferedBody, Request};
use farmgate_plugin_api::services::{Counter, CounterBy, Offload};
use farmgate_plugin_api::{
    Answer, BodyMode, Explained, Filter, FilterError, OverLimit, Phases, Verdict,
};
use http::StatusCode;

use super::contract::{Contract, Head, Pending, Rules};
use super::fault::{Reason, Refusal};

/// Longer bodies are looked at off the threads that serve.
const INLINE_BYTES: usize = 16 * 1024;

/// Checks requests against a contract.
pub(super) struct ValidateFilter {
    /// The file's last good version.
    pub(super) contract: Arc<ArcSwapOption<Contract>>,
    pub(super) rules: Arc<Rules>,
    pub(super) max_body: u64,
    /// The status of requests that break a rule.
    pub(super) status: StatusCode,
    pub(super) report_only: bool,
    pub(super) offload: Arc<dyn Offload>,
    pub(super) metrics: Metrics,
}

/// What is counted.
pub(super) struct Metrics {
    pub(super) valid: Arc<dyn Counter>,
    pub(super) unknown: Arc<dyn Counter>,
    pub(super) refused: Arc<dyn CounterBy>,
    pub(super) reported: Arc<dyn CounterBy>,
    pub(super) busy: Arc<dyn Counter>,
}

/// A request whose body is to come: the contract that looked at its head looks at its body.
struct Waiting {
    contract: Arc<Contract>,
    pending: Pending,
}

impl Filter for ValidateFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD.and(Phases::REQUEST_BODY)
    }

    fn body_mode(&self) -> BodyMode {
        BodyMode::Buffered {
            limit: self.max_body,
            over: match self.report_only {
                true => OverLimit::Partial,
                false => OverLimit::Refuse,
            },
        }
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let Some(contract) = self.contract.load_full() else {
            return Answer::error("no contract is loaded");
        };
        let head = contract.head(&*request, &self.rules);
        let answer = match head {
            Head::Body(pending) => {
                request.set_state(Box::new(Some(Waiting { contract, pending })));
                return Answer::CONTINUE;
            }
            Head::Valid => {
                self.metrics.valid.add(1);
                Verdict::Continue
            }
            Head::Unknown => {
                self.metrics.unknown.add(1);
                Verdict::Continue
            }
            Head::Refused(refusal) => self.refuse(request, &refusal),
        };
        request.want_body(BodyMode::None);
        Answer::Now(answer)
    }

    fn request_body<'a>(
        &'a self,
        request: &'a mut dyn Request,
        body: &'a mut BufferedBody,
    ) -> Answer<'a> {
        let state = request
            .state()
            .and_then(|state| state.downcast_mut::<Option<Waiting>>());
        let Some(waiting) = state.and_then(Option::take) else {
            return Answer::CONTINUE;
        };
        if body.partial {
            let refusal = Refusal::plain(Reason::BodyPartial);
            return Answer::Now(self.refuse(request, &refusal));
        }
        let bytes = body.to_bytes();
        if bytes.len() <= INLINE_BYTES {
            let refusal = waiting.contract.body(waiting.pending, &bytes, &self.rules);
            return Answer::Now(self.conclude(request, refusal));
        }
        let (rules, copy) = (Arc::clone(&self.rules), bytes.clone());
        let Waiting { contract, pending } = waiting;
        let there = Arc::clone(&contract);
        let work = move || there.body(pending, &copy, &rules);
        let elsewhere = self.offload.run(Box::new(move || Box::new(work())));
        Answer::Wait(Box::pin(async move {
            match elsewhere.await {
                Ok(done) => match done.downcast::<Option<Refusal>>() {
                    Ok(refusal) => self.conclude(request, *refusal),
                    Err(_) => Verdict::Error(FilterError::new("the check was lost")),
                },
                Err(_) => {
                    // All places for work elsewhere are taken: the body is bounded, so it is done here.
                    self.metrics.busy.add(1);
                    let refusal = contract.body(pending, &bytes, &self.rules);
                    self.conclude(request, refusal)
                }
            }
        }))
    }

    fn explain(&self, request: &Explained<'_>) -> Vec<String> {
        let Some(contract) = self.contract.load_full() else {
            return vec!["no contract is loaded".to_owned()];
        };
        let refusal = match contract.head(request.facts, &self.rules) {
            Head::Unknown => return vec!["the contract does not know it".to_owned()],
            Head::Valid => None,
            Head::Refused(refusal) => Some(*refusal),
            Head::Body(pending) => contract.body(pending, request.body, &self.rules),
        };
        let would = match self.report_only {
            true => "would report",
            false => "would refuse",
        };
        match refusal {
            None => vec!["as the contract says".to_owned()],
            Some(refusal) => vec![format!("{would}: {}", refusal.note())],
        }
    }
}

impl ValidateFilter {
    fn conclude(&self, request: &mut dyn Request, refusal: Option<Refusal>) -> Verdict {
        match refusal {
            Some(refusal) => self.refuse(request, &refusal),
            None => {
                self.metrics.valid.add(1);
                Verdict::Continue
            }
        }
    }

    /// Refuses a request, or only says so.
    fn refuse(&self, request: &mut dyn Request, refusal: &Refusal) -> Verdict {
        request.note(&refusal.note());
        let word = refusal.reason.word();
        if self.report_only {
            self.metrics.reported.add(word, 1);
            return Verdict::Continue;
        }
        self.metrics.refused.add(word, 1);
        Verdict::Reply(Box::new(refusal.reply(self.status, request.id())))
    }
}
