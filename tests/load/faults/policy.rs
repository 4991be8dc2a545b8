//! What the operator wrote against faults.

/// The words of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// Nothing is wrong and nothing is written: what the machine itself costs.
    NoFault,
    /// Nothing is written.
    Defaults,
    /// Active health checks.
    Checks,
    /// Passive ejection, by rows of failures, by shares of good answers and by time.
    Ejection,
    /// Retries within their budget.
    Retries,
    /// All of it.
    All,
}

/// At most two checks, each no longer than `timeout`, after `interval` and a tenth.
const CHECKS: &str = "[upstream.health]\nkind = \"http\"\npath = \"/healthz\"\ninterval = \"250ms\"\n\
                      timeout = \"250ms\"\nrise = 2\nfall = 2\n";

const EJECTION: &str = "[upstream.outlier]\ninterval = \"1s\"\n\
                        success_rate = { min_endpoints = 3, min_requests = 20 }\n\
                        latency = { min_requests = 20, at_least = \"100ms\" }\n";

const RETRIES: &str = "[upstream.retry]\nattempts = 3\n\
                       on = [\"connect\", \"reset_before_response\", \"5xx\", \"per_try\"]\nper_try = \"500ms\"\n";

/// Without retries only this ends an attempt that nothing comes of, as long as its client waits: what a client breaks off
/// says nothing about the endpoint.
const FIRST_BYTE: &str = "[upstream.timeouts]\nfirst_byte = \"500ms\"\n";

impl Policy {
    pub(super) const ALL: [Self; 6] = [
        Self::NoFault,
        Self::Defaults,
        Self::Checks,
        Self::Ejection,
        Self::Retries,
        Self::All,
    ];

    /// Those under which something fails.
    pub(super) const UNDER_FAULT: [Self; 5] = [
        Self::Defaults,
        Self::Checks,
        Self::Ejection,
        Self::Retries,
        Self::All,
    ];

    /// The name of its upstream and its route.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NoFault => "no_fault",
            Self::Defaults => "defaults",
            Self::Checks => "checks",
            Self::Ejection => "ejection",
            Self::Retries => "retries",
            Self::All => "all",
        }
    }

    /// A route and an upstream with three endpoints, of which `@bad` fails.
    pub(super) fn config(self) -> String {
        let name = self.name();
        let endpoints = match self {
            Self::NoFault => "\"@good\", \"@fine\"",
            _ => "\"@bad\", \"@good\", \"@fine\"",
        };
        let words = match self {
            Self::NoFault | Self::Defaults => String::new(),
            Self::Checks => CHECKS.to_owned(),
            Self::Ejection => format!("{FIRST_BYTE}{EJECTION}"),
            Self::Retries => RETRIES.to_owned(),
            Self::All => format!("{CHECKS}{EJECTION}{RETRIES}"),
        };
        format!(
            "[[route]]\nname = \"{name}\"\npaths = [\"/{name}\"]\nupstream = \"{name}\"\n\
             [[upstream]]\nname = \"{name}\"\nendpoints = [{endpoints}]\n{words}"
        )
    }
}
