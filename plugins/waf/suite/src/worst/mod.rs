//! What a request can cost at worst: hand-made bad requests ([`corpus`]), and a search for worse ones
//! ([`search`]). Both the engine's units of work and the time on this machine are told per byte of the
//! whole request (its head counts; of an answer, its body).

mod bodies;
pub mod corpus;
pub mod search;
pub mod words;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farmgate_waf::plan::Plan;
use farmgate_waf::seclang::EngineMode;
use farmgate_waf::transaction::{Connection, Limits, RefusalKind, Transaction, Verdict};

/// A request, and the body of its answer.
#[derive(Clone, Debug)]
pub struct Case {
    /// A name for tables.
    pub name: String,
    /// What of the engine it is meant to hurt.
    pub attacks: &'static str,
    /// The request line's method.
    pub method: &'static str,
    /// The request line's target.
    pub target: Vec<u8>,
    /// Header fields.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body as it is sent.
    pub body: Vec<u8>,
    /// The body of the answer, `text/html`.
    pub answer: Vec<u8>,
}

/// What judging a case came to.
pub struct Outcome {
    /// After its log phase.
    pub transaction: Transaction,
    /// How often a phase said that the budget is used up.
    pub over_budget: u32,
    /// From the first call to the last.
    pub took: Duration,
}

impl Case {
    /// Bytes that the client, and the origin, had to send.
    pub fn bytes(&self) -> usize {
        let line = self.method.len() + self.target.len() + 12;
        let fields: usize = self.fields.iter().map(|(n, v)| n.len() + v.len() + 4).sum();
        line + fields + 2 + self.body.len() + self.answer.len()
    }

    /// All phases in detection only, so that nothing ends early.
    pub fn run(&self, plan: &Arc<Plan>, limits: Limits) -> Outcome {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let connection = Connection {
            client: here,
            client_port: 40_000,
            server: here,
            server_port: 80,
            server_name: b"shop.example.com",
        };
        let begin = Instant::now();
        let mode = EngineMode::DetectionOnly;
        let mut transaction = Transaction::new(plan, mode, limits, "0", &connection);
        let mut over_budget = 0;
        let mut note = |verdict: Verdict| {
            if let Verdict::Refuse(refusal) = verdict {
                over_budget += u32::from(refusal.kind == RefusalKind::OverBudget);
            }
        };
        let mut fields = self
            .fields
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()));
        note(transaction.request_head(
            self.method.as_bytes(),
            &self.target,
            b"HTTP/1.1",
            &mut fields,
        ));
        for piece in self.body.chunks(16 * 1024) {
            transaction.request_piece(piece);
        }
        note(transaction.request_end(false));
        let length = self.answer.len().to_string();
        let fields: [(&[u8], &[u8]); 2] = [
            (b"Content-Type", b"text/html"),
            (b"Content-Length", length.as_bytes()),
        ];
        note(transaction.response_head(200, b"HTTP/1.1", &mut fields.into_iter()));
        for piece in self.answer.chunks(16 * 1024) {
            transaction.response_piece(piece);
        }
        note(transaction.response_end());
        transaction.finish();
        Outcome {
            transaction,
            over_budget,
            took: begin.elapsed(),
        }
    }

    /// Units of work, and the shortest time of several runs.
    pub fn measure(&self, plan: &Arc<Plan>, limits: Limits, runs: u32) -> (u64, Duration) {
        let mut best = Duration::MAX;
        let mut work = 0;
        for _ in 0..runs {
            let outcome = self.run(plan, limits);
            best = best.min(outcome.took);
            work = outcome.transaction.work();
        }
        (work, best)
    }
}
