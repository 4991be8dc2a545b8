//! The phases of a request, as the engine sees them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use farmgate_plugin_api::exchange::{BufferedBody, Request, Response};
use farmgate_plugin_api::filter::Outcome;
use farmgate_plugin_api::services::{Clock, Offload};
use farmgate_plugin_api::{
    Answer, BodyMode, Explained, Facts, Filter, FilterError, Phases, Reply, Verdict,
};
use farmgate_waf::seclang::{AuditEngine, EngineMode};
use farmgate_waf::transaction::{Connection, Limits, RefusalKind, Transaction, Verdict as Judged};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parking_lot::Mutex;

use super::audit::{Audit, Record, number};
use super::config::{Bodies, OverBudget};
use super::encoding::{Encoding, Job, Seen};
use super::metrics::Metrics;
use super::redact::{HIDDEN, Redaction};
use super::response::Answering;
use super::rules::{self, Current, Loaded};
use super::verdict::{self, Ending};

/// Longer bodies are looked at off the threads that serve.
const INLINE_BYTES: usize = 16 * 1024;

/// A firewall at work.
pub(super) struct WafFilter {
    pub(super) mode: EngineMode,
    pub(super) limits: Limits,
    pub(super) bodies: Bodies,
    pub(super) over_budget: OverBudget,
    /// None when the engine is off.
    pub(super) current: Option<Current>,
    pub(super) audit: Option<Audit>,
    pub(super) redaction: Arc<Redaction>,
    pub(super) metrics: Metrics,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) offload: Arc<dyn Offload>,
}

/// What is known of a request between its phases.
#[derive(Default)]
pub(super) struct Inspection {
    /// None while another thread has it.
    pub(super) transaction: Option<Box<Transaction>>,
    /// Phase 2 is over.
    pub(super) body_seen: bool,
    pub(super) ending: Ending,
    pub(super) rule: u64,
    /// No more phases: something was refused, or the budget is used up.
    pub(super) over: bool,
    pub(super) answering: Answering,
    /// A fetch for a cache: no `log` phase follows.
    pub(super) fetch: bool,
    pub(super) recorded: bool,
}

/// The filter's state of this request.
pub(super) fn state<'r>(request: &'r mut (dyn Request + '_)) -> Option<&'r mut Inspection> {
    request.state()?.downcast_mut()
}

impl Filter for WafFilter {
    fn phases(&self) -> Phases {
        if self.current.is_none() {
            return Phases::NONE;
        }
        Phases::REQUEST_HEAD
            .and(Phases::REQUEST_BODY)
            .and(Phases::ORIGIN_HEAD)
            .and(Phases::ORIGIN_BODY)
            .and(Phases::LOG)
    }

    fn body_mode(&self) -> BodyMode {
        match &self.current {
            None => BodyMode::None,
            Some(_) => BodyMode::Buffered {
                limit: self.bodies.upload,
                over: self.over(),
            },
        }
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let Some(loaded) = self.loaded() else {
            return Answer::error("no rules are loaded");
        };
        let (mut transaction, judged) = self.begin(request, &loaded);
        let mut inspection = Inspection::default();
        let mut answer = self.settle(&mut inspection, &transaction, judged);
        let waits = transaction.wants_body() && self.bodies.inspect > 0;
        let waits = waits && is_finite(request.headers());
        if !inspection.over && !waits {
            // Nobody needs to wait for a body that no rule looks at.
            let judged = transaction.request_end(false);
            inspection.body_seen = true;
            answer = self.settle(&mut inspection, &transaction, judged);
        }
        let mode = if inspection.body_seen || inspection.over {
            BodyMode::None
        } else {
            BodyMode::Buffered {
                limit: self.most(request.headers()),
                over: self.over(),
            }
        };
        request.want_body(mode);
        inspection.transaction = Some(Box::new(transaction));
        request.set_state(Box::new(inspection));
        Answer::Now(answer)
    }

    fn request_body<'a>(
        &'a self,
        request: &'a mut dyn Request,
        body: &'a mut BufferedBody,
    ) -> Answer<'a> {
        let most = self.most(request.headers());
        let encoding = Encoding::of(request.headers());
        let Some(inspection) = state(request).filter(|one| !one.over && !one.body_seen) else {
            return Answer::CONTINUE;
        };
        let Some(mut transaction) = inspection.transaction.take() else {
            return Answer::CONTINUE;
        };
        inspection.body_seen = true;
        let job = Job {
            pieces: body.chunks().to_vec(),
            encoding,
            compressed: self.bodies.compressed,
            partial: body.partial,
            most,
            strict: self.is_strict(),
        };
        if body.len() <= INLINE_BYTES && encoding == Encoding::Plain {
            let seen = job.run(&mut transaction);
            return Answer::Now(self.saw(request, transaction, seen));
        }
        // Whoever comes first takes it: the other thread, or this one when no other is to be had.
        let parcel = Arc::new(Mutex::new(Some((job, transaction))));
        let taken = Arc::clone(&parcel);
        let work = move || {
            let (job, mut transaction) = taken.lock().take()?;
            let seen = job.run(&mut transaction);
            Some((transaction, seen))
        };
        let elsewhere = self.offload.run(Box::new(move || Box::new(work())));
        Answer::Wait(Box::pin(async move {
            type Done = Option<(Box<Transaction>, Seen)>;
            let done: Done = match elsewhere.await {
                Ok(done) => done.downcast::<Done>().ok().and_then(|done| *done),
                Err(_) => {
                    self.metrics.busy.add(1);
                    let parcel = parcel.lock().take();
                    parcel.map(|(job, mut transaction)| {
                        let seen = job.run(&mut transaction);
                        (transaction, seen)
                    })
                }
            };
            match done {
                Some((transaction, seen)) => self.saw(request, transaction, seen),
                None => Verdict::Error(FilterError::new("the inspection was lost")),
            }
        }))
    }

    fn origin_head<'a>(&'a self, response: &'a mut dyn Response) -> Answer<'a> {
        Answer::Now(self.answered(response))
    }

    fn origin_body(
        &self,
        request: &mut dyn Request,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), FilterError> {
        self.answer_piece(request, chunk.as_deref(), end);
        Ok(())
    }

    fn log(&self, request: &mut dyn Request, outcome: &Outcome) {
        let Some(mut inspection) = state(request).map(std::mem::take) else {
            return;
        };
        if !inspection.body_seen && outcome.reason == "body_too_large" {
            inspection.ending = Ending::Body;
            self.metrics.bodies.add("too_large", 1);
        }
        let status = outcome.status.map_or(0, |status| status.as_u16());
        self.record(request, &mut inspection, status);
    }

    fn explain(&self, request: &Explained<'_>) -> Vec<String> {
        let Some(loaded) = self.loaded() else {
            return vec!["the engine is off".to_owned()];
        };
        self.told(request, &loaded)
    }
}

impl WafFilter {
    fn loaded(&self) -> Option<Arc<Loaded>> {
        self.current.as_ref()?.load_full()
    }

    /// Detection only refuses nothing, whatever a body is like.
    fn is_strict(&self) -> bool {
        self.mode == EngineMode::On && self.bodies.over() == farmgate_plugin_api::OverLimit::Refuse
    }

    fn over(&self) -> farmgate_plugin_api::OverLimit {
        match self.mode {
            EngineMode::On => self.bodies.over(),
            EngineMode::DetectionOnly | EngineMode::Off => farmgate_plugin_api::OverLimit::Partial,
        }
    }

    /// Most bytes of a request's body: only multipart bodies have files that rules do not see.
    fn most(&self, headers: &HeaderMap) -> u64 {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .map(|value| value.as_bytes().trim_ascii_start());
        let start = kind.and_then(|kind| kind.get(..10));
        match start.is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/")) {
            true => self.bodies.upload,
            false => self.bodies.inspect,
        }
    }

    /// A transaction that saw the head.
    pub(super) fn begin(&self, request: &dyn Request, loaded: &Loaded) -> (Transaction, Judged) {
        let seen = Seeing {
            facts: request,
            id: request.id(),
            port: request.client_port(),
            server: request.server_address(),
            target: request.raw_target(),
            protocol: request.protocol(),
            route: request.route().unwrap_or_default(),
        };
        self.see(&seen, loaded)
    }

    fn see(&self, seen: &Seeing<'_>, loaded: &Loaded) -> (Transaction, Judged) {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let server = seen.server.unwrap_or(nowhere);
        let host = seen.facts.host();
        let connection = Connection {
            client: seen.facts.client_ip(),
            client_port: seen.port,
            server: server.ip(),
            server_port: server.port(),
            server_name: host.as_bytes(),
        };
        let mut transaction =
            Transaction::new(&loaded.plan, self.mode, self.limits, seen.id, &connection);
        for exclusion in loaded.exclusions(seen.facts.path(), seen.route) {
            transaction.exclude(exclusion);
        }
        let headers = seen.facts.headers();
        // HTTP/2 has the host beside the fields; rules look for it among them.
        let beside = !headers.contains_key(header::HOST) && seen.protocol == "HTTP/2.0";
        let host = beside.then_some((&b"host"[..], host.as_bytes()));
        let fields = headers
            .iter()
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let judged = transaction.request_head(
            seen.facts.method().as_str().as_bytes(),
            seen.target,
            seen.protocol.as_bytes(),
            &mut host.into_iter().chain(fields),
        );
        (transaction, judged)
    }

    /// What a verdict of the engine means. After a refusal no more rules run.
    pub(super) fn settle(
        &self,
        inspection: &mut Inspection,
        transaction: &Transaction,
        judged: Judged,
    ) -> Verdict {
        let Judged::Refuse(refusal) = judged else {
            if self.mode == EngineMode::DetectionOnly
                && let Some(refusal) = transaction.refusal()
            {
                inspection.ending = Ending::WouldBlock;
                inspection.rule = refusal.rule;
            }
            return Verdict::Continue;
        };
        inspection.over = true;
        inspection.rule = refusal.rule;
        if refusal.kind == RefusalKind::OverBudget {
            self.metrics.over_budget.add(1);
            if self.over_budget == OverBudget::Pass || self.mode != EngineMode::On {
                return Verdict::Continue;
            }
            inspection.ending = Ending::OverBudget;
        } else {
            inspection.ending = Ending::Blocked;
        }
        verdict::answer(&refusal.kind)
    }

    /// What became of the body.
    fn saw(&self, request: &mut dyn Request, transaction: Box<Transaction>, seen: Seen) -> Verdict {
        let Some(inspection) = state(request) else {
            return Verdict::Continue;
        };
        let answer = match seen {
            Seen::Judged(judged, partial) => {
                if partial {
                    self.metrics.bodies.add("partial", 1);
                }
                self.settle(inspection, &transaction, judged)
            }
            Seen::TooLarge => {
                self.refuse_body(inspection, StatusCode::PAYLOAD_TOO_LARGE, "too_large")
            }
            Seen::Encoded => {
                self.refuse_body(inspection, StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding")
            }
        };
        inspection.transaction = Some(transaction);
        answer
    }

    fn refuse_body(
        &self,
        inspection: &mut Inspection,
        status: StatusCode,
        why: &'static str,
    ) -> Verdict {
        self.metrics.bodies.add(why, 1);
        inspection.over = true;
        inspection.ending = Ending::Body;
        let detail = match why {
            "encoding" => "waf_body_encoding",
            _ => "waf_body_too_large",
        };
        Verdict::Reply(Box::new(Reply::problem(status, detail)))
    }

    /// The end: phase 5, numbers, the audit log, the note for `explain`.
    pub(super) fn record(
        &self,
        request: &mut dyn Request,
        inspection: &mut Inspection,
        status: u16,
    ) {
        if std::mem::replace(&mut inspection.recorded, true) {
            return;
        }
        let word = inspection.ending.word();
        self.metrics.requests.add(word, 1);
        let Some(mut transaction) = inspection.transaction.take() else {
            return;
        };
        transaction.finish();
        self.metrics
            .seconds
            .observe(rules::seconds(transaction.work()));
        let (inbound, outbound) = (transaction.inbound_score(), transaction.outbound_score());
        for (score, histogram) in [
            (inbound, &self.metrics.inbound),
            (outbound, &self.metrics.outbound),
        ] {
            if score > 0 {
                histogram.observe(score as f64);
            }
        }
        // `ctl:auditEngine=Off` of a rule keeps the request out of the log.
        let logged = transaction.audit() != Some(AuditEngine::Off);
        let mut audited = false;
        let mut ids = String::new();
        for one in transaction.matches() {
            audited |= one.audit && logged;
            let id = one.rule.to_string();
            self.metrics.matches.add(&id, 1);
            if ids.len() < 512 {
                ids.push(' ');
                ids.push_str(&id);
            }
        }
        if ids.is_empty() {
            return;
        }
        request.note(&format!(
            "waf: {word}, inbound score {inbound}, outbound score {outbound}, rules{ids}"
        ));
        if let (Some(audit), true) = (&self.audit, audited) {
            let record = Record {
                at: self.clock.wall(),
                status,
                mode: self.mode,
                ending: inspection.ending,
                rule: inspection.rule,
                transaction: &transaction,
            };
            if !audit.write(request, &record) {
                self.metrics.lost.add(1);
            }
        }
    }

    /// The same for a request that nobody sends, in lines.
    fn told(&self, request: &Explained<'_>, loaded: &Loaded) -> Vec<String> {
        let seen = Seeing {
            facts: request.facts,
            id: "explain",
            port: 0,
            server: None,
            target: request.raw_target,
            protocol: "HTTP/1.1",
            route: request.route,
        };
        let (mut transaction, mut judged) = self.see(&seen, loaded);
        if judged == Judged::Continue {
            let job = Job {
                pieces: match request.body {
                    [] => Vec::new(),
                    body => vec![Bytes::copy_from_slice(body)],
                },
                encoding: Encoding::of(request.facts.headers()),
                compressed: self.bodies.compressed,
                partial: false,
                most: self.most(request.facts.headers()),
                strict: self.is_strict(),
            };
            judged = match job.run(&mut transaction) {
                Seen::Judged(judged, _) => judged,
                Seen::TooLarge => {
                    return vec!["refused: the body is over the limits (413)".to_owned()];
                }
                Seen::Encoded => {
                    return vec!["refused: the body's encoding is not read (415)".to_owned()];
                }
            };
        }
        transaction.finish();
        let would = match (&judged, transaction.refusal()) {
            (Judged::Refuse(refusal), _) => format!("refused by rule {}", refusal.rule),
            (_, Some(refusal)) => format!("would be refused by rule {}", refusal.rule),
            _ => "passes".to_owned(),
        };
        let mut lines = vec![format!(
            "{would}; inbound score {}, work {:.0} us",
            transaction.inbound_score(),
            rules::seconds(transaction.work()) * 1e6,
        )];
        for one in transaction.matches() {
            let hidden = transaction.is_masked(&one.variable)
                || self.redaction.hides(&one.variable, &one.value);
            let value = if hidden { HIDDEN } else { &one.value };
            let mut line = format!("rule {} phase {} ", one.rule, number(one.phase));
            let parts: [&[u8]; 5] = [&one.variable, b" = ", value, b": ", &one.message];
            for part in parts {
                line.push_str(&part.escape_ascii().to_string());
            }
            lines.push(line);
        }
        lines
    }
}

/// False for bodies that wait for answers to what they said before (gRPC streams).
fn is_finite(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let start = kind.and_then(|kind| kind.trim_ascii_start().get(..GRPC.len()));
    !start.is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
}

const GRPC: &[u8] = b"application/grpc";

/// What the rules see of a head.
struct Seeing<'a> {
    facts: &'a dyn Facts,
    id: &'a str,
    port: u16,
    server: Option<SocketAddr>,
    target: &'a [u8],
    protocol: &'static str,
    route: &'a str,
}
