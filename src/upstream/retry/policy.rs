//! Whether a failed attempt may be made again. Pure rules, RFC 9110 section 9.2.2.

use std::sync::Arc;

use http::Method;

use super::backoff::Backoff;
use super::budget::BudgetOptions;

/// Bytes of a request's body that are kept for another attempt, unless the policy says otherwise.
pub const REPLAY_BYTES: u64 = 64 * 1024;

/// One condition that operators write in `retry.on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RetryCondition {
    /// No connection to the endpoint was made (TCP or TLS).
    Connect = 1,
    /// The connection ended, or the time of one try, before the first byte of the response.
    ResetBeforeResponse = 2,
    /// The endpoint answered with a status from 500 to 599.
    Status5xx = 4,
    /// The endpoint answered 429.
    Status429 = 8,
    /// The endpoint answered 502, 503 or 504.
    GatewayError = 16,
    /// The time of one try (`per_try`) ran out before the head of the response.
    PerTry = 32,
}

impl RetryCondition {
    /// Every condition, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Connect,
        Self::ResetBeforeResponse,
        Self::Status5xx,
        Self::Status429,
        Self::GatewayError,
        Self::PerTry,
    ];

    /// The word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ResetBeforeResponse => "reset_before_response",
            Self::Status5xx => "5xx",
            Self::Status429 => "429",
            Self::GatewayError => "gateway_error",
            Self::PerTry => "per_try",
        }
    }

    /// The condition for a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|condition| condition.word() == word)
    }
}

/// A set of conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOn(u8);

impl RetryOn {
    /// Without any condition nothing is retried, except on a reused connection.
    pub const NONE: Self = Self(0);

    /// Where nothing is written: what went wrong before an answer. An answer is passed on.
    pub const USUAL: Self =
        Self(RetryCondition::Connect as u8 | RetryCondition::ResetBeforeResponse as u8);

    /// True if the set has this condition.
    pub const fn contains(self, condition: RetryCondition) -> bool {
        self.0 & condition as u8 != 0
    }

    /// True if an answer with this status is to be retried.
    pub const fn wants_status(self, status: u16) -> bool {
        (self.contains(RetryCondition::Status5xx) && matches!(status, 500..=599))
            || (self.contains(RetryCondition::GatewayError) && matches!(status, 502..=504))
            || (self.contains(RetryCondition::Status429) && status == 429)
    }
}

impl FromIterator<RetryCondition> for RetryOn {
    fn from_iter<I: IntoIterator<Item = RetryCondition>>(conditions: I) -> Self {
        Self(conditions.into_iter().fold(0, |set, one| set | one as u8))
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// No connection was made, so no byte of the request was sent.
    Connect,
    /// The connection, made for this attempt, ended before the first response byte.
    ResetBeforeResponse,
    /// The same on a connection taken from the pool: most likely it was closed while idle.
    ReusedReset,
    /// The endpoint says that it did nothing with this HTTP/2 request: REFUSED_STREAM, or a GOAWAY
    /// that leaves the stream out. Safe for every method (RFC 9113 section 8.7).
    RefusedStream,
    /// The time of one try ran out before the head of the response.
    PerTry,
    /// The endpoint answered, with this status. An origin that answers has seen the request, so
    /// only repeatable methods are safe, whatever was sent; 429 and 503 too.
    Status(u16),
    /// Anything else: a response has begun, a timeout ran out, the client left.
    Final,
}

/// The rules of one route or upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts at most, the first included; 0 is taken as 1.
    pub attempts: u8,
    /// What is retried.
    pub on: RetryOn,
    /// Methods that may be sent twice. `None`: the idempotent ones.
    pub methods: Option<Arc<[Method]>>,
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// What all retries to the upstream may come to. `None`: only `attempts` bounds them.
    pub budget: Option<BudgetOptions>,
    /// Bytes of a request's body that are kept for another attempt. Once more of them were sent
    /// there is none.
    pub replay_bytes: u64,
}

impl Default for RetryPolicy {
    /// One retry when nothing was answered, within the usual budget.
    fn default() -> Self {
        Self {
            attempts: 2,
            on: RetryOn::USUAL,
            methods: None,
            backoff: Backoff::USUAL,
            budget: Some(BudgetOptions::USUAL),
            replay_bytes: REPLAY_BYTES,
        }
    }
}

impl RetryPolicy {
    /// One attempt only.
    pub const OFF: Self = Self {
        attempts: 1,
        on: RetryOn::NONE,
        methods: None,
        backoff: Backoff::USUAL,
        budget: None,
        replay_bytes: 0,
    };

    /// True if a request of this method may reach an endpoint twice.
    fn repeatable(&self, method: &Method) -> bool {
        match &self.methods {
            Some(methods) => methods.contains(method),
            // RFC 9110, 9.2.2: the safe methods, PUT and DELETE.
            None => method.is_idempotent(),
        }
    }

    /// The rule that protects from doing a thing twice.
    fn is_safe(&self, method: &Method, bytes_sent: bool) -> bool {
        !bytes_sent || self.repeatable(method)
    }
}

/// True if, after attempt number `attempt` (1 is the first) failed, another one may be made.
/// `bytes_sent`: some byte of the request may have reached the endpoint.
pub fn may_retry(
    policy: &RetryPolicy,
    attempt: u8,
    method: &Method,
    failure: FailureClass,
    bytes_sent: bool,
) -> bool {
    if attempt >= policy.attempts {
        return false;
    }
    let on = |condition| policy.on.contains(condition);
    let lost = on(RetryCondition::ResetBeforeResponse);
    match failure {
        FailureClass::Connect => on(RetryCondition::Connect),
        // Nothing was done, as without a connection; nothing was answered, as after a reset. Either
        // word means it.
        FailureClass::RefusedStream => on(RetryCondition::Connect) || lost,
        FailureClass::ResetBeforeResponse | FailureClass::ReusedReset => {
            lost && policy.is_safe(method, bytes_sent)
        }
        FailureClass::PerTry => {
            (lost || on(RetryCondition::PerTry)) && policy.is_safe(method, bytes_sent)
        }
        FailureClass::Status(status) => policy.on.wants_status(status) && policy.repeatable(method),
        FailureClass::Final => false,
    }
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Answer the client.
    No,
    /// Choose another endpoint; the failed one counts as tried.
    Again,
    /// Send it again, to the same endpoint if it is still chosen: only an idle connection had
    /// ended. The endpoint is not at fault and does not count as tried. One for a request; see
    /// [`super`] for what it costs.
    AgainFree,
}

/// The attempts of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    number: u8,
    free_used: bool,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            number: 1,
            free_used: false,
        }
    }
}

impl Attempts {
    /// The number of the attempt under way, 1 first, 255 at most. A free retry keeps the number.
    pub const fn number(self) -> u8 {
        self.number
    }

    /// True while the first attempt is under way: not for a free retry, which has its number.
    pub const fn is_first(self) -> bool {
        self.number == 1 && !self.free_used
    }

    /// Decides after the attempt under way failed, and counts the next one if there is one. Where
    /// the budget or the time left has a word in it too, ask a copy and keep it only when the
    /// attempt is made.
    pub fn failed(
        &mut self,
        policy: &RetryPolicy,
        method: &Method,
        failure: FailureClass,
        bytes_sent: bool,
    ) -> Retry {
        let reused = failure == FailureClass::ReusedReset;
        if reused && !self.free_used && policy.is_safe(method, bytes_sent) {
            self.free_used = true;
            return Retry::AgainFree;
        }
        if may_retry(policy, self.number, method, failure, bytes_sent) {
            self.number = self.number.saturating_add(1);
            return Retry::Again;
        }
        Retry::No
    }
}
