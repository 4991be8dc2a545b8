//! What a verdict of the engine means for a request.

use farmgate_plugin_api::{Reply, Verdict};
use farmgate_waf::transaction::RefusalKind;
use http::{HeaderValue, StatusCode, header};

/// How the inspection of a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nothing was refused.
    #[default]
    Passed,
    /// Detection only: it would have been refused.
    WouldBlock,
    /// The client got a refusal.
    Blocked,
    /// The answer was under way and was cut.
    Reset,
    /// The budget was used up, and it was refused for that.
    OverBudget,
    /// A body was refused before rules saw it: too large, or in an encoding that is not read.
    Body,
}

impl Ending {
    /// The word in the audit log and metrics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::WouldBlock => "would_block",
            Self::Blocked => "blocked",
            Self::Reset => "reset",
            Self::OverBudget => "over_budget",
            Self::Body => "body_refused",
        }
    }
}

/// The detail of refusals in the access log.
pub(super) const BLOCKED: &str = "waf_blocked";

/// The answer that a refusal asks for.
pub(super) fn answer(kind: &RefusalKind) -> Verdict {
    let reply = match kind {
        RefusalKind::Drop => return Verdict::Reset,
        RefusalKind::Deny { status } => Reply::problem(refusal(*status), BLOCKED),
        RefusalKind::Redirect { status, location } => {
            let status = StatusCode::from_u16(*status).ok();
            let status = status.filter(StatusCode::is_redirection);
            match (status, HeaderValue::from_bytes(location)) {
                (Some(status), Ok(to)) => Reply::new(status, BLOCKED).header(header::LOCATION, to),
                // Macros made it no field value.
                _ => Reply::problem(StatusCode::FORBIDDEN, BLOCKED),
            }
        }
        RefusalKind::OverBudget => {
            Reply::problem(StatusCode::SERVICE_UNAVAILABLE, "waf_over_budget")
        }
    };
    Verdict::Reply(Box::new(reply))
}

/// The same once the head of an answer is there: what cannot be said any more is a plain refusal.
pub(super) fn late(kind: &RefusalKind) -> Reply {
    match answer(kind) {
        Verdict::Reply(reply) => *reply,
        _ => Reply::problem(StatusCode::FORBIDDEN, BLOCKED),
    }
}

/// The status of a rule, if it can be one of a refusal.
fn refusal(status: u16) -> StatusCode {
    let known = StatusCode::from_u16(status).ok();
    known
        .filter(|status| (200..600).contains(&status.as_u16()))
        .unwrap_or(StatusCode::FORBIDDEN)
}
