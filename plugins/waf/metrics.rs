//! What is counted.

use std::sync::Arc;

use farmgate_plugin_api::Services;
use farmgate_plugin_api::services::{Counter, CounterBy, Histogram};

/// Rules with a series of their own; all others count under `other`.
pub(super) const MAX_RULES: usize = 500;
/// Words of `verdict`; see [`super::verdict::Ending`].
const VERDICTS: usize = 16;

/// The numbers of an instance.
pub(super) struct Metrics {
    pub(super) requests: Arc<dyn CounterBy>,
    pub(super) matches: Arc<dyn CounterBy>,
    pub(super) bodies: Arc<dyn CounterBy>,
    pub(super) inbound: Arc<dyn Histogram>,
    pub(super) outbound: Arc<dyn Histogram>,
    pub(super) seconds: Arc<dyn Histogram>,
    pub(super) over_budget: Arc<dyn Counter>,
    pub(super) busy: Arc<dyn Counter>,
    pub(super) lost: Arc<dyn Counter>,
}

impl Metrics {
    pub(super) fn new(services: &dyn Services) -> Self {
        let by = |name, help, label, most| services.counter_by(name, help, label, most);
        Self {
            requests: by(
                "requests",
                "Requests and fetched answers that were looked at, by what became of them.",
                "verdict",
                VERDICTS,
            ),
            matches: by(
                "matches",
                "Matches of rules, by their ids.",
                "rule",
                MAX_RULES,
            ),
            bodies: by(
                "bodies",
                "Bodies that were not looked at whole, by why.",
                "why",
                VERDICTS,
            ),
            inbound: services.histogram("inbound_score", "Inbound anomaly scores above 0."),
            outbound: services.histogram("outbound_score", "Outbound anomaly scores above 0."),
            seconds: services.histogram(
                "work_seconds",
                "Work of a request, in seconds of an idle core of this machine.",
            ),
            over_budget: services.counter("over_budget", "Requests beyond cpu_budget."),
            busy: services.counter(
                "busy",
                "Large bodies looked at on the threads that serve: the others were taken.",
            ),
            lost: services.counter(
                "audit_lost",
                "Lines of the audit log that were not written.",
            ),
        }
    }
}
