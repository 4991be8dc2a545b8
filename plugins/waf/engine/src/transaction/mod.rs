//! A transaction: one request and its answer, judged by a plan.
//!
//! The caller tells what came, phase by phase, and gets a verdict after each. Order of calls:
//! [`Transaction::new`], [`Transaction::exclude`], [`Transaction::request_head`],
//! [`Transaction::request_piece`] and [`Transaction::request_end`],
//! [`Transaction::response_head`], [`Transaction::response_piece`] and [`Transaction::response_end`],
//! [`Transaction::finish`]. Phases may be left out from the end.

mod batch;
mod body;
pub(crate) mod evaluate;
pub(crate) mod matched;
mod recall;
pub(crate) mod record;
mod report;
mod request;
mod response;
mod run;
pub(crate) mod sight;
mod strings;
pub(crate) mod tx;
pub(crate) mod values;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

pub use report::{MATCH_BYTES, MATCHES, Match, Refusal, RefusalKind, Verdict};

use crate::plan::compiled::Exclude;
use crate::plan::{Plan, PreparedExclusion};
use crate::seclang::{AuditEngine, EngineMode, Phase};
use crate::work::Work;
use body::Body;
use evaluate::Buffers;
use matched::{Found, Matched};
use response::ResponseState;
use tx::Tx;
use values::Values;

/// What a transaction may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most work, in units; `u64::MAX` for no limit. See [`crate::work`].
    pub work: u64,
    /// Most bytes of request body that rules look at, the content of uploaded files not counted.
    pub inspect: u64,
    /// Most bytes of response body that rules look at.
    pub response: u64,
    /// Most arguments; what comes after them is an error of the body, which strict mode refuses.
    pub arguments: u32,
    /// Deepest nesting of JSON and XML.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            work: u64::MAX,
            inspect: 128 * 1024,
            response: 512 * 1024,
            arguments: 1000,
            depth: 512,
        }
    }
}

/// The connection a request came by.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// The client's port.
    pub client_port: u16,
    /// Our address.
    pub server: IpAddr,
    /// Our port.
    pub server_port: u16,
    /// The host asked for, without port.
    pub server_name: &'a [u8],
}

/// How far `allow` or a refusal ended the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Not,
    Phase(Phase),
    Request,
    All,
    Refused,
}

/// A request and its answer.
#[derive(Debug)]
pub struct Transaction {
    plan: Arc<Plan>,
    /// What the operator chose; `ctl:ruleEngine` may lower it.
    chosen_mode: EngineMode,
    mode: EngineMode,
    limits: Limits,
    started: Instant,
    values: Values,
    tx: Tx,
    matched: Matched,
    found: Vec<Found>,
    buffers: Buffers,
    work: Work,
    told_over_budget: bool,
    body: Body,
    response: ResponseState,
    strings: batch::Strings,
    /// By entry of the values: the strings of its name and of its value.
    ids: Vec<(strings::Id, strings::Id)>,
    removed_rules: Vec<Arc<[u32]>>,
    removed_targets: Vec<(Arc<[u32]>, Arc<Exclude>)>,
    ended: Ended,
    audit: Option<AuditEngine>,
    highest_severity: u8,
    matches: Vec<Match>,
    matches_left_out: u32,
    names_refused: bool,
    /// Variables that `sanitise...` hides.
    masked: Vec<Vec<u8>>,
    refusal: Option<Refusal>,
}

impl Transaction {
    /// A transaction about which nothing is known but its connection. `id` becomes `UNIQUE_ID`.
    pub fn new(
        plan: &Arc<Plan>,
        mode: EngineMode,
        limits: Limits,
        id: &str,
        connection: &Connection<'_>,
    ) -> Self {
        let mut transaction = Self {
            plan: Arc::clone(plan),
            chosen_mode: mode,
            mode,
            limits,
            started: Instant::now(),
            values: Values::new(),
            tx: Tx::new(plan.initial()),
            matched: Matched::default(),
            found: Vec::new(),
            buffers: Buffers::default(),
            work: Work {
                done: 0,
                limit: limits.work,
            },
            told_over_budget: false,
            body: Body::new(plan.rule_set().settings(), limits.inspect),
            response: ResponseState::new(limits.response),
            strings: batch::Strings::new(),
            ids: Vec::with_capacity(192),
            removed_rules: Vec::new(),
            removed_targets: Vec::new(),
            ended: Ended::Not,
            audit: None,
            highest_severity: 255,
            matches: Vec::new(),
            matches_left_out: 0,
            names_refused: false,
            masked: Vec::new(),
            refusal: None,
        };
        transaction.set_connection(id, connection);
        transaction
    }

    /// Takes rules, or targets of rules, out of this transaction. Before the first phase.
    pub fn exclude(&mut self, exclusion: &PreparedExclusion) {
        match &exclusion.target {
            None => self.removed_rules.push(Arc::clone(&exclusion.rules)),
            Some(target) => self
                .removed_targets
                .push((Arc::clone(&exclusion.rules), Arc::clone(target))),
        }
    }

    /// Phase 5: rules that only count and log. Everything else is over.
    pub fn finish(&mut self) {
        // What other phases used up must not hide the correlation rules.
        let limit = self.work.limit.max(self.work.done);
        self.work.limit = limit.saturating_add(FINISH_WORK);
        self.run(Phase::Log);
    }

    /// The rules that matched and want it known, in order.
    pub fn matches(&self) -> &[Match] {
        &self.matches
    }

    /// How many more there were than [`MATCHES`].
    pub fn matches_left_out(&self) -> u32 {
        self.matches_left_out
    }

    /// What refused the transaction, or would have outside detection only.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// True for a variable (`ARGS:password`) whose value a rule's `sanitise...` asks to hide in records.
    pub fn is_masked(&self, variable: &[u8]) -> bool {
        self.masked
            .iter()
            .any(|masked| masked.eq_ignore_ascii_case(variable))
    }

    /// What `ctl:auditEngine` asked for.
    pub fn audit(&self) -> Option<AuditEngine> {
        self.audit
    }

    /// Work done so far, in units of [`crate::work`].
    pub fn work(&self) -> u64 {
        self.work.done
    }

    /// True when rules made up more names in TX than one transaction may hold.
    pub fn names_refused(&self) -> bool {
        self.names_refused
    }

    /// A number in TX, by its name in lower case.
    pub fn tx_number(&self, name: &str) -> Option<i64> {
        self.tx
            .find(self.plan.rule_set().slots(), name.as_bytes())
            .map(tx::TxValue::number)
    }

    /// The inbound anomaly score that is held against the threshold.
    pub fn inbound_score(&self) -> i64 {
        self.tx_number("blocking_inbound_anomaly_score")
            .unwrap_or(0)
    }

    /// The outbound anomaly score that is held against the threshold.
    pub fn outbound_score(&self) -> i64 {
        self.tx_number("blocking_outbound_anomaly_score")
            .unwrap_or(0)
    }
}

/// Work that the log phase may add beyond the limit.
const FINISH_WORK: u64 = 500_000;
