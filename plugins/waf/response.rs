//! The answer: inspected once per fetch, before a cache stores it.

use farmgate_plugin_api::exchange::{Request, Response};
use farmgate_plugin_api::{Reply, Verdict};
use farmgate_waf::transaction::Verdict as Judged;
use http::StatusCode;

use super::config::OverResponse;
use super::filter::{Inspection, WafFilter, state};
use super::verdict::{self, Ending};

/// How far the inspection of an answer's body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Answering {
    /// Its head did not come yet, or nothing of it is looked at.
    #[default]
    Not,
    /// Pieces are looked at.
    Reading,
    /// It is over.
    Done,
}

impl WafFilter {
    /// Phase 3, and phase 4 for an answer whose body is not looked at.
    pub(super) fn answered(&self, response: &mut dyn Response) -> Verdict {
        let status = response.status();
        if self.prepare(response.request()).is_none() {
            return Verdict::Continue;
        }
        // Another attempt may follow an answer that was not wanted: the last one counts.
        let taken = state(response.request()).filter(|one| !one.over);
        let Some(mut transaction) = taken.and_then(|one| one.transaction.take()) else {
            return Verdict::Continue;
        };
        let map = response.edit().map().iter();
        let mut fields = map.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let judged = transaction.response_head(status.as_u16(), b"HTTP/1.1", &mut fields);
        let request = response.request();
        let Some(inspection) = state(request) else {
            return Verdict::Continue;
        };
        let mut answer = self.settle(inspection, &transaction, judged);
        let mut hold = false;
        if !inspection.over {
            if transaction.wants_response_body() && self.bodies.response > 0 {
                inspection.answering = Answering::Reading;
                hold = self.bodies.hold;
            } else {
                inspection.answering = Answering::Done;
                let judged = transaction.response_end();
                answer = self.settle(inspection, &transaction, judged);
            }
        }
        inspection.transaction = Some(transaction);
        let fetched = inspection.fetch && inspection.answering != Answering::Reading;
        if hold {
            request.hold();
        }
        if fetched {
            self.fetched(request);
        }
        match answer {
            // There is no connection of the client's to close without a word: it is cut.
            Verdict::Reset => Verdict::Reply(Box::new(Reply::problem(
                StatusCode::FORBIDDEN,
                verdict::BLOCKED,
            ))),
            answer => answer,
        }
    }

    /// The inspection of the request; one is made where there is none: a fetch for a cache has no
    /// phases before, and its request was judged when it was asked.
    fn prepare(&self, request: &mut dyn Request) -> Option<()> {
        if state(request).is_some() {
            return Some(());
        }
        let loaded = self.current.as_ref()?.load_full()?;
        let (mut transaction, _) = self.begin(request, &loaded);
        let _ = transaction.request_end(false);
        request.set_state(Box::new(Inspection {
            transaction: Some(Box::new(transaction)),
            fetch: true,
            ..Inspection::default()
        }));
        Some(())
    }

    /// A piece of the answer.
    pub(super) fn answer_piece(&self, request: &mut dyn Request, piece: Option<&[u8]>, end: bool) {
        let reading = |one: &&mut Inspection| one.answering == Answering::Reading && !one.over;
        let Some(inspection) = state(request).filter(reading) else {
            return;
        };
        let Some(mut transaction) = inspection.transaction.take() else {
            return;
        };
        let fits = piece.is_none_or(|piece| transaction.response_piece(piece));
        if fits && !end {
            inspection.transaction = Some(transaction);
            return;
        }
        inspection.answering = Answering::Done;
        let mut refusal = None;
        if !fits {
            self.metrics.bodies.add("response_partial", 1);
            let reject = self.bodies.over_response == OverResponse::Reject;
            if reject && self.mode == farmgate_waf::seclang::EngineMode::On {
                inspection.over = true;
                inspection.ending = Ending::Body;
                let reply = Reply::problem(StatusCode::BAD_GATEWAY, "waf_response_too_large");
                refusal = Some(reply);
            }
        }
        if refusal.is_none() {
            let judged = transaction.response_end();
            let kind = match &judged {
                Judged::Refuse(refused) => Some(refused.kind.clone()),
                Judged::Continue => None,
            };
            if !matches!(
                self.settle(inspection, &transaction, judged),
                Verdict::Continue
            ) {
                refusal = kind.as_ref().map(verdict::late);
            }
        }
        if refusal.is_some() && !self.bodies.hold {
            inspection.ending = Ending::Reset;
        }
        inspection.transaction = Some(transaction);
        let fetch = inspection.fetch;
        match refusal {
            Some(reply) => request.refuse(reply),
            None => request.release(),
        }
        if fetch {
            self.fetched(request);
        }
    }

    /// The end of a fetch, which has no `log` phase.
    fn fetched(&self, request: &mut dyn Request) {
        if let Some(mut inspection) = state(request).map(std::mem::take) {
            inspection.over = true;
            self.record(request, &mut inspection, 0);
            // What is left behind says that there is nothing more to do.
            inspection.answering = Answering::Done;
            request.set_state(Box::new(inspection));
        }
    }
}
