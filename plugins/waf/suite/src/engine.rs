//! The engine in this process.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use farmgate_waf::plan::{Plan, PlanOptions, RuleSet};
use farmgate_waf::seclang::{DiskFiles, EngineMode, Problem, Source};
use farmgate_waf::transaction::{Connection, Limits, Match, Transaction};

use crate::judge::{Evidence, Found};
use crate::request::Request;
use crate::schema::Output;
use crate::{front, origin, places};

/// The only address there is in process.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Reads rules; a problem becomes text with its place.
///
/// # Errors
/// Every problem of every file.
pub fn load(root: &Path, sources: &[Source]) -> Result<Arc<RuleSet>, String> {
    let files = DiskFiles {
        root: root.to_owned(),
    };
    let (rules, _) = RuleSet::load(sources, &files).map_err(|problems| lines(&problems))?;
    Ok(rules)
}

/// The Core Rule Set with the settings its regression tests expect.
///
/// # Errors
/// As [`load`].
pub fn load_crs(folder: &Path) -> Result<Arc<RuleSet>, String> {
    load(
        folder,
        &[
            Source::Pattern("crs-setup.conf.example".into()),
            Source::Text {
                name: "settings of the tests".into(),
                text: places::crs_test_settings(),
            },
            Source::Pattern("rules/*.conf".into()),
        ],
    )
}

/// The Core Rule Set as published.
///
/// # Errors
/// As [`load`].
pub fn load_crs_plain(folder: &Path) -> Result<Arc<RuleSet>, String> {
    load(
        folder,
        &[
            Source::Pattern("crs-setup.conf.example".into()),
            Source::Pattern("rules/*.conf".into()),
        ],
    )
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Paranoia as an option of a plan.
pub fn paranoia(level: u8) -> PlanOptions {
    PlanOptions {
        paranoia: Some(level),
        ..PlanOptions::default()
    }
}

/// One transaction from its bytes to its end, with the suite's origin behind.
pub struct Run {
    /// The transaction after its log phase.
    pub transaction: Transaction,
    /// The status that a client would get from a server with this engine.
    pub status: u16,
    /// Why a server in front would not have passed the request on.
    pub refused: Option<&'static str>,
}

/// Runs a request through a plan. The engine also sees what a server in front would refuse, as it was
/// received.
pub fn run(plan: &Arc<Plan>, mode: EngineMode, bytes: &[u8]) -> Run {
    let request = Request::read(bytes);
    let refused = front::refusal(bytes);
    let host = request.field("host").unwrap_or_default();
    let name = host.split(|byte| *byte == b':').next().unwrap_or_default();
    let connection = Connection {
        client: HERE,
        client_port: 40_000,
        server: HERE,
        server_port: 80,
        server_name: name,
    };
    let mut transaction = Transaction::new(plan, mode, Limits::default(), "0", &connection);
    let status = phases(&mut transaction, &request);
    transaction.finish();
    Run {
        transaction,
        status: refused.map_or(status, |_| 400),
        refused,
    }
}

/// The phases of the request and its answer; gives the status.
fn phases(transaction: &mut Transaction, request: &Request) -> u16 {
    use farmgate_waf::transaction::Verdict;
    let mut fields = request
        .fields
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()));
    let verdict = transaction.request_head(
        &request.method,
        &request.target,
        &request.protocol,
        &mut fields,
    );
    if let Verdict::Refuse(refusal) = verdict {
        return status_of(&refusal.kind);
    }
    if transaction.wants_body() {
        // In two pieces, as bodies come.
        let (first, second) = request.body.split_at(request.body.len() / 2);
        transaction.request_piece(first);
        transaction.request_piece(second);
    }
    if let Verdict::Refuse(refusal) = transaction.request_end(false) {
        return status_of(&refusal.kind);
    }
    let answer = origin::answer(&request.method, &request.target, &request.body);
    let length = answer.body.len().to_string();
    let fields = answer
        .fields
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let length = (&b"Content-Length"[..], length.as_bytes());
    let verdict = transaction.response_head(
        answer.status,
        b"HTTP/1.1",
        &mut fields.chain(std::iter::once(length)),
    );
    if let Verdict::Refuse(refusal) = verdict {
        return status_of(&refusal.kind);
    }
    if transaction.wants_response_body() && request.method != b"HEAD" {
        let (first, second) = answer.body.split_at(answer.body.len() / 2);
        transaction.response_piece(first);
        transaction.response_piece(second);
    }
    match transaction.response_end() {
        Verdict::Refuse(refusal) => status_of(&refusal.kind),
        Verdict::Continue => answer.status,
    }
}

fn status_of(kind: &farmgate_waf::transaction::RefusalKind) -> u16 {
    use farmgate_waf::transaction::RefusalKind;
    match kind {
        RefusalKind::Deny { status } | RefusalKind::Redirect { status, .. } => *status,
        RefusalKind::Drop => 0,
        RefusalKind::OverBudget => 503,
    }
}

impl Run {
    /// For the judge. A request that a server in front refuses is still judged by its rules, unless a
    /// refusal with 400 is what the test expects.
    pub fn evidence(&self, expected: &Output) -> Evidence {
        let refused = self.refused.filter(|_| expected.status == Some(400));
        let found = self.transaction.matches().iter();
        Evidence {
            status: Some(self.status).filter(|status| *status > 0),
            refused: refused.map(str::to_owned),
            found: found
                .map(|each| Found {
                    rule: each.rule,
                    line: line(each),
                })
                .collect(),
        }
    }
}

/// A match in the form of ModSecurity's log.
pub fn line(each: &Match) -> Vec<u8> {
    let mut out = format!("[id \"{}\"]", each.rule).into_bytes();
    for (word, value) in [("msg", &each.message), ("data", &each.data)] {
        out.extend_from_slice(format!(" [{word} \"").as_bytes());
        out.extend_from_slice(value);
        out.extend_from_slice(b"\"]");
    }
    out.extend_from_slice(b" against variable `");
    out.extend_from_slice(&each.variable);
    out.extend_from_slice(b"' (Value: `");
    out.extend_from_slice(&each.value);
    out.extend_from_slice(b"')");
    out
}
