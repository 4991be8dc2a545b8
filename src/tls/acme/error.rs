//! What can go wrong with an order, and at which of its steps.

use std::fmt;

/// The step of an order that failed: a closed set, fit for a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The folder of account and certificates.
    Storage,
    /// Reaching the authority: name, connection, TLS, the directory itself.
    Directory,
    /// Our account with it.
    Account,
    /// Asking for an order.
    Order,
    /// Showing that the names are ours.
    Validation,
    /// Having the certificate issued and fetching it.
    Issue,
    /// What was issued is not what was ordered, or cannot be served.
    Certificate,
    /// Asking when to renew (RFC 9773). The certificate is renewed by its lifetime then.
    RenewalInfo,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Storage,
        Self::Directory,
        Self::Account,
        Self::Order,
        Self::Validation,
        Self::Issue,
        Self::Certificate,
        Self::RenewalInfo,
    ];

    /// Its word in metrics and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Directory => "directory",
            Self::Account => "account",
            Self::Order => "order",
            Self::Validation => "validation",
            Self::Issue => "issue",
            Self::Certificate => "certificate",
            Self::RenewalInfo => "renewal_info",
        }
    }

    /// What to do about it.
    pub fn help(self) -> &'static str {
        match self {
            Self::Storage => "the service's user must be able to read and write the storage folder",
            Self::Directory => {
                "look at `directory`, at `ca`, and whether this node may connect there"
            }
            Self::Account => {
                "the authority says why; an account file that it no longer knows can be removed"
            }
            Self::Order => {
                "the authority says why; a limit of its own ends after the time it names"
            }
            Self::Validation => {
                "the authority must reach the nodes under every name: port 80 for http-01, 443 for tls-alpn-01"
            }
            Self::Issue => "the authority says why",
            Self::Certificate => {
                "the authority issued something else than asked; look at `domains`"
            }
            Self::RenewalInfo => "nothing; the certificate is renewed by its lifetime",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an order failed. Holds no secret: what the authority says is cut and freed of control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeError {
    /// At which step.
    pub stage: Stage,
    /// What happened.
    pub message: String,
    /// Seconds for which the authority asks us to stay away.
    pub retry_after_s: Option<i64>,
}

/// Longest message that is kept, in characters; a problem document may be of any size.
const MAX_MESSAGE: usize = 600;

impl AcmeError {
    /// An error at a step.
    pub fn new(stage: Stage, message: impl fmt::Display) -> Self {
        Self {
            stage,
            message: printable(&message.to_string()),
            retry_after_s: None,
        }
    }
}

impl fmt::Display for AcmeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.message)
    }
}

impl std::error::Error for AcmeError {}

fn printable(text: &str) -> String {
    text.chars()
        .take(MAX_MESSAGE)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_says_is_cut_and_harmless() {
        let error = AcmeError::new(Stage::Order, format!("a\r\nb\x1b[31m{}", "x".repeat(5_000)));
        assert_eq!(error.message.chars().count(), MAX_MESSAGE);
        assert!(error.message.starts_with("a  b [31mxx"));
        assert!(error.to_string().starts_with("order: a"));
    }

    #[test]
    fn every_stage_has_its_own_word() {
        let mut words: Vec<_> = Stage::ALL.iter().map(|stage| stage.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Stage::ALL.len());
    }
}
